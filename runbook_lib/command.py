"""Other programs, run as argument lists with a time limit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from runbook_lib.errors import Unanswerable
from runbook_lib.step import TAIL, Evidence, progress


@dataclass(frozen=True)
class Completed:
    """A program that ended by itself: its exit code, its output and error lines together, and seconds taken."""

    argv: tuple[str, ...]
    returncode: int
    output: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.returncode == 0

    def tail(self, lines: int = 5) -> str:
        """The last `lines` lines that are not blank."""
        return "\n".join([line for line in self.output.splitlines() if line.strip()][-lines:])

    def evidence(self, name: str) -> Evidence:
        """The whole output as a file to keep."""
        return Evidence(name, self.output)


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 600.0,
    stdin: str = "",
) -> Completed:
    """Run a program and wait for it.

    Parameters
    ----------
    argv:
        The program and its arguments; no shell reads them.
    env:
        Added to this process's environment; secrets go here or to `stdin`, never into `argv`.
    timeout:
        Seconds; past it the whole process group is killed.

    Raises
    ------
    Unanswerable
        The program is missing, or took longer than `timeout`.
    """
    words = tuple(str(word) for word in argv)
    _refuse_missing(words[0], cwd, env or {})
    started = time.monotonic()
    process = subprocess.Popen(
        (*dying_with_us(), *words),
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    output = _communicate(process, words, stdin, timeout)
    return Completed(words, process.returncode, output, time.monotonic() - started)


def first_line(argv: Sequence[str], *, timeout: float = 30.0) -> str:
    """The first line that a program prints on its standard output, and nothing of what it warns of beside it.

    Nothing of it is reported: it is for secrets.

    Raises
    ------
    Unanswerable
        The program is missing, failed, or took longer than `timeout` seconds.
    """
    _refuse_missing(argv[0], None, {})
    remedy = f"run {argv[0]} by hand"
    try:
        done = subprocess.run(
            (*dying_with_us(), *argv), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unanswerable(f"the command for a secret took longer than {timeout:g} s", remedy=remedy) from None
    if done.returncode:
        raise Unanswerable(f"the command for a secret ended with {done.returncode}", remedy=remedy)
    return done.stdout.decode(errors="replace").strip().partition("\n")[0].strip()


def _refuse_missing(program: str, cwd: Path | None, env: Mapping[str, str]) -> None:
    """Raise Unanswerable where there is no such program, none that may be run, or no folder to run it in."""
    if cwd is not None and not cwd.is_dir():
        raise Unanswerable(f"{cwd} was not found", remedy=f"install or create {cwd}")
    place = str((cwd or Path.cwd()) / program) if "/" in program else program
    if shutil.which(place, path=env.get("PATH")) is None:
        if "/" in program and Path(place).exists():
            raise Unanswerable(f"{program} may not be run", remedy="check the file's permissions")
        raise Unanswerable(f"{program} was not found", remedy=f"install or create {program}")


@cache
def dying_with_us() -> tuple[str, ...]:
    """Words before a command that end it when this process is killed, so that nothing goes on behind a resumed run."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


def die_with_parent() -> None:
    """Have the system kill this process when its parent ends, however it ends; Linux alone knows how (prctl(2))."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1
        parent = os.getppid()
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)


def _communicate(process: subprocess.Popen[str], words: tuple[str, ...], stdin: str, timeout: float) -> str:
    """Feed and read `process`, reporting its latest lines; kill its group when time is up or we are interrupted."""
    lines: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    deadline = time.monotonic() + timeout
    try:
        assert process.stdin is not None
        try:
            process.stdin.write(stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass
        shown = 0
        while True:
            try:
                process.wait(timeout=min(1.0, max(0.0, deadline - time.monotonic())))
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() >= deadline:
                    last = lines[-1].strip() if lines else "(none)"
                    raise Unanswerable(
                        f"{words[0]} did not end within {timeout:g} s; its last line: {last}",
                        remedy="look at what it was doing, or raise the time limit in the environment",
                    ) from None
                if len(lines) > shown:
                    fresh = lines[shown:]
                    shown += len(fresh)
                    for line in fresh[-TAIL:]:
                        progress(line.rstrip())
    except BaseException:
        _kill_group(process)
        raise
    finally:
        # A daemon that the program left behind may hold the pipe open; what it says later is not ours.
        reader.join(timeout=5.0)
        if process.stdout is not None and not reader.is_alive():
            process.stdout.close()
    return "".join(lines)


def _kill_group(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
