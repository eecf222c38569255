"""The sandbox: two stacks, `sandbox` (production settings) and `sandbox-staging`, of real services on loopback.

``Sandbox(home().sandbox).up()`` creates what is missing, starts what is down, and changes nothing where all is well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from runbook_lib import environment, platforms
from runbook_lib.environment import Environment
from runbook_lib.errors import ConfigurationError, Unanswerable
from runbook_lib.platforms.images import remove
from runbook_lib.platforms.interface import Service
from runbook_lib.sandbox import (
    certificates,
    daemon,
    environments,
    first_release,
    postgres,
    processes,
    settings,
    tracker,
)
from runbook_lib.sandbox.hosting import Hosting
from runbook_lib.sandbox.hosting.embedded import Embedded
from runbook_lib.sandbox.layout import Ports, Stack, choose_ports
from runbook_lib.sandbox.parallel import together
from runbook_lib.step import progress

_LOCK_SECONDS = 300.0
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class StackStatus:
    """One stack as it is now; `services` is empty before it was ever started."""

    name: str
    url: str
    running: bool
    release: str | None
    services: tuple[Service, ...]


@dataclass(frozen=True)
class Sandbox:
    """Everything under `root`; removing the folder, once it is down, forgets the sandbox."""

    root: Path
    hosting: Hosting = field(default_factory=Embedded)

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """Its stacks."""
        return tuple(Stack(self.root, self.hosting.name + suffix) for suffix in ("", "-staging"))

    def running(self) -> bool:
        """Whether any stack's supervisord answers."""
        return any(daemon.running(stack) for stack in self.stacks)

    def up(self) -> None:
        """Create, repair and start both stacks; returns once every service answers.

        Raises
        ------
        ConfigurationError
            Something cannot be created or started; the text says what and where to look.
        Unanswerable
            Another program did not do what it was asked for, or not in time.
        """
        with self._locked():
            self._create_application()
            self.hosting.create(self.root)
            for stack in self.stacks:
                if not daemon.running(stack):
                    self._prepare(stack)
            self._write_environments()
            # The stacks share the checkout, and their files may stand in it.
            first_release.check_out(self._environments()[0][0])
            together(*(partial(self._start, stack) for stack in self.stacks), partial(tracker.create, self.root))
            self._start_tracker()
            self._deploy_first_release()
            together(*(partial(self._finish, stack) for stack in self.stacks))

    def down(self) -> None:
        """Stop everything that belongs to the sandbox; does nothing where nothing runs."""
        if self.root.is_dir():
            with self._locked():
                together(*(partial(self._stop, stack) for stack in self.stacks))

    def destroy(self) -> None:
        """Stop it and remove all that it holds; what another sandbox keeps below the same folder stays."""
        from runbook_lib.home import home

        self.down()
        for stack in self.stacks:
            self.hosting.destroy(stack)
        for entry in self.root.glob("*"):
            if entry != home().containers:
                remove(entry) if entry.is_dir() else entry.unlink()

    def status(self) -> tuple[StackStatus, ...]:
        """Both stacks as they are; reading it changes nothing."""
        return tuple(_status(stack) for stack in self.stacks)

    def _create_application(self) -> None:
        from runbook_lib.sandbox import repository

        folder = self.root / "application"
        if not folder.is_dir():
            progress("creating the application's repository")
            repository.create(folder)

    def _prepare(self, stack: Stack) -> None:
        """End what an earlier sandbox left running, settle the ports, and write the files that name them."""
        self.hosting.stop(stack)
        processes.end_leftovers(stack)
        ports = self._settle_ports(stack)
        stack.backups.mkdir(mode=0o700, exist_ok=True)
        settings.create(stack, ports)
        certificates.create(stack)

    def _settle_ports(self, stack: Stack) -> Ports:
        """The stack's ports, moved where somebody else has taken one."""
        old = stack.ports()
        if old is not None and old.free():
            return old
        new = choose_ports(tuple(other for each in self.stacks if (other := each.ports())))
        if old is not None:
            progress(f"{stack.name}: a port was taken, moving from {old.base} to {new.base}")
            # The other's too, for one stack's tracker serves both.
            for each in self.stacks:
                if each.dotenv.is_file():
                    settings.move(each, old, new)
        stack.keep(new)
        return new

    def _write_environments(self) -> None:
        for stack in self.stacks:
            if ports := stack.ports():
                environments.create(stack, ports, self.hosting)

    def _start_tracker(self) -> None:
        """It takes seconds, and nothing but the checks that ask it needs it: they wait for it themselves."""
        for stack in self.stacks:
            if tracker.owned(stack):
                daemon.begin_program(stack, daemon.TRACKER)

    def _deploy_first_release(self) -> None:
        """On stacks where nothing was ever deployed; installing can be repeated, so that no half of it stays."""
        bare = [env for env, _ in self._environments() if platforms.connect(env).deployed() is None]
        if bare:
            found = first_release.prepare(bare[0])
            # All before any service starts, and one after the other: stacks of one engine share the images' names.
            for env in bare:
                first_release.build_images(env, found)
            together(*(partial(first_release.deploy, env, found) for env in bare))

    def _environments(self) -> tuple[tuple[Environment, Stack], ...]:
        return tuple((environment.read(stack.environment), stack) for stack in self.stacks)

    def _start(self, stack: Stack) -> None:
        """Have supervisord, database, cache, edge and sink running."""
        ports = stack.ports()
        assert ports is not None, "the ports are settled before"
        if not daemon.running(stack):
            postgres.create(stack, settings.values(stack)["POSTGRES_PASSWORD"])
            daemon.start(stack, self.hosting.programs(stack, ports))
        self.hosting.start_foundation(stack, ports)
        daemon.start_programs(stack, (daemon.SINK,))
        _wait_for_database(stack)

    def _finish(self, stack: Stack) -> None:
        """Have the deployed release running too, and answering."""
        self.hosting.start_release(stack)
        _wait_for_answer(stack, environment.read(stack.environment))

    def _stop(self, stack: Stack) -> None:
        self.hosting.stop(stack)
        daemon.stop(stack)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One start or stop at a time."""
        from filelock import FileLock, Timeout

        self.root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.root / "lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout:
            raise ConfigurationError(
                f"Another 'runbook sandbox' is at work on {self.root} for {_LOCK_SECONDS:g} s; wait for it to end."
            ) from None


def _wait_for_database(stack: Stack) -> None:
    """Wait until PostgreSQL lets the application in; after a crash it replays its journal first."""
    import psycopg

    url = settings.values(stack)["DATABASE_URL"]
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=3).close()
            return
        except psycopg.OperationalError as error:
            if time.monotonic() >= deadline:
                raise ConfigurationError(f"{stack.name}: the database does not answer: {error}") from error
        time.sleep(_POLL_SECONDS)


def _wait_for_answer(stack: Stack, env: Environment) -> None:
    """Wait until the back end answers through the edge, whatever it says."""
    from runbook_lib.checks import readiness

    if readiness.wait_for_answer(env, _READY_SECONDS) is None:
        raise ConfigurationError(f"{stack.name}: the application does not answer at {env.web.url}; read {stack.logs}")


def _status(stack: Stack) -> StackStatus:
    if not stack.environment.is_file():
        return StackStatus(stack.name, "", False, None, ())
    env = environment.read(stack.environment)
    platform = platforms.connect(env)
    try:
        # Containers that were stopped are still known.
        services = platform.services() if daemon.running(stack) else ()
        return StackStatus(stack.name, env.web.url, bool(services), platform.deployed(), services)
    except Unanswerable:
        return StackStatus(stack.name, env.web.url, False, None, ())
