"""Other programs, run as argument lists with a time limit."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runbook_lib.errors import Unanswerable
from runbook_lib.step import Evidence, progress


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
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        missing = cwd if cwd is not None and not cwd.is_dir() else words[0]
        raise Unanswerable(f"{missing} was not found", remedy=f"install or create {missing}") from error
    except PermissionError as error:
        raise Unanswerable(f"{words[0]} may not be run", remedy="check the file's permissions") from error
    output = _communicate(process, words, stdin, timeout)
    return Completed(words, process.returncode, output, time.monotonic() - started)


def _communicate(process: subprocess.Popen[str], words: tuple[str, ...], stdin: str, timeout: float) -> str:
    """Feed and read `process`, reporting its latest line; kill its group when time is up or we are interrupted."""
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
                    shown = len(lines)
                    progress(lines[-1].rstrip())
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
