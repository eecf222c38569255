"""Connections to one origin: as many as the requests under way need, the last one used first."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, Final

from runbook_lib.load.protocol import Connection, Known, clock
from runbook_lib.load.recorder import Recorder
from runbook_lib.load.samples import RECORD, Outcome
from runbook_lib.load.wire import Message, Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

OUR_FAULT: Final = (errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS)
"""This machine has no file or port left."""

Waiting = tuple[Message, float, float, bool]
"""A message, when it was due, how late the generator came to it, and whether its answer is looked at."""


class Pool:
    """The connections to one origin.

    Parameters
    ----------
    most:
        Connections at a time; requests beyond wait for one to be free, and their latency counts that.
    timeout:
        Seconds from when a request is due or sent, whichever is later, until it counts as unanswered.
    """

    def __init__(
        self, origin: Origin, recorder: Recorder, *, context: ssl.SSLContext | None, most: int, timeout: float
    ) -> None:
        self.record, self.count = recorder.record, recorder.count
        self.opened = 0
        self.known: dict[int, Known] = {}
        self._origin, self._recorder, self._context = origin, recorder, context
        self._most, self._timeout = most, timeout
        self._loop = asyncio.get_running_loop()
        self._places: Sequence[str] = ()
        self._all: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiting: deque[Waiting] = deque()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def zero(self) -> float:
        """The test's zero on :data:`clock`."""
        return self._recorder.zero

    async def resolve(self) -> None:
        """Look the name up, once for all connections. Raises OSError where it has no address."""
        found = await self._loop.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
        self._places = list(dict.fromkeys(str(place[0]) for *_, place in found))

    def issue(self, message: Message, due: float, lag: float, look: bool) -> None:
        """Send a message on a connection that is free, else on a new one, else as soon as one is free."""
        if self._idle:
            self._idle.pop().send(message, due, lag, look, due + lag)
            return
        self._waiting.append((message, due, lag, look))
        self._open_for_waiting()

    def _open_for_waiting(self) -> None:
        if self._opening < len(self._waiting) and len(self._all) + self._opening < self._most:
            self._opening += 1
            task = self._loop.create_task(self._open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        place = self._places[self.opened % len(self._places)]
        self.opened += 1
        try:
            connection = await self._connected(place)
        except (OSError, asyncio.CancelledError) as error:
            self._opening -= 1
            self._failed(error)
        else:
            self._opening -= 1
            self._all.add(connection)
            self._use(connection)

    async def _connected(self, place: str) -> Connection:
        host, secure = self._origin.host, self._origin.secure
        async with asyncio.timeout(self._timeout):
            _, connection = await self._loop.create_connection(
                lambda: Connection(self),
                place,
                self._origin.port,
                ssl=self._context if secure else None,
                server_hostname=host if secure else None,
            )
        return connection

    def _failed(self, error: BaseException) -> None:
        """Charge a failed connection to whoever waits longest."""
        ours = isinstance(error, asyncio.CancelledError) or (isinstance(error, TimeoutError) and error.errno is None)
        # Our own time limit ends the request too, wherever it waits.
        if not self._waiting or ours:
            return
        waited = self._waiting.popleft()
        if isinstance(error, OSError) and error.errno in OUR_FAULT:
            self._recorder.drop()
            self._recorder.after_each()
        else:
            self._never_sent(waited, refusal(error))

    def _never_sent(self, waited: Waiting, outcome: Outcome) -> None:
        message, due, lag, _ = waited
        after = clock() - self.zero - due
        self.record(RECORD.pack(due, lag, after, after, after, 0, 0, outcome, message.place))
        self.count(outcome)
        self._recorder.after_each()

    def free(self, connection: Connection) -> None:
        """A request has ended: give its connection to whoever waits longest."""
        self._use(connection)
        self._recorder.after_each()

    def spent(self) -> None:
        """A request has ended, and its connection with it."""
        self._recorder.after_each()

    def _use(self, connection: Connection) -> None:
        if self._waiting:
            message, due, lag, look = self._waiting.popleft()
            connection.send(message, due, lag, look, clock() - self.zero)
        else:
            self._idle.append(connection)

    def gone(self, connection: Connection) -> None:
        """Forget a connection that is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_for_waiting()

    def expire(self) -> None:
        """End every request whose time is over."""
        now = clock() - self.zero
        limit = now - self._timeout
        for connection in [one for one in self._all if one.message is not None and one.sent < limit]:
            connection.fail(Outcome.TIMED_OUT, now)
        while self._waiting and self._waiting[0][1] < limit:
            self._never_sent(self._waiting.popleft(), Outcome.TIMED_OUT)

    async def close(self) -> None:
        """Close everything; what is under way is kept as such."""
        now = clock() - self.zero
        for task in self._tasks:
            task.cancel()
        while self._waiting:
            self._never_sent(self._waiting.popleft(), Outcome.ABANDONED)
        for connection in list(self._all):
            if connection.message is not None:
                connection.fail(Outcome.ABANDONED, now)
            connection.transport.abort()
        # Transports close in the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0)


def refusal(error: BaseException) -> Outcome:
    """Which outcome it is of a request that no connection could be opened for it."""
    kinds = (
        (ssl.SSLError, Outcome.UNVERIFIED),
        (ConnectionRefusedError, Outcome.REFUSED),
        (ConnectionError, Outcome.RESET),
    )
    return next((outcome for kind, outcome in kinds if isinstance(error, kind)), Outcome.UNREACHABLE)
