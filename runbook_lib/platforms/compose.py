"""Services run by Docker Compose (https://docs.docker.com/compose): started by it, watched through the engine."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook_lib.command import Completed
from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import compose_engine as engine
from runbook_lib.platforms import compose_file
from runbook_lib.platforms.compose_file import BUILT, SERVICES, ComposeFile
from runbook_lib.platforms.interface import HalfDeployed, Image, LogKeeping, Service
from runbook_lib.release import Release
from runbook_lib.step import progress

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

TIMED_OUT: Final = 124
"""The exit code of coreutils' and BusyBox' timeout."""
RESTARTS_FOR_EVER: Final = 3
_POLL_SECONDS: Final = 0.5
_KNOWN_FAULTS: Final = (
    (("port is already allocated", "address already in use"), "a port is taken already", "see who has it: ss -ltnp"),
    (
        ("pull access denied", "manifest unknown", "failed to resolve", "no such host", "No such image", "/v2/"),
        "an image cannot be pulled",
        "correct its name, log in to its registry, or load it with 'docker load'",
    ),
    (
        ("Cannot connect to the Docker daemon", "Couldn't connect to Docker daemon", "Connection aborted"),
        "the engine is down",
        "start it (systemctl start docker), then resume the run",
    ),
)
"""What Compose and the engine write, what it means, and what to do."""


class Compose:
    """One Compose project.

    What is built from a release runs on the image that the release's tag names; everything else as the file says.
    """

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.settings = compose_file.settings_of(env)

    def services(self) -> tuple[Service, ...]:
        """Every declared service that the deployed release has."""
        with engine.answering() as client:
            found = engine.containers(client, self.settings.project)
            return tuple(engine.service(name, found.get(name)) for name in self._expected(found))

    def _expected(self, found: Mapping[str, Container]) -> tuple[str, ...]:
        """The declared services, without those that the file of what is deployed does not have.

        What is declared fits the newest release; one that a rollback went back to may lack some of it.
        """
        lists = [each.labels[SERVICES] for each in found.values() if each.labels.get(SERVICES)]
        known = {name for names in lists for name in names.split(",")}
        return tuple(name for name in self.settings.services if not known or name in known)

    def build(self, release: Release) -> tuple[Image, ...]:
        """Build what the file builds from source, tagged by the release's commit until it is tagged for good."""
        file = compose_file.read(self.env, release)
        built = file.built(self.settings.project)
        tag = f"commit-{release.commit[:12]}"
        words = ["-f", "-", "build", *built]
        if not built:
            return ()
        started = time.monotonic()
        completed = self._compose(release, words, file.pinned(self.settings.project, tag), self.settings.build_seconds)
        if not completed.ok:
            raise _failed(completed, "build")
        seconds = (time.monotonic() - started) / len(built)
        with engine.answering() as client:
            return tuple(_image(client, service, f"{name}:{tag}", seconds) for service, name in built.items())

    def tag(self, release: Release, images: Sequence[Image]) -> None:
        """Give each image the release's tag, by the image's id."""
        built = compose_file.read(self.env, release).built(self.settings.project)
        with engine.answering() as client:
            for image in images:
                client.images.get(image.digest).tag(built[image.service], tag=release.tag)

    def tagged(self, release: Release) -> tuple[Image, ...]:
        """What the release's tag resolves to now."""
        return _tagged(compose_file.read(self.env, release).built(self.settings.project), release.tag)

    def deployed(self) -> str | None:
        """The tag that every container of a built image was started from."""
        with engine.answering() as client:
            found = engine.containers(client, self.settings.project)
            tags = {name: each.labels[BUILT] for name, each in found.items() if each.labels.get(BUILT)}
            moved = [name for name in tags if not engine.runs_what_its_tag_names(client, found[name])]
        absent = [name for name in self._expected(found) if name not in found]
        if tags and (len(set(tags.values())) > 1 or absent or moved):
            seen = [f"{name} is {tag}" for name, tag in sorted(tags.items())]
            seen += [f"{name} has no container" for name in absent]
            seen += [f"the tag of {name} names another image by now" for name in moved]
            raise HalfDeployed(
                f"no release is deployed as a whole: {', '.join(seen)}",
                remedy="resume the run, or roll back (notebook 90)",
            )
        return next(iter(tags.values()), None)

    def up(self, release: Release) -> None:
        """Start what differs from the release's file, and wait until every service is up and healthy.

        Services that another release was built with and this one does not have are removed; their volumes stay.
        """
        file = compose_file.read(self.env, release)
        built = file.built(self.settings.project)
        missing = built.keys() - {image.service for image in _tagged(built, release.tag)}
        if missing:
            raise Unanswerable(
                f"{release.tag} names no image of {', '.join(sorted(missing))}; nothing was stopped",
                remedy="build and tag its images first (6.2, 6.3)",
            )
        document = file.pinned(self.settings.project, release.tag)
        self._remove_never_started()
        self._remove_dropped(file)
        before = {one.name: one.started for one in self.services()}
        words = ["-f", "-", "up", "-d", "--no-build"]
        completed = self._compose(release, words, document, self.settings.start_seconds)
        if not completed.ok:
            ill = [one.name for one in self.services() if not one.well] if _cause(completed) is None else ()
            raise _failed(completed, "up", self._told(ill))
        self._wait(before)

    def _remove_never_started(self) -> None:
        """What an engine that died had only created: it may be unable to start that any more, and nothing is in it."""
        with engine.answering() as client:
            for name, container in engine.containers(client, self.settings.project).items():
                if container.status == "created":
                    progress(f"removing {name}, which was created and never started")
                    container.remove(force=True)

    def _remove_dropped(self, file: ComposeFile) -> None:
        """Before anything is started, for what takes their place may want their ports."""
        with engine.answering() as client:
            for name, container in engine.containers(client, self.settings.project).items():
                if container.labels.get(BUILT) and name not in file.services:
                    progress(f"removing {name}, which {file.path.name} does not have")
                    container.stop()
                    container.remove()

    def down(self) -> None:
        """Stop the containers whose images are built from a release, and keep everything else."""
        with engine.answering() as client:
            for name, container in engine.containers(client, self.settings.project).items():
                if container.labels.get(BUILT):
                    progress(f"stopping {name}")
                    container.stop()

    def execute(self, service: str, argv: Sequence[str], *, timeout: float = 60.0) -> Completed:
        """Run a program inside the service's container, ended there after `timeout` seconds (coreutils' timeout)."""
        started = time.monotonic()
        with engine.answering(timeout + engine.ANSWER_SECONDS) as client:
            container = self._container(client, service)
            code, output = container.exec_run(["timeout", "-k", "1", f"{timeout:g}", *argv])
        if code == TIMED_OUT:
            raise Unanswerable(
                f"{argv[0]} in {service} did not end within {timeout:g} s", remedy="look at what it was doing"
            )
        if code is None or not isinstance(output, bytes):
            raise Unanswerable(f"the engine does not say how {argv[0]} in {service} ended", remedy="run it again")
        return Completed(tuple(argv), code, output.decode(errors="replace"), time.monotonic() - started)

    def logs(self, service: str, *, since: datetime | None = None) -> str:
        """What the container has logged, by the engine's own times, as far back as its driver keeps it."""
        with engine.answering() as client:
            found = self._container(client, service)
            return found.logs(since=int(since.timestamp()) if since else None).decode(errors="replace")

    def log_files(self, service: str) -> tuple[Path, ...]:
        """None: the engine keeps them, perhaps on another machine."""
        return ()

    def log_keeping(self, service: str) -> LogKeeping:
        """By the logging driver and its options, as the engine has them."""
        with engine.answering() as client:
            return engine.log_keeping(self._container(client, service))

    def environment(self, service: str) -> dict[str, str]:
        """What the engine started the container with."""
        with engine.answering() as client:
            pairs = self._container(client, service).attrs["Config"]["Env"] or ()
        return dict(pair.split("=", 1) for pair in pairs if "=" in pair)

    def _compose(self, release: Release, words: Sequence[str], document: str, seconds: float) -> Completed:
        return compose_file.run(self.env, release, words, timeout=seconds, stdin=document)

    def _container(self, client: DockerClient, service: str) -> Container:
        found = engine.containers(client, self.settings.project).get(service)
        if found is None:
            raise Unanswerable(f"the engine has no container of {service}", remedy="deploy a release first (8.1)")
        return found

    def _wait(self, before: Mapping[str, datetime | None]) -> None:
        """Until every service has been well for ``settle_seconds`` without a restart.

        One that restarts for ever is up in between. One that was not started like that `before` and is unhealthy has
        failed as often as its file allows; one that ran already may yet recover, with what it needs.
        """
        deadline = time.monotonic() + self.settings.start_seconds
        at_first = {one.name: one.restarts for one in self.services()}
        seen: tuple[Service, ...] = ()
        quiet_since = time.monotonic()
        while True:
            services, now = self.services(), time.monotonic()
            ill = [one for one in services if not one.well]
            if ill or _lives(services) != _lives(seen):
                seen, quiet_since = services, now
            if not ill and now - quiet_since >= self.settings.settle_seconds:
                return
            fallen = {
                one.name
                for one in services
                if one.restarts - at_first[one.name] >= RESTARTS_FOR_EVER
                or (one.state == engine.UNHEALTHY and one.started != before[one.name])
            }
            if fallen or now >= deadline:
                told = self._told(fallen | {one.name for one in ill}) or "the last start was too short ago"
                wanted = f"quiet for {self.settings.settle_seconds:g} s within {self.settings.start_seconds:g} s"
                raise Unanswerable(
                    f"{'a service does not come up' if fallen else f'not up and {wanted}'}: {told}",
                    remedy="mend the service named, or roll back (notebook 90)",
                )
            progress(", ".join(f"{one.name} is {one.state}" for one in ill) or "every service is up; watching them")
            time.sleep(_POLL_SECONDS)

    def _told(self, names: Collection[str]) -> str:
        """How each of these services is, what befell it since it was started, and the last lines of its log."""
        with engine.answering() as client:
            found = engine.containers(client, self.settings.project)
            befell = engine.mishaps(client, self.settings.project, self.settings.start_seconds)
            lines: list[str] = []
            for name in (name for name in self.settings.services if name in names):
                one = engine.service(name, found.get(name))
                lines += [f"{name} is {one.state}; {one.detail}", *befell.get(name, [])[-RESTARTS_FOR_EVER:]]
                lines.append(engine.last_lines(found.get(name)) or "(it logged nothing)")
        return "\n".join(lines)


def _lives(services: Sequence[Service]) -> list[tuple[str, datetime | None, int]]:
    """What differs once one of them was started again."""
    return [(one.name, one.started, one.restarts) for one in services]


def _image(client: DockerClient, service: str, reference: str, seconds: float) -> Image:
    image = client.images.get(reference)
    return Image(service, str(image.id), int(image.attrs["Size"]), seconds)


def _tagged(built: Mapping[str, str], tag: str) -> tuple[Image, ...]:
    """The images of that tag, of the repositories by service."""
    from docker.errors import ImageNotFound

    found = []
    with engine.answering() as client:
        for service, name in built.items():
            try:
                found.append(_image(client, service, f"{name}:{tag}", 0.0))
            except ImageNotFound:
                continue
    return tuple(found)


def _cause(completed: Completed) -> tuple[str, str] | None:
    """What Compose's failure means, and what to do, where that is known."""
    for marks, meaning, remedy in _KNOWN_FAULTS:
        if any(mark in completed.output for mark in marks):
            return meaning, remedy
    return None


def _failed(completed: Completed, verb: str, services: str = "") -> Unanswerable:
    otherwise = (
        f"Compose's {verb} ended with {completed.returncode}",
        "read its words, and the log of the service named",
    )
    meaning, remedy = _cause(completed) or otherwise
    return Unanswerable(f"{meaning}: {completed.tail(4)}\n{services}".strip(), remedy=remedy)
