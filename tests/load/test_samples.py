from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.load import samples
from runbook_lib.load.samples import FIELDS, RECORD, Outcome, Samples
from runbook_lib.load.wire import MOST_CALLS


def row(due=0.0, end=0.01, status=200, outcome=0, call=0):
    return RECORD.pack(due, 0.0, 0.001, end / 2, end, 100, status, outcome, call)


def test_a_row_takes_32_bytes_and_reads_as_it_was_written():
    assert RECORD.size == np.dtype(list(FIELDS)).itemsize == 32
    (found,) = samples.read(RECORD.pack(1.5, 0.25, 0.5, 0.75, 1.0, 7, 503, 1, 2)).rows
    assert found.tolist() == (1.5, 0.25, 0.5, 0.75, 1.0, 7, 503, 1, 2)


@given(st.integers(0, 31))
def test_a_torn_last_row_is_left_out(cut):
    content = row() + row()[:cut]
    assert len(samples.read(content)) == 1


def test_rows_come_in_the_order_in_which_they_were_due():
    assert samples.read(row(due=2.0) + row(due=1.0)).rows["due"].tolist() == [1.0, 2.0]
    parts = [samples.read(row(due=2.0)), samples.read(row(due=1.0))]
    assert samples.together(parts).rows["due"].tolist() == [1.0, 2.0]
    assert len(samples.together([])) == 0


def test_percentiles_are_exact():
    found = samples.read(b"".join(row(due=n, end=n / 1000.0) for n in range(101)))
    assert found.percentile(50, 95, 100) == pytest.approx([50.0, 95.0, 100.0])
    assert found.percentile(100, service=True) == pytest.approx([99.0])
    assert np.isnan(Samples(found.rows[:0]).percentile(95)).all()


def test_what_was_under_way_when_the_test_was_stopped_did_not_fail():
    found = samples.read(row() + row(outcome=Outcome.RESET) + row(outcome=Outcome.ABANDONED))
    assert found.failed.tolist() == [False, True, False]


def test_as_parquet_outcomes_and_calls_have_their_names():
    found = samples.read(row() + row(due=1.0, status=0, outcome=Outcome.REFUSED, call=1))
    table = pd.read_parquet(io.BytesIO(found.parquet(["GET /a", "GET /b"])))
    assert table["outcome"].tolist() == ["answered as expected", "connection refused"]
    assert table["call"].tolist() == ["GET /a", "GET /b"]
    assert table["due"].tolist() == [0.0, 1.0]


def test_as_parquet_there_is_room_for_all_calls_that_there_can_be():
    found = samples.read(b"".join(row(due=float(n), call=n) for n in range(MOST_CALLS)))
    table = pd.read_parquet(io.BytesIO(found.parquet([f"GET /{n}" for n in range(MOST_CALLS)])))
    assert table["call"].tolist() == [f"GET /{n}" for n in range(MOST_CALLS)]


def test_every_outcome_has_a_text():
    assert len({outcome.text for outcome in Outcome}) == len(Outcome)


def test_of_a_parquet_file_what_is_judged_is_read_back():
    found = samples.read(b"".join(row(due=float(n), end=n / 1000.0) for n in range(10)))
    assert samples.judged(found.parquet(["GET /a"], [(2.0, 5.0, 100.0)])).rows["due"].tolist() == [2.0, 3.0, 4.0]
    whole = samples.judged(found.parquet(["GET /a"]))
    assert whole.milliseconds == pytest.approx(found.milliseconds)
    with pytest.raises(ValueError, match="no file of load samples"):
        samples.judged(b"Withheld: this file held a secret")
