"""The built-in generator: sends by the clock or by users, within one event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final

from runbook_lib.errors import ConfigurationError
from runbook_lib.load import schedule, wire
from runbook_lib.load.alarm import alarm
from runbook_lib.load.client import Clients
from runbook_lib.load.interface import BREAKER, LOOKED_AT, Arrivals, Profile, Scripted, Users
from runbook_lib.load.pool import Pool
from runbook_lib.load.protocol import clock
from runbook_lib.load.recorder import Recorder, nothing

if TYPE_CHECKING:
    from runbook_lib.load.wire import Message, Origin

LATEST_SECONDS: Final = 1.0
"""How late the clock may start: what is overdue is sent at once."""
SWEEP_SECONDS: Final = 0.1
"""How often time limits are looked after; a request may outlive its own by as much."""
LOOK_UP: Final = 64
"""Requests that are sent at most before answers are let in."""
PATIENCE_SECONDS: Final = 1.0
"""A test that is stopped waits this long for the answers that are under way."""

Turn = tuple[Callable[["Message", float, float, bool], None], "Message", bool]
"""What sends a message, the message, and whether its answer is looked at."""


@dataclass(frozen=True)
class Plan:
    """One generator's part of a profile.

    Parameters
    ----------
    share, shares:
        Which part this is, from 0, and of how many.
    connections:
        The most at a time, by this generator.
    """

    profile: Profile
    share: int = 0
    shares: int = 1
    connections: int = 10_000


class Generator:
    """Sends one plan.

    Parameters
    ----------
    recorder:
        Keeps the samples.

    After the run ``cpu`` says how much of a core it used while the clock ran.
    """

    def __init__(self, plan: Plan, recorder: Recorder) -> None:
        self.plan, self.recorder = plan, recorder
        self.stopped = ""
        self.cpu = 0.0
        self.began = False
        self._failure: Exception | None = None
        self._issued = 0
        self._messages: list[Message] = []
        self._due = array("d")
        self._pools: dict[Origin, Pool | Clients] = {}
        self._over = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many were opened."""
        return sum(pool.opened for pool in set(self._pools.values()))

    def stop(self, reason: str) -> None:
        """End the test early."""
        self.stopped = self.stopped or reason
        self._over.set()

    async def prepare(self) -> None:
        """Everything that takes time and needs no clock.

        Raises
        ------
        OSError
            A name has no address.
        ImportError
            HTTP/2 is asked for, and its library is missing.
        """
        profile, most = self.plan.profile, self.plan.connections
        self._messages = [wire.message(place, call) for place, call in enumerate(profile.calls)]
        if isinstance(profile.load, Scripted):
            raise ConfigurationError("The built-in generator runs no scripts.")
        if isinstance(profile.load, Arrivals):
            times = schedule.times(profile.load, share=self.plan.share, shares=self.plan.shares)
            self._due = array("d", times.tobytes())
        origins, context = {message.origin for message in self._messages}, tls_context(profile)
        if wire.why_not(profile):
            self._pools = dict.fromkeys(origins, Clients(profile, self.recorder, context=context, most=most))
        else:
            for origin in origins:
                pool = Pool(origin, self.recorder, context=context, most=most, timeout=profile.timeout)
                self._pools[origin] = pool
                await pool.resolve()

    async def run(self, begin: float) -> None:
        """Send everything, and wait for the answers; `begin` is the Unix time at which the clock starts."""
        late = time.time() - begin
        if late > LATEST_SECONDS:
            raise TimeoutError(
                f"it came to it {late:.1f} s too late, and would have to send all that is overdue at once"
            )
        self.recorder.zero = clock() - late
        # Nothing made so far is looked through again while the clock runs.
        gc.collect()
        gc.freeze()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.recorder.zero - clock())):
                await self._over.wait()
        self.began = True
        keeper = asyncio.create_task(self._keep_house())
        used, began, load = time.process_time(), clock(), self.plan.profile.load
        try:
            await (self._by_users(load) if isinstance(load, Users) else self._by_clock())
            await self._last_answers()
        finally:
            self.cpu = (time.process_time() - used) / max(1e-9, clock() - began)
            keeper.cancel()
            self.recorder.after_each = nothing
            for pool in set(self._pools.values()):
                await pool.close()
            self.recorder.flush()
            gc.unfreeze()
        if self._failure is not None:
            raise self._failure

    def _turns(self) -> Iterator[Turn]:
        """This share's part of the calls' turns, without end."""
        order = [self._messages[place] for place in schedule.turns(self.plan.profile.calls)]
        ways = [(self._pools[message.origin].issue, message, message.predicate is not None) for message in order]
        unseen = [(issue, message, False) for issue, message, _ in ways]
        return islice(cycle(ways + (LOOKED_AT - 1) * unseen), self.plan.share, None, self.plan.shares)

    async def _by_clock(self) -> None:
        """Open loop: sleep until the next request is due, and send it with those that became due meanwhile."""
        due, count = self._due, len(self._due)
        turns, zero, number = self._turns(), self.recorder.zero, 0
        with alarm() as ringing:
            while number < count and not self.stopped:
                now = clock() - zero
                while number < count and due[number] <= now:
                    moment = due[number]
                    issue, message, look = next(turns)
                    issue(message, moment, now - moment, look)
                    number += 1
                    if not number % LOOK_UP:
                        # Whoever is behind must let answers in, and know how late it is.
                        break
                self._issued = number
                if number < count:
                    await ringing.at(zero + due[number])

    async def _by_users(self, load: Users) -> None:
        """Closed loop: every answer lets a user send again, after a pause."""
        loop, turns, zero = asyncio.get_running_loop(), self._turns(), self.recorder.zero
        users = range(self.plan.share, load.count, self.plan.shares)

        def next_request() -> None:
            now = clock() - zero
            if now < load.duration and not self.stopped:
                self._issued += 1
                issue, message, look = next(turns)
                issue(message, now, 0.0, look)

        def later() -> None:
            loop.call_later(load.think, next_request)

        self.recorder.after_each = later if load.think else next_request
        for user in users:
            loop.call_later(load.ramp * user / load.count, next_request)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(load.duration):
                await self._over.wait()

    async def _last_answers(self) -> None:
        patience = self.plan.profile.timeout + 2 * SWEEP_SECONDS
        deadline = clock() + patience
        while self.recorder.ended < self._issued and clock() < deadline:
            await asyncio.sleep(0.01)
            if self._over.is_set():
                deadline = min(deadline, clock() + PATIENCE_SECONDS)
                self._over.clear()

    async def _keep_house(self) -> None:
        """Look after time limits, the samples' file and the circuit breaker; no request is sent without them."""
        try:
            await self._look_after()
        except Exception as error:
            self._failure = error
            self.stop(f"its safeguards broke off: {error}")

    async def _look_after(self) -> None:
        second = clock() + 1.0
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for pool in set(self._pools.values()):
                pool.expire()
            if clock() >= second:
                second += 1.0
                self.recorder.flush()
                if reason := self.recorder.breaks(self.plan.profile.breaker):
                    self.stop(f"{BREAKER}: {reason}")


def tls_context(profile: Profile) -> ssl.SSLContext:
    """Verification by the profile's own authority, else by the system's; it is never switched off."""
    context = ssl.create_default_context(cafile=profile.certificate_authority)
    context.set_alpn_protocols(["http/1.1"])
    return context


def make_room() -> None:
    """Let this process open as many connections as the system allows it."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
