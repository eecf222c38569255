"""The stack's supervisord: its configuration, its start and its end."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib import command
from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.platforms import supervisor
from runbook_lib.platforms.supervisor import calling
from runbook_lib.sandbox import certificates, processes, settings, sink, tracker
from runbook_lib.sandbox.layout import INNER, Ports, Stack, write
from runbook_lib.step import progress

SINK = "sink"
"""Where alerts and announcements arrive, which every stack runs and waits for."""
TRACKER = "tracker"
"""The error tracker, which one stack runs and nobody waits for."""
LOG_BYTES, LOG_BACKUPS = 20_000_000, 3
"""At which size each program's log is rotated, and how many rotated files are kept beside it."""
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_DAEMON = """\
[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisord]
logfile={logs}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={runtime}/supervisord.pid
childlogdir={logs}
{user}
[include]
files = schedules/*.conf
"""
_PROGRAM = """
[program:{name}]
command={command}
directory={directory}
environment={environment}
priority={priority}
autostart=false
autorestart=true
startsecs=1
startretries=10
stopsignal={signal}
stopwaitsecs=10
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes={log_bytes}
stdout_logfile_backups={log_backups}
"""


def running(stack: Stack) -> bool:
    """Whether the stack's supervisord answers."""
    try:
        with calling(stack.socket) as supervisord:
            return bool(supervisord.getState()["statename"] == "RUNNING")
    except Unanswerable:
        return False


@dataclass(frozen=True)
class Program:
    """One program as supervisord runs it."""

    name: str
    command: Sequence[str]
    directory: Path
    signal: str = "TERM"
    environment: str = ""


def start(stack: Stack, services: Sequence[Program]) -> None:
    """Write the configuration, for `services` and what is beside them, and start supervisord with nothing running."""
    ports = stack.ports()
    assert ports is not None, "the ports are settled before"
    _private(stack.runtime)
    stack.socket.unlink(missing_ok=True)
    stack.logs.mkdir(exist_ok=True)
    # Ours are ended by now; a process number that a stranger has since would keep PostgreSQL from starting.
    (stack.database / "postmaster.pid").unlink(missing_ok=True)
    configuration = stack.folder / "supervisord.conf"
    write(configuration, _configuration(stack, (*services, *_beside(stack, ports))))
    # A clean environment: what the user's shell exports is no business of the services.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", processes.MARK: str(stack.folder)}
    clean = ["env", "-i", *(f"{name}={value}" for name, value in environment.items())]
    daemon = [sys.executable, "-m", "supervisor.supervisord", "-c", os.fspath(configuration)]
    completed = command.run([*clean, *daemon], cwd=stack.folder, timeout=30.0)
    if not completed.ok:
        raise ConfigurationError(f"supervisord did not start for {stack.name}: {completed.tail()}")
    _until(lambda: running(stack), f"supervisord of {stack.name} does not answer at {stack.socket}")


def start_programs(stack: Stack, names: Sequence[str]) -> None:
    """Have the programs running. Raises ConfigurationError where one does not start."""
    try:
        with calling(stack.socket) as supervisord:
            supervisor.start(supervisord, names, _START_SECONDS)
    except Unanswerable as error:
        raise ConfigurationError(f"{stack.name}: {error}; {error.remedy}") from error


def begin_program(stack: Stack, name: str) -> None:
    """Have a program starting, without waiting for it. Raises ConfigurationError where supervisord refuses."""
    try:
        with calling(stack.socket) as supervisord:
            if supervisord.getProcessInfo(name)["statename"] in supervisor.STOPPED:
                supervisord.startProcess(name, False)
    except Unanswerable as error:
        raise ConfigurationError(f"{stack.name}: {error}; {error.remedy}") from error


def stop(stack: Stack) -> None:
    """End supervisord and all it runs, if it runs; then whatever else an earlier one left."""
    if running(stack):
        progress(f"{stack.name}: stopping")
        with calling(stack.socket) as supervisord:
            pid = supervisord.getPID()
            supervisord.shutdown()
        _until(lambda: processes.ended(pid), f"supervisord of {stack.name} does not end")
    processes.end_leftovers(stack)
    if stack.runtime.is_dir():
        shutil.rmtree(stack.runtime)


def _beside(stack: Stack, ports: Ports) -> tuple[Program, ...]:
    return Program(SINK, _sink(stack, ports), stack.folder), *_tracker(stack, ports)


def _sink(stack: Stack, ports: Ports) -> list[str]:
    options = {
        "address": INNER,
        "port": str(ports.sink),
        "folder": os.fspath(stack.sink),
        "service": settings.origin(ports),
        "authority": os.fspath(certificates.authority(stack.root)),
    }
    return [sys.executable, "-I", sink.__file__, *(f"--{name}={value}" for name, value in options.items())]


def _tracker(stack: Stack, ports: Ports) -> tuple[Program, ...]:
    if not tracker.owned(stack):
        return ()
    return (Program(TRACKER, tracker.server(stack, ports), tracker.folder(stack.root)),)


def _configuration(stack: Stack, programs: Sequence[Program]) -> str:
    daemon = _DAEMON.format(
        socket=_escaped(stack.socket),
        logs=_escaped(stack.logs),
        runtime=_escaped(stack.runtime),
        user="user=root\n" if os.geteuid() == 0 else "",
    )
    sections = (
        _PROGRAM.format(
            name=program.name,
            command=_escaped(shlex.join(program.command)),
            directory=_escaped(program.directory),
            environment=_escaped(program.environment),
            priority=10 * number,
            signal=program.signal,
            log_bytes=LOG_BYTES,
            log_backups=LOG_BACKUPS,
            logs=_escaped(stack.logs),
        )
        for number, program in enumerate(programs, start=1)
    )
    return daemon + "".join(sections)


def _escaped(value: str | Path) -> str:
    """Supervisord expands what follows a per cent sign."""
    return str(value).replace("%", "%%")


def _private(folder: Path) -> None:
    """Make `folder` for us alone; /tmp is shared, so that somebody else may have been there first."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise ConfigurationError(f"{folder} is not a folder of yours alone (mode 0700); remove it and try again.")


def _until(reached: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    while not reached():
        if time.monotonic() >= deadline:
            raise ConfigurationError(f"{otherwise} (waited {_STOP_SECONDS:g} s)")
        time.sleep(0.05)
