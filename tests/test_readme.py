"""The README's examples of pipelines: sound YAML, whose commands this kit has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from runbook_lib.cli import app

README = (Path(__file__).parent.parent / "README.md").read_text()


def example(name):
    found = re.search(rf"<!-- {name} -->\n```yaml\n(.*?)```\n<!-- /{name} -->", README, re.DOTALL)
    assert found is not None, name
    # BaseLoader, because YAML 1.1 reads the key `on` as true.
    return yaml.load(found[1], yaml.BaseLoader)


def github():
    return [step["run"] for step in example("github")["jobs"]["deploy"]["steps"] if "run" in step]


def gitlab():
    return example("gitlab")["deploy"]["script"]


@pytest.mark.parametrize("lines", [github, gitlab])
def test_the_commands_of_a_pipeline_are_accepted(lines):
    group = typer.main.get_command(app)
    ours = [shlex.split(line)[1:] for line in lines() if line.startswith("runbook ")]
    assert ours
    for name, *arguments in ours:
        # Reads the arguments as the command would, and raises a usage error for what it does not know.
        read = group.commands[name].make_context(name, arguments)
        assert read.params["environment"] == read.params["confirm"], "production is changed only where it is confirmed"


@pytest.mark.parametrize("kept", [example("github")["jobs"]["deploy"]["steps"][-1], example("gitlab")["deploy"]])
def test_the_record_is_kept_whatever_the_outcome(kept):
    assert "always" in str(kept)
    assert "outputs/" in str(kept)
