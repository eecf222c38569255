"""Accessibility of a page, as axe-core (npm) judges it in a real browser."""

from __future__ import annotations

import subprocess
import tarfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

AXE = "axe-core@4.14.1"


@cache
def axe() -> str:
    """The script of axe-core, fetched once by npm; npm keeps it in its own cache."""
    with TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", AXE, "--silent", "--prefer-offline"], cwd=folder, check=True, timeout=120)
        (packed,) = Path(folder).glob("*.tgz")
        with tarfile.open(packed) as archive:
            found = archive.extractfile("package/axe.min.js")
            assert found is not None
            return found.read().decode()


def serious_faults(page: Any) -> list[str]:
    """What axe-core finds serious or critical in a Playwright page, each with the elements that it names."""
    page.evaluate(axe())
    found = page.evaluate("axe.run(document)")
    return [
        f"{fault['id']}: {fault['help']}: {[node['html'] for node in fault['nodes'][:3]]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]
