"""The sandbox's error tracker: Bugsink, which takes what Sentry's clients send, in a virtual environment of its own.

One serves both stacks, each with a project of its own, and runs with production's: a second one would cost another
115 MB of memory and 2 s of a processor at each start. What it is made of is no business of the kit's own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from pathlib import Path

from runbook_lib import command, programs
from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.sandbox import tracker_launch
from runbook_lib.sandbox.layout import INNER, Ports, Stack, write
from runbook_lib.step import progress

REQUIREMENT = "bugsink>=2.6.1,<2.7"
_INSTALL_SECONDS = 600.0
_SETTINGS = """\
from bugsink.settings.default import *

SECRET_KEY = {secret_key!r}
ALLOWED_HOSTS = [{address!r}, "localhost"]
DATABASES["default"]["NAME"] = {folder!r} + "/database.sqlite3"
DATABASES["snappea"]["NAME"] = {folder!r} + "/queue.sqlite3"
TIME_ZONE = "UTC"

# What arrives is digested at once, by no second program; nothing leaves this machine, by mail or otherwise.
SNAPPEA = {{"TASK_ALWAYS_EAGER": True, "WAKEUP_CALLS_DIR": {folder!r} + "/wakeup"}}
SENTRY_DSN = None
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
BUGSINK = {{
    "BASE_URL": {url!r},
    "SITE_TITLE": "Runbook sandbox",
    "SINGLE_USER": True,
    "PHONEHOME": False,
    "ALERTS_WEBHOOK_OUTBOUND_MODE": "allowlist_only",
    "INGEST_STORE_BASE_DIR": {folder!r} + "/ingestion",
    "MAX_RETENTION_PER_PROJECT_EVENT_COUNT": 1000,
}}
"""


def folder(root: Path) -> Path:
    """All that belongs to the tracker."""
    return root / "tracker"


def key_file(root: Path) -> Path:
    """Its keys, as a .env file: TOKEN for the API, PASSWORD of the user ``operator``, one key for each project."""
    return folder(root) / "keys.env"


def url(stack: Stack, ports: Ports) -> str:
    """Where it is, for `stack`, whose own ports are `ports`."""
    return f"http://{INNER}:{_owners(stack, ports).tracker}"


def project(stack: Stack) -> int:
    """The stack's project."""
    return tracker_launch.PROJECTS[_slug(stack)]


def dsn(stack: Stack, ports: Ports) -> str:
    """What the application of `stack` sends its errors to; its key stays the same for ever."""
    key = _keys(stack.root)[tracker_launch.key_name(_slug(stack))]
    return f"http://{key}@{INNER}:{_owners(stack, ports).tracker}/{project(stack)}"


def owned(stack: Stack) -> bool:
    """Whether it runs with `stack`."""
    return stack.kind == "sandbox"


def _slug(stack: Stack) -> str:
    """The project's name: the same however the stack is hosted."""
    return "sandbox" if owned(stack) else "sandbox-staging"


def _owners(stack: Stack, ports: Ports) -> Ports:
    owner = Stack(stack.root, stack.name.removesuffix("-staging"))
    return ports if owned(stack) else owner.ports() or ports


def create(root: Path) -> None:
    """Install it, once. Raises ConfigurationError where it cannot be installed."""
    environment = folder(root) / "venv"
    stamp = environment / ".installed"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == REQUIREMENT:
        return
    progress("installing the error tracker")
    if environment.exists():
        shutil.rmtree(environment)
    try:
        uv: Path | None = programs.program("uv")
    except Unanswerable:
        uv = None
    python = environment / "bin" / "python"
    if uv:
        _run(uv, "venv", "--quiet", "--python", sys.executable, environment)
        _run(uv, "pip", "install", "--quiet", "--python", python, REQUIREMENT)
    else:
        _run(sys.executable, "-m", "venv", environment)
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", REQUIREMENT)
    write(stamp, REQUIREMENT)


def _run(*words: str | Path) -> None:
    completed = command.run(words, timeout=_INSTALL_SECONDS)
    if not completed.ok:
        raise ConfigurationError(f"The sandbox's error tracker ({REQUIREMENT}) was not installed: {completed.tail()}")


def server(stack: Stack, ports: Ports) -> list[str]:
    """The command that prepares its database where that is to be done, and runs it; writes its settings."""
    place = folder(stack.root)
    text = _SETTINGS.format(
        secret_key=_keys(stack.root)["SECRET_KEY"], address=INNER, folder=os.fspath(place), url=url(stack, ports)
    )
    write(place / f"{tracker_launch.SETTINGS}.py", text)
    python = place / "venv" / "bin" / "python"
    return [os.fspath(python), "-I", tracker_launch.__file__, os.fspath(place), f"{INNER}:{ports.tracker}"]


def _keys(root: Path) -> dict[str, str]:
    """Its keys, made at first use."""
    path = key_file(root)
    if not path.is_file():
        made = {"SECRET_KEY": secrets.token_hex(32), "PASSWORD": secrets.token_hex(16), "TOKEN": secrets.token_hex(20)}
        made |= {tracker_launch.key_name(name): secrets.token_hex(16) for name in tracker_launch.PROJECTS}
        write(path, "".join(f"{name}={value}\n" for name, value in made.items()))
    return tracker_launch.read(path)
