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

END: Final = b"\r\n\r\n"
"""Ends a head."""
BODY_LIMIT: Final = 2_000_000
"""Bytes of a body that are kept for its predicate."""

Known = tuple[bytes, int, int, int, bool]
"""An answer's head, the bytes of the whole of it, its status, the outcome, and whether the connection is kept alive."""
UNKNOWN: Final[Known] = (b"", 0, 0, 0, False)


class Owner(Protocol):
    """What a connection reports to; all moments are seconds since the test began."""

    @property
    def known(self) -> dict[int, Known]:
        """The last answer to each call, by the call's place, whose head alone tells all that is asked of it."""
        ...

    @property
    def zero(self) -> float:
        """The test's zero on :data:`clock`."""
        ...

    def record(self, row: bytes, /) -> None:
        """Keep a sample."""
        ...

    def count(self, outcome: int) -> None:
        """Count an outcome that is not :attr:`Outcome.ANSWERED`."""
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
        "_known",
        "_lag",
        "_parser",
        "_record",
        "_size",
        "_write",
        "_zero",
        "due",
        "message",
        "owner",
        "sent",
        "transport",
    )

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self._record, self._free, self._known, self._zero = owner.record, owner.free, owner.known, owner.zero
        self.message: Message | None = None
        self._body: Body | None = None
        self._new_parser(self)

    def _new_parser(self, listener: Connection | Body) -> None:
        self._parser = httptools.HttpResponseParser(listener)
        self._feed = self._parser.feed_data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self.transport = cast(asyncio.Transport, transport)
        self._write = self.transport.write

    def send(self, message: Message, due: float, lag: float, look: bool, now: float) -> None:
        """Send a message that was `due`; where told to `look`, its predicate is asked about the answer's body."""
        self.message, self.due, self._lag, self.sent = message, due, lag, now
        self._head, self._size, self._complete = b"", 0, 0
        if look:
            self._body = Body(self)
            self._new_parser(self._body)
        self._write(message.content)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        now = clock() - self._zero
        message = self.message
        if message is None:
            # Nobody asked for it: such a connection is not to be trusted with the next request.
            self.transport.abort()
            return
        if not self._head:
            self._first, self._head = now, data
            head, size, status, outcome, keep = self._known.get(message.place, UNKNOWN)
            if len(data) == size and data.startswith(head) and self._body is None:
                self._size, self._keep = size, keep
                self._end(status, outcome, now)
                return
        elif self._body is None and END not in self._head:
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
        message = self.message
        assert message is not None
        if self._complete > 1:
            self.fail(Outcome.MALFORMED, now)
            return
        status = self._parser.get_status_code()
        outcome: int = 0 if status in message.status else 1
        if self._body is not None:
            if not outcome and self._wrong_body(self._body, message):
                outcome = Outcome.WRONG_BODY
            self._body = None
            self._new_parser(self)
        elif self._size == len(self._head):
            self._learn(message.place, status, outcome)
        self._end(status, outcome, now)

    def _learn(self, place: int, status: int, outcome: int) -> None:
        """Remember an answer that came whole, so that the next one with the same head and size need not be parsed.

        Where its length is given, and no transfer coding, it is the head that says where an answer ends (RFC 9112,
        section 6.3); the head of an interim answer is not the answer's.
        """
        data = self._head
        head = data[: data.find(END) + len(END)]
        if head.startswith(b"HTTP/1.1 %d" % status) and framed_by(head) == (True, False):
            self._known[place] = head, len(data), status, outcome, self._keep

    def _end(self, status: int, outcome: int, now: float) -> None:
        message, due = self.message, self.due
        assert message is not None
        self.message = None
        first, after = self._first - due, now - due
        self._record(_pack(due, self._lag, self.sent - due, first, after, self._size, status, outcome, message.place))
        if outcome:
            self.owner.count(outcome)
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
        self._record(_pack(*row))
        self.owner.count(outcome)
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
        head, end, _ = self._head.partition(END)
        return bool(end) and framed_by(head) == (False, False)


def framed_by(head: bytes) -> tuple[bool, bool]:
    """Whether a head gives the body's length, and whether it gives a transfer coding."""
    lowered = head.lower()
    return b"\ncontent-length:" in lowered, b"\ntransfer-encoding:" in lowered


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
