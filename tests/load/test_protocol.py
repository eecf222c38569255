from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.load.interface import Call
from runbook_lib.load.protocol import Connection
from runbook_lib.load.samples import RECORD, Outcome
from runbook_lib.load.wire import message

MESSAGE = message(0, Call(httpx.Request("GET", "http://localhost/"), "x"))


class Forgetful(dict):
    """With it, every answer is parsed."""

    def __setitem__(self, place, answer):
        pass


class Conversation:
    """A connection's owner, and its transport."""

    zero = 0.0

    def __init__(self, known):
        self.known, self.samples, self.open = known, [], True
        self.connection = Connection(self)
        self.connection.connection_made(self)

    def write(self, content):
        assert content == MESSAGE.content

    def record(self, row):
        _, _, _, _, _, size, status, outcome, _ = RECORD.unpack(row)
        self.samples.append((size, status, Outcome(outcome)))

    def count(self, outcome):
        assert outcome

    def free(self, connection):
        self.samples.append("free")

    def spent(self):
        self.samples.append("spent")

    def gone(self, connection):
        self.open = False

    def abort(self):
        self.open = False

    close = abort

    def ask(self, parts, sent=MESSAGE):
        """What becomes of a message that is answered in these parts, the last by the connection's end if it is None."""
        if not self.open:
            self.__init__(self.known)
        self.connection.send(sent, 0.0, 0.0, sent.predicate is not None, 0.0)
        for part in parts:
            if part is None:
                self.open = False
                self.connection.connection_lost(None)
            elif self.open and self.connection.message is not None:
                self.connection.data_received(part)
        if self.connection.message is not None:
            self.connection.fail(Outcome.TIMED_OUT, 0.0)
        return self.samples[-2:]


HEADS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 204 Nothing\r\n\r\n",
    b"HTTP/1.1 304 Same\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\n",
    b"rubbish\r\n\r\n",
]
BODIES = [b"", b"ok", b"abc", b"2\r\nok\r\n0\r\n\r\n", b"2\r\nno\r\n1\r\n\r\n\r\n"]
USUAL = HEADS[0] + b"ok"
whole = st.builds(lambda head, body: [head + body], st.sampled_from(HEADS), st.sampled_from(BODIES))
cut = st.builds(
    lambda parts, place, last: [parts[0][:place], parts[0][place:], *last],
    whole,
    st.integers(1, 90),
    st.sampled_from([[], [None]]),
)


@given(st.lists(whole | cut | whole.map(lambda parts: [*parts, None]), min_size=2, max_size=8))
def test_answers_that_need_not_be_parsed_are_told_as_if_they_were(answers):
    learning, parsing = Conversation({}), Conversation(Forgetful())
    for answer in answers:
        parts = [part for part in answer if part is None or part]
        assert learning.ask(parts) == parsing.ask(parts)


def test_an_answer_like_the_last_is_not_parsed():
    conversation = Conversation({})
    assert conversation.ask([USUAL]) == [(40, 200, Outcome.ANSWERED), "free"]
    conversation.connection._feed = pytest.fail
    assert conversation.ask([HEADS[0] + b"no"]) == [(40, 200, Outcome.ANSWERED), "free"]


@pytest.mark.parametrize(
    "other",
    [HEADS[1] + b"abc", HEADS[2] + b"ok", HEADS[0] + b"o", HEADS[0] + b"okHTTP"],
)
def test_an_answer_of_another_kind_is(other):
    conversation, fed = Conversation({}), []
    conversation.ask([USUAL])
    conversation.connection._feed = fed.append
    conversation.ask([other])
    assert fed == [other]


@pytest.mark.parametrize("place", [4, 5, 7, 8, 9, 11])
def test_a_head_that_does_not_say_alone_where_its_answer_ends_is_forgotten(place):
    conversation = Conversation({})
    conversation.ask([HEADS[place] + BODIES[3 if place == 4 else 1], None])
    assert conversation.known == {}


def test_an_answer_whose_body_is_looked_at_is():
    conversation = Conversation({})
    conversation.ask([USUAL])
    said = conversation.ask([HEADS[0] + b"no"], replace(MESSAGE, predicate=lambda body: f"{body!r} is not ok"))
    assert said == [(40, 200, Outcome.WRONG_BODY), "free"]
