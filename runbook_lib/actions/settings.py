"""Writing what the environment declares into the service's .env file."""

from __future__ import annotations

from runbook_lib.actions import dotenv_file
from runbook_lib.checks.dotenv import read, shown
from runbook_lib.environment import Environment
from runbook_lib.record import secret_files
from runbook_lib.step import Finding, Table, action


@action("Write {name} as the environment declares it")
def apply(env: Environment, name: str) -> Finding:
    """Set `name` to ``dotenv.values[name]``; nothing is written where it is so already, or where none is declared.

    Raises
    ------
    ConfigurationError
        The value cannot be held in a .env file.
    """
    before = read(env.dotenv.file).get(name)
    declared = env.dotenv.values.get(name)
    if declared is None:
        # The check that follows judges what stands there.
        return Finding(
            True, f"left as it is: {shown(env, name, before)}", f"{env.name}.toml declares no dotenv.values.{name}"
        )
    if before != declared:
        dotenv_file.write(env.dotenv.file, {name: declared})
    return Finding(
        ok=True,
        observed="written" if before != declared else "nothing to write",
        expected=f"{name} = {shown(env, name, declared)}",
        tables=(
            Table(("setting", "before", "after"), ((name, shown(env, name, before), shown(env, name, declared)),)),
        ),
        facts={secret_files.FACT: secret_files.states(env)},
    )
