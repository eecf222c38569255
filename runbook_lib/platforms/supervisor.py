"""Services run by supervisord (https://supervisord.org), each release a set of archives unpacked beside each other.

In the platform's folder lie ``images/``, ``deployments/<tag>-<digest>/<service>/`` and the link ``current``, which
names the deployment that the programs start from.
"""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xmlrpc.client import Error as RpcError
from xmlrpc.client import Fault, ServerProxy

from runbook_lib import command
from runbook_lib.command import Completed
from runbook_lib.environment import Environment, SupervisorPlatform
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import log_lines
from runbook_lib.platforms.images import ImageStore, file_name, point, remove
from runbook_lib.platforms.interface import Image, LogKeeping, Service
from runbook_lib.release import Release
from runbook_lib.step import progress

FRONTEND = "frontend"
BACKEND = "backend"
_UP = "RUNNING"
STOPPED = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")
"""The states from which a program is started."""
_ALREADY_STARTED, _NOT_RUNNING = 60, 70  # supervisor.xmlrpc.Faults
_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 0.1


class Supervisor:
    """The programs of one supervisord, over its unix socket.

    The back end is started from the deployed folder, by the interpreter of its release's own virtual environment;
    a front end has no process, the edge serves it out of the deployed folder. What is not built from the release
    (edge, database, cache) is started where it is down, and never stopped.
    """

    def __init__(self, env: Environment) -> None:
        if not isinstance(env.platform, SupervisorPlatform):
            raise TypeError(f"{env.name} has the platform {env.platform.kind}")
        self.env = env
        self.settings = env.platform
        self.images = ImageStore(self.settings.folder / "images")
        self.current = self.settings.folder / "current"

    def services(self) -> tuple[Service, ...]:
        """Every declared program; restarts are its exits by itself since it was last stopped on request."""
        with calling(self.settings.socket) as supervisord:
            known = {program["name"]: program for program in supervisord.getAllProcessInfo()}
            exits = _unrequested_exits(supervisord.readLog(0, 0))
        return tuple(_service(name, known.get(name), exits.get(name, 0)) for name in self.settings.services)

    def build(self, release: Release) -> tuple[Image, ...]:
        """Archive the back end's files under version control, and the front end's artefact."""
        return tuple(self._build(service, release, folder) for service, folder in self._sources(release).items())

    def tag(self, release: Release, images: Sequence[Image]) -> None:
        """Give each image the release's tag."""
        for image in images:
            self.images.tag(image, release.tag)

    def tagged(self, release: Release) -> tuple[Image, ...]:
        """What the release's tag resolves to now."""
        found = (self.images.tagged(service, release.tag) for service in self._sources(release))
        return tuple(image for image in found if image is not None)

    def deployed(self) -> str | None:
        """The tag that the link ``current`` leads to."""
        if not self.current.is_symlink():
            return None
        return unquote(self.current.readlink().name.rpartition("-")[0])

    def up(self, release: Release) -> None:
        """Unpack the tagged images, point ``current`` at them, start the programs anew and wait for all."""
        deployment = self._unpack(release)
        point(self.current, Path("deployments") / deployment.name)
        with calling(self.settings.socket) as supervisord:
            stop(supervisord, self._own_programs(), self.settings.start_seconds)
            start(supervisord, self.settings.services, self.settings.start_seconds)

    def down(self) -> None:
        """Stop the programs that are built from a release."""
        with calling(self.settings.socket) as supervisord:
            stop(supervisord, self._own_programs(), self.settings.start_seconds)

    def execute(self, service: str, argv: Sequence[str], *, timeout: float = 60.0) -> Completed:
        """Run a program in the service's deployed folder, with the values of its .env file.

        Parameters
        ----------
        argv:
            Its first word ``python`` is the interpreter that the service runs on.
        timeout:
            Seconds.
        """
        folder = self.current / service
        if not folder.is_dir():
            raise Unanswerable(f"no {service} is deployed at {folder}", remedy="deploy a release first")
        program = folder / ".venv" / "bin" / "python" if argv[0] == "python" else argv[0]
        return command.run([program, *argv[1:]], cwd=folder, env=self._dotenv(), timeout=timeout)

    def logs(self, service: str, *, since: datetime | None = None) -> str:
        """What the program has written, the rotated files included, by the times in its lines."""
        start = since.timestamp() if since else 0.0
        files = [path for path in self.log_files(service) if path.stat().st_mtime >= start]
        text = "".join(path.read_text(encoding="utf-8", errors="replace") for path in files)
        return "".join(f"{line}\n" for line in log_lines.since(text, since)) if since else text

    def log_files(self, service: str) -> tuple[Path, ...]:
        """The program's log and its rotated predecessors, oldest first."""
        with calling(self.settings.socket) as supervisord:
            newest = Path(supervisord.getProcessInfo(service)["stdout_logfile"])
        rotated = newest.parent.glob(f"{newest.name}.*")
        numbered = sorted((int(path.suffix[1:]), path) for path in rotated if path.suffix[1:].isdigit())
        return (*(path for _, path in reversed(numbered)), newest)

    def log_keeping(self, service: str) -> LogKeeping:
        """By supervisord's own configuration of the program's standard output; 0 bytes there means: never rotated."""
        with calling(self.settings.socket) as supervisord:
            found = [one for one in supervisord.getAllConfigInfo() if one["name"] == service]
        if not found:
            raise Unanswerable(f"supervisord has no program {service}", remedy="correct platform.services")
        program = found[0]
        in_file = program["stdout_logfile"] != "none"
        driver = "syslog" if program["stdout_syslog"] else "file" if in_file else "none"
        largest = program["stdout_logfile_maxbytes"] or None
        return LogKeeping(driver, largest if in_file else None, program["stdout_logfile_backups"])

    def environment(self, service: str) -> dict[str, str]:
        """What the kernel says the program's first process was started with."""
        with calling(self.settings.socket) as supervisord:
            pid = supervisord.getProcessInfo(service)["pid"]
        if not pid:
            raise Unanswerable(f"{service} does not run", remedy="start it, and see why it stopped (8.2)")
        path = Path(f"/proc/{pid}/environ")
        try:
            text = path.read_bytes().decode(errors="replace")
        except OSError as error:
            raise Unanswerable(
                f"the environment of {service} (process {pid}) cannot be read: {error.strerror}",
                remedy=f"run this as the user that {service} runs as, on the machine that it runs on",
            ) from error
        return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)

    def _sources(self, release: Release) -> dict[str, Path]:
        """The services that are built from a release, and the folder that each is built from."""
        application = self.env.application
        sources = {BACKEND: release.folder / application.backend.folder}
        if application.frontend:
            sources[FRONTEND] = release.folder / application.frontend.folder / application.frontend.artefact
        return sources

    def _own_programs(self) -> tuple[str, ...]:
        return tuple(name for name in self.settings.services if name in (BACKEND, FRONTEND))

    def _build(self, service: str, release: Release, folder: Path) -> Image:
        files = self._tracked(release, folder) if service == BACKEND else _all_files(folder)
        missing = [name for name in files if not (folder / name).exists()]
        if missing or not files:
            raise Unanswerable(
                f"{folder} lacks {missing[0] if missing else 'any file'}, which the image of {service} needs",
                remedy=f"check {release.tag} out and build its {service} first",
            )
        progress(f"archiving {service}: {len(files)} files")
        return self.images.build(service, folder, files)

    def _tracked(self, release: Release, folder: Path) -> tuple[Path, ...]:
        """The files of the release's commit in `folder`, relative to it: caches and test leavings are no source."""
        tree = f"{release.commit}:{folder.relative_to(release.folder).as_posix()}"
        repository = self.env.application.repository
        listed = command.run(["git", "-C", repository, "ls-tree", "-r", "-z", "--name-only", tree], timeout=60.0)
        if not listed.ok:
            raise Unanswerable(f"git does not list {tree}: {listed.tail(1)}", remedy=f"check {repository}")
        return tuple(Path(name) for name in listed.output.split("\0") if name)

    def _unpack(self, release: Release) -> Path:
        """The deployment of the release's images, made where it is not there yet."""
        images = self.tagged(release)
        missing = self._sources(release).keys() - {image.service for image in images}
        if missing:
            raise Unanswerable(
                f"{release.tag} names no image of {', '.join(sorted(missing))}", remedy="build and tag its images first"
            )
        together = hashlib.sha256("".join(image.digest for image in images).encode()).hexdigest()
        deployment = self.settings.folder / "deployments" / f"{file_name(release.tag)}-{together[:12]}"
        if not deployment.is_dir():
            partial = deployment.with_name(f".{deployment.name}")
            remove(partial)
            for image in images:
                progress(f"unpacking {image.service} {image.digest[:19]}")
                self.images.unpack(image, partial / image.service)
            environment = self._sources(release)[BACKEND] / ".venv"
            if not environment.is_dir():
                raise Unanswerable(f"{environment} is missing", remedy="install the back end's dependencies first")
            (partial / BACKEND / ".venv").symlink_to(environment)
            partial.rename(deployment)
        return deployment

    def _dotenv(self) -> dict[str, str]:
        from dotenv import dotenv_values

        values = dotenv_values(self.env.dotenv.file, interpolate=False)
        return {name: value for name, value in values.items() if value is not None}


@contextmanager
def calling(socket: Path) -> Iterator[Any]:
    """Supervisord's XML-RPC interface (https://supervisord.org/api.html) at the unix socket `socket`.

    Raises
    ------
    Unanswerable
        Nobody answers there, or supervisord refuses.
    """
    try:
        with ServerProxy("http://localhost", transport=_transport(socket)) as server:
            yield server.supervisor
    except Fault as fault:
        raise Unanswerable(f"supervisord at {socket} refused: {fault.faultString}") from fault
    except (OSError, http.client.HTTPException, RpcError) as error:
        raise Unanswerable(
            f"supervisord does not answer at {socket}: {error}",
            remedy="start it ('runbook sandbox up' for the sandbox), and check platform.socket",
        ) from error


def start(supervisord: Any, names: Sequence[str], seconds: float) -> None:
    """Start those of the programs that are down, and wait up to `seconds` for all to run, else raise Unanswerable."""
    for name, state in _states(supervisord, names).items():
        if state in STOPPED:
            progress(f"starting {name}")
            with _already(_ALREADY_STARTED):
                supervisord.startProcess(name, False)
    _wait(supervisord, names, (_UP,), seconds, hopeless=("FATAL", "UNKNOWN"))


def stop(supervisord: Any, names: Sequence[str], seconds: float) -> None:
    """Stop those of the programs that are up, and wait up to `seconds` for their end, else raise Unanswerable."""
    for name, state in _states(supervisord, names).items():
        if state not in STOPPED:
            progress(f"stopping {name}")
            with _already(_NOT_RUNNING):
                supervisord.stopProcess(name, False)
    _wait(supervisord, names, STOPPED, seconds)


@contextmanager
def _already(code: int) -> Iterator[None]:
    """Let pass that the program got there by itself since we looked."""
    try:
        yield
    except Fault as fault:
        if fault.faultCode != code:
            raise


def _states(supervisord: Any, names: Sequence[str]) -> dict[str, str]:
    return {name: supervisord.getProcessInfo(name)["statename"] for name in names}


def _wait(
    supervisord: Any, names: Sequence[str], wanted: Sequence[str], seconds: float, hopeless: Sequence[str] = ()
) -> None:
    deadline = time.monotonic() + seconds
    shown: dict[str, str] = {}
    while waiting := {name: state for name, state in _states(supervisord, names).items() if state not in wanted}:
        sentence = ", ".join(f"{name} is {state}" for name, state in waiting.items())
        if time.monotonic() >= deadline or any(state in hopeless for state in waiting.values()):
            log = supervisord.getProcessInfo(next(iter(waiting)))["stdout_logfile"]
            raise Unanswerable(f"{sentence}, expected {wanted[0]} within {seconds:g} s", remedy=f"read {log}")
        if waiting != shown:
            progress(sentence)
            shown = waiting
        time.sleep(_POLL_SECONDS)


def _transport(socket: Path) -> Any:
    """Supervisor's own transport, with a time limit, and with its socket closed where nobody answers."""
    from supervisor.xmlrpc import SupervisorTransport

    transport = SupervisorTransport(None, None, f"unix://{socket}")
    create = transport._get_connection

    def connect() -> http.client.HTTPConnection:
        connection: http.client.HTTPConnection = create()
        try:
            connection.connect()
        except OSError:
            connection.close()
            raise
        connection.sock.settimeout(_ANSWER_SECONDS)
        return connection

    transport._get_connection = connect
    return transport


def _service(name: str, program: Mapping[str, Any] | None, exits: int) -> Service:
    if program is None:
        return Service(name, "MISSING", False, None, None, 0, "supervisord has no such program")
    up = program["statename"] == _UP
    started = datetime.fromtimestamp(program["start"], UTC) if up else None
    return Service(name, program["statename"], up, None, started, exits, program["description"])


def _unrequested_exits(log: str) -> dict[str, int]:
    """From supervisord's own log: how often each program ended by itself since it was last stopped on request."""
    exits: dict[str, int] = {}
    for line in log.splitlines():
        words = line.split(" INFO ")[-1].split(" WARN ")[-1].split()
        if len(words) > 1 and words[0] == "exited:":
            exits[words[1]] = exits.get(words[1], 0) + 1
        elif len(words) > 1 and words[0] == "stopped:":
            exits[words[1]] = 0
    return exits


def _all_files(folder: Path) -> tuple[Path, ...]:
    return tuple(path.relative_to(folder) for path in folder.rglob("*") if path.is_symlink() or path.is_file())
