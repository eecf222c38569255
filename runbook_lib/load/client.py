"""What the built-in protocol does not speak, by real httpx clients: one for each user, slower, and complete."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING

from runbook_lib.load.interface import Profile
from runbook_lib.load.protocol import clock
from runbook_lib.load.recorder import Recorder
from runbook_lib.load.samples import RECORD, Outcome
from runbook_lib.load.wire import Message

if TYPE_CHECKING:
    import httpx


class Clients:
    """Takes a pool's place: a client that is free sends the message, else a new one.

    Each has one connection and its own cookies. One client for all of them would look through all of its connections
    at every call, and be what is measured.

    Raises
    ------
    ImportError
        HTTP/2 is asked for, and its library is missing.
    """

    def __init__(self, profile: Profile, recorder: Recorder, *, context: ssl.SSLContext, most: int) -> None:
        self.opened = 0
        self._profile, self._recorder, self._context = profile, recorder, context
        self._free = asyncio.Semaphore(most)
        self._idle: list[httpx.AsyncClient] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle.append(self._client())

    async def resolve(self) -> None:
        """Nothing: a client, or its proxy, looks names up by itself."""

    def issue(self, message: Message, due: float, lag: float, look: bool) -> None:
        """Send a message as soon as a client is free."""
        task = asyncio.create_task(self._timed(message, due, lag, look))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _client(self) -> httpx.AsyncClient:
        import httpx

        if self._idle:
            return self._idle.pop()
        self.opened += 1
        profile = self._profile
        return httpx.AsyncClient(
            http2=profile.http2,
            verify=self._context,
            proxy=profile.proxy,
            follow_redirects=profile.follow_redirects,
            timeout=None,  # noqa: S113 (the whole of a request has one limit, in _timed)
            limits=httpx.Limits(max_connections=1),
            trust_env=False,
        )

    async def _timed(self, message: Message, due: float, lag: float, look: bool) -> None:
        zero, times = self._recorder.zero, [due + lag, 0.0]
        status = size = 0
        try:
            async with asyncio.timeout(self._profile.timeout), self._free:
                times[0] = clock() - zero
                status, size, body = await self._exchange(message, times)
            outcome = Outcome.ANSWERED if status in message.status else Outcome.WRONG_STATUS
            if look and not outcome and message.problem(body):
                outcome = Outcome.WRONG_BODY
        except asyncio.CancelledError:
            outcome = Outcome.ABANDONED
        except Exception as error:
            outcome = kind(error)
        now = clock() - zero
        row = (due, lag, times[0] - due, (times[1] or now) - due, now - due, size, status, outcome, message.place)
        self._recorder.record(RECORD.pack(*row))
        self._recorder.count(outcome)
        self._recorder.after_each()

    async def _exchange(self, message: Message, times: list[float]) -> tuple[int, int, bytes]:
        """Status, bytes and body of the answer; the second of `times` becomes that of its head."""
        given = self._profile.calls[message.place].request
        client = self._client()
        try:
            headers = [pair for pair in given.headers.multi_items() if pair[0] not in ("content-length", "host")]
            request = client.build_request(given.method, given.url, headers=headers, content=given.read())
            response = await client.send(request, stream=True)
            times[1] = clock() - self._recorder.zero
            try:
                body = await response.aread()
            finally:
                await response.aclose()
            return response.status_code, response.num_bytes_downloaded, body
        finally:
            if not self._profile.cookies:
                client.cookies.clear()
            self._idle.append(client)

    def expire(self) -> None:
        """Nothing: every request has its own time limit."""

    async def close(self) -> None:
        """End what is under way, and close every client."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self._idle:
            await client.aclose()


def kind(error: BaseException) -> Outcome:
    """Which error of a request an exception of httpx is."""
    import httpx

    causes = list(_causes(error))
    by_cause = (
        (ssl.SSLError, Outcome.UNVERIFIED),
        (ConnectionRefusedError, Outcome.REFUSED),
        (ConnectionResetError, Outcome.RESET),
        (TimeoutError, Outcome.TIMED_OUT),
    )
    for sort, outcome in by_cause:
        if any(isinstance(cause, sort) for cause in causes):
            return outcome
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return Outcome.UNREACHABLE
    if isinstance(error, httpx.ReadError | httpx.WriteError):
        return Outcome.RESET
    ended = isinstance(error, httpx.RemoteProtocolError) and ("closed" in str(error) or "disconnected" in str(error))
    return Outcome.CUT_SHORT if ended else Outcome.MALFORMED


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
