from __future__ import annotations

import sys
from pathlib import Path

import pytest

from runbook_lib import command
from runbook_lib.errors import Unanswerable
from runbook_lib.step import TAIL, reporting

from .waiting import until


def test_output_and_exit_code_are_kept():
    completed = command.run([sys.executable, "-c", "import sys; print('out'); sys.exit('err')"])
    assert (completed.ok, completed.returncode, completed.output) == (False, 1, "out\nerr\n")


def test_no_shell_reads_the_words():
    assert command.run(["echo", "$HOME; echo *"]).output == "$HOME; echo *\n"


def test_a_missing_program_cannot_answer():
    with pytest.raises(Unanswerable, match="no-such-program was not found"):
        command.run(["no-such-program"])


def test_past_its_time_limit_the_whole_group_is_killed(tmp_path):
    marker = tmp_path / "child"
    script = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(marker)!r}, 'w').write(str(child.pid))\n"
        "print('waiting', flush=True)\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(Unanswerable, match=r"did not end within 2 s; its last line: waiting"):
        command.run([sys.executable, "-c", script], timeout=2.0)
    until(lambda: not _alive(int(marker.read_text())))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_its_latest_line_is_reported_while_it_runs():
    seen: list[str] = []
    with reporting(seen.append):
        command.run([sys.executable, "-u", "-c", "import time; print('working'); time.sleep(1.5)"])
    assert seen == ["working"]


def test_of_many_lines_at_once_the_last_ones_are_reported_in_order():
    script = "import time; print(*range(100), sep='\\n', flush=True); time.sleep(1.5)"
    seen: list[str] = []
    with reporting(seen.append):
        command.run([sys.executable, "-c", script])
    assert seen == [str(number) for number in range(100 - TAIL, 100)]


def test_standard_input_is_given():
    assert command.run(["cat"], stdin="given").output == "given"
