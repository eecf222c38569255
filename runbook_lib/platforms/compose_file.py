"""A release's compose file, as Compose itself reads it, and the program that reads it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from runbook_lib import command
from runbook_lib.command import Completed
from runbook_lib.environment import ComposePlatform, Environment
from runbook_lib.errors import NotApplicable, Unanswerable
from runbook_lib.release import Release

BUILT: Final = "runbook.built"
"""The label of containers whose image is built from a release; its value is the release's tag."""
SERVICES: Final = "runbook.services"
"""The label, of the same containers, that names all services of the release's file."""
NAME: Final = re.compile(r"^name:.*$", re.MULTILINE)
CONFIG_SECONDS: Final = 60.0
TAG_VARIABLES: Final = ("RELEASE", "TAG", "VERSION")
"""Filled with the release's tag, so that a file that demands one of them can be read."""


@dataclass(frozen=True)
class ComposeFile:
    """One release's services: `text` as it is written, `document` as Compose resolved it, with secrets in it."""

    path: Path
    text: str
    document: Mapping[str, Any]

    @cached_property
    def services(self) -> dict[str, Mapping[str, Any]]:
        """The settings of each service, resolved."""
        return dict(self.document.get("services") or {})

    def built(self, project: str) -> dict[str, str]:
        """The services that are built from source, and the repository that each one's image belongs to."""
        return {
            name: repository(str(settings.get("image") or f"{project}_{name}"))
            for name, settings in self.services.items()
            if "build" in settings
        }

    def pinned(self, project: str, tag: str) -> str:
        """The resolved document in which every built service runs on the image tagged `tag`: YAML for ``-f -``."""
        import yaml

        built = self.built(project)
        labels = {BUILT: tag, SERVICES: ",".join(self.services)}
        services = {
            name: _on_image(settings, f"{built[name]}:{tag}", labels) if name in built else settings
            for name, settings in self.services.items()
        }
        # What v1.29 writes as "version" and v2 as "name", the other one does not take.
        rest = {key: value for key, value in self.document.items() if key not in ("version", "name", "services")}
        return yaml.safe_dump({**rest, "services": services}, sort_keys=False)


def _on_image(settings: Mapping[str, Any], image: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {**settings, "image": image, "labels": {**(settings.get("labels") or {}), **labels}}


def repository(reference: str) -> str:
    """An image's name without tag and digest; a registry's port is no tag."""
    name = reference.partition("@")[0]
    head, colon, last = name.rpartition(":")
    return head if colon and "/" not in last else name


def settings_of(env: Environment) -> ComposePlatform:
    """The environment's platform. Raises NotApplicable where it is another than Compose."""
    if not isinstance(env.platform, ComposePlatform):
        raise NotApplicable(f"platform.kind = '{env.platform.kind}': there is no compose file")
    return env.platform


def read(env: Environment, release: Release) -> ComposeFile:
    """The release's compose file: the one named for its tag (``docker-compose.prod-v0.9.0.yml``) where there is one.

    Raises
    ------
    NotApplicable
        The platform is not Compose.
    Unanswerable
        The file is missing, or Compose finds errors in it.
    """
    import yaml

    settings = settings_of(env)
    general = release.folder / settings.file
    own = general.with_name(f"{general.stem}-{release.tag.replace('/', '-')}{general.suffix}")
    path = own if own.is_file() else general
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unanswerable(
            f"{path} cannot be read: {error}", remedy=f"check {release.tag} out first, and correct platform.file"
        ) from error
    # v1.29 refuses the project's name, which platform.project sets anyway. Paths count from the project's folder.
    nameless = NAME.sub("", text)
    source: str | Path = path if nameless == text else "-"
    completed = run(env, release, ["-f", source, "config"], timeout=CONFIG_SECONDS, stdin=nameless)
    document = yaml.safe_load(_without_warnings(completed.output)) if completed.ok else None
    if not isinstance(document, dict):
        raise Unanswerable(
            f"{path.name} has errors: {completed.tail(5)}",
            remedy="correct the compose file or the .env that fills it in; nothing was started",
        )
    return ComposeFile(path, text, document)


def run(
    env: Environment, release: Release, words: Sequence[str | Path], *, timeout: float, stdin: str = ""
) -> Completed:
    """Run Compose in the release's tree; secrets reach it by the .env file or by `stdin`, `timeout` is in seconds."""
    settings = settings_of(env)
    env_file = settings.env_file or env.dotenv.file
    fixed: list[str | Path] = [
        "--project-name",
        settings.project,
        "--project-directory",
        release.folder,
        "--env-file",
        env_file,
    ]
    variables = dict.fromkeys(TAG_VARIABLES, release.tag) | {
        "COMPOSE_IGNORE_ORPHANS": "1",
        "ENV_FILE": str(env_file),
    }
    return command.run([*_program(), *fixed, *words], cwd=release.folder, env=variables, timeout=timeout, stdin=stdin)


def _program() -> tuple[str, ...]:
    """``docker compose`` where the docker client has it, else ``docker-compose``."""
    if shutil.which("docker") and command.run(["docker", "compose", "version"], timeout=CONFIG_SECONDS).ok:
        return "docker", "compose"
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise Unanswerable(
        "neither 'docker compose' nor 'docker-compose' was found",
        remedy=f"install one of them; PATH is {os.environ.get('PATH', '')}",
    )


def _without_warnings(output: str) -> str:
    """What Compose says on standard error, such as on variables that are not set, stands among the YAML."""
    return "\n".join(line for line in output.splitlines() if not line.startswith(("WARNING:", "time=")))
