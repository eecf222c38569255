"""The keys of the four who sign off a run of the sandbox: made with it, so that signing can be tried."""

from __future__ import annotations

from pathlib import Path

from runbook_lib.environment import ROLES
from runbook_lib.record import keys


def create(root: Path) -> dict[str, str]:
    """Each role's public line; its private key lies in ``keys/<role>.pem`` and is made where it is missing."""
    folder = root / "keys"
    folder.mkdir(mode=0o700, exist_ok=True)
    lines = {}
    for role in ROLES:
        path = folder / f"{role}.pem"
        lines[role] = keys.read_public(path) if path.is_file() else keys.generate(path)
    return lines
