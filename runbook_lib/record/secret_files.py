"""The files that an environment's secrets are read from, by when each was written: of what is in them nothing."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from runbook_lib.environment import Environment
from runbook_lib.home import home

FACT: Final = "secret_files"
"""Under which name an action that has written one of them says how it left them."""


def states(env: Environment) -> dict[str, Any]:
    """When each was written and how many bytes it has, by its path from the kit's folder; None where it is not there.

    No digest: whoever knows the rest of a file could try out by it what a weak secret is.
    """
    return {os.path.relpath(path, home().root): _state(path) for path in env.secret_files()}


def _state(path: Path) -> dict[str, Any] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return {"written": datetime.fromtimestamp(found.st_mtime, UTC).isoformat(), "bytes": found.st_size}
