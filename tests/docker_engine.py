"""A Docker engine for the tests, and the one image that theirs are made of; no registry is asked."""

from __future__ import annotations

import gc
import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

from runbook_lib.errors import Unanswerable
from runbook_lib.platforms import compose_engine

BASE: Final = "runbook-tests-base:bookworm"
"""Debian with Python 3 and its venv module."""
PACKAGES: Final = "python3,python3-venv,ca-certificates"
START_SECONDS: Final = 120.0


@dataclass
class Engine:
    """An engine of our own, which keeps everything in `folder`."""

    folder: Path
    daemon: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """What DOCKER_HOST has to be."""
        return f"unix://{self.folder}/socket"

    def start(self) -> None:
        """Have it running and answering."""
        words = ["dockerd", "--host", self.host, "--data-root", self.folder / "data"]
        words += ["--exec-root", self.folder / "exec", "--pidfile", self.folder / "pid", "--bridge=none"]
        deadline = time.monotonic() + START_SECONDS
        while not _answers():
            # Where another one was killed, it may give up on the containerd that was left behind, and finds it later.
            if self.daemon is None or self.daemon.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self.daemon = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
            if time.monotonic() > deadline:
                cannot(f"dockerd did not start: {(self.folder / 'log').read_text()[-1000:]}")
            time.sleep(0.2)

    def kill(self) -> None:
        """End it as a power cut does; its containers may live on."""
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait(START_SECONDS)

    def end(self) -> None:
        """Stop it, and remove what it kept."""
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(START_SECONDS)
        # It leaves the host's network mounted, once a container has used it; one that was killed, its data too.
        mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for each in reversed([place for place in mounted if Path(place).is_relative_to(self.folder)]):
            subprocess.run(["umount", each], check=True)
        shutil.rmtree(self.folder)


@contextmanager
def own() -> Iterator[Engine]:
    """An engine that nobody else uses; DOCKER_HOST names it while it is there."""
    _need("dockerd", "docker.io")
    engine = Engine(Path(tempfile.mkdtemp(prefix="runbook-tests-docker-")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)
        try:
            engine.start()
            yield engine
        finally:
            engine.end()


@contextmanager
def running() -> Iterator[None]:
    """The engine that answers already, else one of our own, which is gone afterwards; DOCKER_HOST names it."""
    if _answers():
        yield
        return
    with own():
        yield


def make_base() -> str:
    """The image that tests build on, made of Debian's packages where the engine has none."""
    with compose_engine.answering() as client:
        if any(BASE in image.tags for image in client.images.list()):
            return BASE
    _need("debootstrap", "debootstrap")
    _need("docker", "docker.io")
    with tempfile.TemporaryDirectory() as tree:
        made = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", tree]
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen(["tar", "-C", tree, "-c", "."], stdout=subprocess.PIPE) as packed:
            subprocess.run(["docker", "import", "-", BASE], stdin=packed.stdout, check=True, stdout=subprocess.DEVNULL)
    return BASE


def free_port() -> int:
    """One of 127.0.0.1 that nobody listens on, and that Linux gives to no client before it is used."""
    while True:
        port = random.randint(20_000, 32_600)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


@contextmanager
def project() -> Iterator[str]:
    """A name for a Compose project; what the engine has of it is gone afterwards."""
    name = f"runbook-test-{secrets.token_hex(4)}"
    try:
        yield name
    finally:
        down = ["docker-compose", "-p", name, "-f", "-", "down", "--volumes", "--remove-orphans", "--timeout", "1"]
        subprocess.run(down, input="services: {none: {image: none}}", text=True, check=True, capture_output=True)
        with compose_engine.answering() as client:
            tags = [tag for image in client.images.list() for tag in image.tags]
            for tag in tags:
                if tag.startswith(name):
                    client.images.remove(tag)


@contextmanager
def unanswered() -> Iterator[None]:
    """Within it the engine may be down: docker-py leaves the refused connection's socket to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


def _answers() -> bool:
    with unanswered():
        try:
            with compose_engine.answering() as client:
                return bool(client.ping())
        except Unanswerable:
            return False


def _need(program: str, package: str) -> None:
    if shutil.which(program) is None:
        cannot(f"{program} was not found: apt-get install {package}")
    if os.geteuid() != 0:
        cannot(f"no Docker engine with {BASE} answers, and only root can run {program}")


def cannot(reason: str) -> NoReturn:
    """Skip on a machine that cannot; where everything must be tested, that is a failure."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
