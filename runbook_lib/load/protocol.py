"""One connection of the built-in generator: HTTP/1.1, kept alive, one request at a time."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol, cast

import httptools

from runbook_lib.load.samples import RECORD, Outcome
from runbook_lib.load.wire import Message

clock = time.perf_counter
_pack = RECORD.pack

BODY_LIMIT: Final = 2_000_000
"""Bytes of a body that are kept for its predicate."""


class Owner(Protocol):
    """What a connection reports to; all moments are seconds since the test began."""

    @property
    def zero(self) -> float:
        """The test's zero on :data:`clock`."""
        ...

    def record(self, row: bytes, outcome: int) -> None:
        """Keep a sample."""
        ...

    def free(self, connection: Connection) -> None:
        """The connection can take the next request."""
        ...

    def spent(self) -> None:
        """A request has ended, and its connection with it."""
        ...

    def gone(self, connection: Connection) -> None:
        """The connection is closed."""
        ...


class Connection(asyncio.Protocol):
    """Replays messages and times their answers.

    A request that finds its connection reset is not sent a second time, as a browser would: it counts as reset.
    """

    __slots__ = (
        "_body",
        "_complete",
        "_feed",
        "_first",
        "_free",
        "_head",
        "_keep",
        "_lag",
        "_parser",
        "_record",
        "_size",
        "_zero",
        "due",
        "message",
        "owner",
        "sent",
        "transport",
    )

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self._record, self._free, self._zero = owner.record, owner.free, owner.zero
        self.message: Message | None = None
        self._body: Body | None = None
        self._new_parser(self)

    def _new_parser(self, listener: Connection | Body) -> None:
        self._parser = httptools.HttpResponseParser(listener)
        self._feed = self._parser.feed_data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self, message: Message, due: float, lag: float, look: bool, now: float) -> None:
        """Send a message that was `due`; where told to `look`, its predicate is asked about the answer's body."""
        self.message, self.due, self._lag, self.sent = message, due, lag, now
        self._head, self._size, self._complete = b"", 0, 0
        if look:
            self._body = Body(self)
            self._new_parser(self._body)
        self.transport.write(message.content)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        now = clock() - self._zero
        if self.message is None:
            # Nobody asked for it: such a connection is not to be trusted with the next request.
            self.transport.abort()
            return
        if not self._head:
            self._first, self._head = now, data
        elif self._body is None and b"\r\n\r\n" not in self._head:
            self._head += data
        self._size += len(data)
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(Outcome.MALFORMED, now)
            return
        if self._complete:
            self._answered(now)

    def on_message_complete(self) -> None:
        """Called by the parser; an interim answer (1xx) is none."""
        parser = self._parser
        if parser.get_status_code() >= 200:
            self._complete += 1
            # The parser knows it only here.
            self._keep = parser.should_keep_alive()

    def _answered(self, now: float) -> None:
        message, parser, due = self.message, self._parser, self.due
        assert message is not None
        if self._complete > 1:
            self.fail(Outcome.MALFORMED, now)
            return
        status = parser.get_status_code()
        outcome: int = 0 if status in message.status else 1
        if self._body is not None:
            if not outcome and self._wrong_body(self._body, message):
                outcome = Outcome.WRONG_BODY
            self._body = None
            self._new_parser(self)
        self.message = None
        self._record(
            _pack(
                due,
                self._lag,
                self.sent - due,
                self._first - due,
                now - due,
                self._size,
                status,
                outcome,
                message.place,
            ),
            outcome,
        )
        if self._keep:
            self._free(self)
        else:
            self.transport.close()
            self.owner.spent()

    def _wrong_body(self, body: Body, message: Message) -> bool:
        try:
            content = body.content(self._parser.get_status_code())
        except ValueError:
            # A content coding that is not what the header says.
            return True
        return bool(message.problem(content))

    def fail(self, outcome: Outcome, now: float) -> None:
        """Close the connection, whose request ended so."""
        message, due = self.message, self.due
        assert message is not None
        self.message = None
        # With the last byte's moment for the first where none came.
        first = self._first if self._head else now
        status = self._parser.get_status_code() if outcome is Outcome.CUT_SHORT and self._head else 0
        row = (due, self._lag, self.sent - due, first - due, now - due, self._size, status, outcome, message.place)
        self._record(_pack(*row), outcome)
        self.transport.abort()
        self.owner.spent()

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        if self.message is not None:
            now = clock() - self._zero
            if error is None and self._until_closed():
                self._complete, self._keep = 1, False
                self._answered(now)
            else:
                self.fail(Outcome.CUT_SHORT if error is None else Outcome.RESET, now)
        self.owner.gone(self)

    def _until_closed(self) -> bool:
        """Whether the answer is one that its connection's end completes (RFC 9112, section 6.3)."""
        head, end, _ = self._head.partition(b"\r\n\r\n")
        lowered = head.lower()
        return bool(end) and b"\ncontent-length:" not in lowered and b"\ntransfer-encoding:" not in lowered


class Body:
    """Listens to a parser in a connection's place, and keeps the answer's headers and body for its predicate."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._size = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers.append((name, value))

    def on_body(self, part: bytes) -> None:
        """Called by the parser."""
        self._size += len(part)
        if self._size <= BODY_LIMIT:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self._connection.on_message_complete()

    def content(self, status: int) -> bytes:
        """The body, without its content coding."""
        import httpx

        return httpx.Response(status, headers=self._headers, content=b"".join(self._parts)).content
