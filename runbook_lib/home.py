"""Where the kit's own folders are: notebooks, environments, runs and the sandbox."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "RUNBOOK_HOME"


@dataclass(frozen=True)
class Home:
    """A checkout of the kit, or any folder with ``notebooks/`` in it."""

    root: Path

    @property
    def notebooks(self) -> Path:
        """The phase notebooks, without outputs."""
        return self.root / "notebooks"

    @property
    def outputs(self) -> Path:
        """The archive: ``<environment>/<run id>/``."""
        return self.root / "outputs"

    @property
    def sandbox(self) -> Path:
        """All that the sandbox owns; removing it forgets the sandbox."""
        return self.root / ".sandbox"

    @property
    def containers(self) -> Path:
        """All that the sandbox of containers owns, beside the embedded one's."""
        return self.sandbox / "compose"

    @property
    def environments(self) -> tuple[Path, ...]:
        """Folders searched for ``<name>.toml``, in this order."""
        sandboxes = (self.sandbox, self.containers)
        return (self.notebooks / "environments", *(each / "environments" for each in sandboxes))


def account() -> str:
    """The name of whoever uses this machine; the number where the account has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def home() -> Home:
    """The folder named by ``RUNBOOK_HOME``, else the nearest one above with notebooks, else this checkout."""
    named = os.environ.get(VARIABLE)
    if named:
        return Home(Path(named).resolve())
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "notebooks" / "environments").is_dir():
            return Home(folder)
    return Home(Path(__file__).resolve().parent.parent)
