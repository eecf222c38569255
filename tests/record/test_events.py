from __future__ import annotations

import json
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook_lib.errors import RecordError
from runbook_lib.record.events import EventLog

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(rows=st.lists(st.dictionaries(st.text("abc", min_size=1), json_values, max_size=2), max_size=4))
def test_what_is_appended_is_read_back(rows, tmp_path_factory):
    log = EventLog(tmp_path_factory.mktemp("log") / "events.jsonl")
    for row in rows:
        log.append("happened", **row)
    assert [event.data for event in log.read()] == rows
    assert [event.number for event in log.read()] == list(range(1, len(rows) + 1))


def filled(tmp_path, count=4) -> EventLog:
    log = EventLog(tmp_path / "events.jsonl")
    for number in range(count):
        log.append("happened", number=number)
    return log


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: lines[1:],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[1].replace(b'"number":1', b'"number":9', 1), *lines[2:]],
        lambda lines: [lines[0], b"not json\n", *lines[2:]],
    ],
    ids=["first dropped", "one dropped", "two swapped", "one edited", "one replaced"],
)
def test_damage_is_named(tmp_path, damage):
    log = filled(tmp_path)
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(damage(lines)))
    with pytest.raises(RecordError, match=r"events\.jsonl, line \d"):
        log.read()


def test_a_line_cut_short_by_a_power_cut_costs_that_line_alone(tmp_path):
    log = filled(tmp_path)
    content = log.path.read_bytes()
    log.path.write_bytes(content[:-7])
    assert len(log.read()) == 3
    log.append("went on")
    assert [event.name for event in log.read()] == ["happened"] * 3 + ["went on"]


def test_a_log_longer_than_one_read_goes_on(tmp_path):
    log = EventLog(tmp_path / "events.jsonl")
    log.append("long", text="x" * 200_000)
    log.append("after")
    assert [event.number for event in log.read()] == [1, 2]


def _append(path, count):
    for _ in range(count):
        EventLog(path).append("happened")


def test_two_processes_share_one_chain(tmp_path):
    path = tmp_path / "events.jsonl"
    workers = [get_context("spawn").Process(target=_append, args=(path, 25)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(EventLog(path).read()) == 50


def test_each_line_is_canonical_json(tmp_path):
    line = filled(tmp_path, 1).path.read_text()
    assert list(json.loads(line)) == sorted(json.loads(line))
