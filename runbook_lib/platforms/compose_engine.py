"""The engine behind Compose, asked by Compose's labels: the same whichever Compose started the containers."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from runbook_lib.errors import Unanswerable
from runbook_lib.platforms.interface import LogKeeping, Service

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

PROJECT: Final = "com.docker.compose.project"
SERVICE: Final = "com.docker.compose.service"
ONE_OFF: Final = "com.docker.compose.oneoff"
HEALTHY: Final = "healthy"
UNHEALTHY: Final = "unhealthy"
"""What the engine calls a container whose health check has failed as often in a row as its file allows."""
ANSWER_SECONDS: Final = 60
LAST_LINES: Final = 8
_MISHAPS: Final = {"die": "it ended with exit code {code}", "oom": "it ran out of memory"}
"""Events of the engine, in words."""
_ROTATION: Final = {"local": {"max-size": "20m", "max-file": "5"}}
"""What a log driver does where nothing is set (https://docs.docker.com/engine/logging/drivers/local)."""
_UNITS: Final = {"k": 1024, "m": 1024**2, "g": 1024**3}


@contextmanager
def answering(seconds: float = ANSWER_SECONDS) -> Iterator[DockerClient]:
    """The engine that DOCKER_HOST names, else the one of the docker context; it may be silent for `seconds`.

    Raises
    ------
    Unanswerable
        It does not answer, or refuses.
    """
    import requests
    from docker.errors import APIError, DockerException

    try:
        client = _client(math.ceil(seconds))
        try:
            yield client
        finally:
            client.close()
    except APIError as error:
        raise Unanswerable(
            f"the Docker engine refuses: {error.explanation or error}", remedy="read its words, and its log"
        ) from error
    except (DockerException, requests.RequestException) as error:
        raise Unanswerable(
            f"the engine is down, or does not answer: {error}",
            remedy="start it (systemctl start docker), then resume the run; check DOCKER_HOST, the docker context and "
            "who may use it",
        ) from error


def _client(seconds: int) -> DockerClient:
    import docker
    from docker.context import ContextAPI

    if os.environ.get("DOCKER_HOST"):
        return docker.from_env(timeout=seconds)
    name = os.environ.get("DOCKER_CONTEXT")
    context: Any = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    if context is None:
        raise Unanswerable(f"there is no docker context '{name}'", remedy="correct DOCKER_CONTEXT")
    return docker.DockerClient(base_url=context.Host, tls=context.TLSConfig or False, timeout=seconds)


def containers(client: DockerClient, project: str) -> dict[str, Container]:
    """The project's containers by service, the newest where there are several; what `run` started is left out.

    Raises Unanswerable where a service runs in several: one of them would be looked at for all.
    """
    labels = [f"{PROJECT}={project}", f"{ONE_OFF}=False"]
    found = client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
    running = Counter(each.labels[SERVICE] for each in found if each.status == "running")
    if several := [f"{name} in {number}" for name, number in sorted(running.items()) if number > 1]:
        raise Unanswerable(
            f"services run in several containers, of which this kit would see one: {', '.join(several)}",
            remedy="give each service one container (no deploy.replicas, no --scale), with workers inside it",
        )
    return {each.labels[SERVICE]: each for each in sorted(found, key=lambda each: str(each.attrs["Created"]))}


def runs_what_its_tag_names(client: DockerClient, container: Container) -> bool:
    """Whether the reference that the container was started from still leads to the image that it runs."""
    from docker.errors import ImageNotFound

    try:
        return bool(client.images.get(container.attrs["Config"]["Image"]).id == container.attrs["Image"])
    except ImageNotFound:
        return False


def service(name: str, container: Container | None) -> Service:
    """The service as the engine sees its container."""
    if container is None:
        return Service(name, "MISSING", False, None, None, 0, "the engine has no container of it")
    state = container.attrs["State"]
    health = state.get("Health")
    restarts = int(container.attrs.get("RestartCount", 0))
    up = state["Status"] == "running"
    checked = health["Status"] if health and health["Status"] != "none" else None
    return Service(
        name,
        str(checked) if up and checked not in (None, HEALTHY) else state["Status"],
        up,
        None if checked is None else checked == HEALTHY,
        datetime.fromisoformat(state["StartedAt"]) if up else None,
        restarts,
        _detail(state, restarts),
    )


def _detail(state: dict[str, Any], restarts: int) -> str:
    """What a person needs to know who asks why it is not up or not healthy."""
    if state["Status"] == "restarting":
        return f"it was restarted {restarts} times so far, the last exit code was {state['ExitCode']}"
    if state["Status"] != "running":
        return f"exit code {state['ExitCode']}. {state.get('Error', '')}".strip()
    tried = (state.get("Health") or {}).get("Log") or []
    failing = [each for each in tried if each["ExitCode"] != 0]
    if failing and tried[-1]["ExitCode"] != 0:
        return f"its health check ended with {failing[-1]['ExitCode']}: {failing[-1]['Output'].strip()[-200:]}"
    return f"it was restarted {restarts} times" if restarts else ""


def mishaps(client: DockerClient, project: str, seconds: float) -> dict[str, list[str]]:
    """What befell the project's containers in the last `seconds` of the engine's own clock, by service."""
    now = datetime.fromisoformat(client.info()["SystemTime"])
    wanted = {"label": f"{PROJECT}={project}", "event": list(_MISHAPS)}
    found: dict[str, list[str]] = {}
    for each in client.events(
        since=int(now.timestamp() - seconds), until=math.ceil(now.timestamp()), filters=wanted, decode=True
    ):
        about = each["Actor"]["Attributes"]
        time = datetime.fromtimestamp(each["time"], UTC).time()
        told = _MISHAPS[each["Action"]].format(code=about.get("exitCode", "?"))
        found.setdefault(about.get(SERVICE, ""), []).append(f"{time} UTC: {told}")
    return found


def last_lines(container: Container | None) -> str:
    """The last lines of the container's log; empty where there are none."""
    if container is None:
        return ""
    return container.logs(tail=LAST_LINES).decode(errors="replace").strip()


def log_keeping(container: Container) -> LogKeeping:
    """By the engine's own configuration of the container; journald rotates by settings of its own."""
    configuration = container.attrs["HostConfig"]["LogConfig"]
    options = _ROTATION.get(configuration["Type"], {}) | (configuration.get("Config") or {})
    files = int(options.get("max-file", 1)) - 1
    return LogKeeping(configuration["Type"], size(options.get("max-size", "-1")), max(files, 0))


def size(text: str) -> int | None:
    """Bytes of a size as Docker writes it (``50m``, in powers of 1024); None for ``-1``, unlimited."""
    number, unit = text.lower().removesuffix("b"), 1
    if number and number[-1] in _UNITS:
        number, unit = number[:-1], _UNITS[number[-1]]
    try:
        return None if float(number) < 0 else int(float(number) * unit)
    except ValueError as error:
        raise Unanswerable(f"the engine's max-size is '{text}'", remedy="write it as 50m") from error
