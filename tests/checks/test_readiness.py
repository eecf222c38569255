from __future__ import annotations

import itertools

from runbook_lib.checks import readiness


def test_the_sandbox_answers(env):
    assert readiness.wait_for_answer(env, 10.0) is not None


def test_an_answer_is_waited_for_even_where_it_says_unhealthy(serve, at, reply):
    statuses = itertools.chain((502, 504, 502), itertools.repeat(503))
    server = serve({"/health": lambda asked: reply({}, next(statuses))})
    assert readiness.wait_for_answer(at(server.url), 10.0) is not None
    assert len(server.asked) == 4


def test_nobody_answers(serve, at, reply):
    assert readiness.wait_for_answer(at("http://127.0.0.1:1"), 0.3) is None
    assert readiness.wait_for_answer(at(serve({"/health": reply({}, 502)}).url), 0.3) is None
