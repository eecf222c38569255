from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.review.difference.noise import Noise

ONE, OTHER = Noise("20260101T000000Z-v1"), Noise("20260102T111111Z-v1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("after 1.2 s", "after 33 s"),
        (
            "510.0 requests/s sustained, p95 12.1 ms (11.9 to 12.4), p99 20.5 ms",
            "511 requests/s sustained, p95 9 ms (8.8 to 9.1), p99 33.1 ms",
        ),
        ("2026-01-01T00:00:00Z", "2026-01-02T11:11:11.123456+00:00"),
        ("since 2026-01-01 00:00:00 UTC", "since 2026-01-02 11:11:11 UTC"),
        ("in outputs/x/20260101T000000Z-v1/evidence", "in outputs/x/20260102T111111Z-v1/evidence"),
        ("dump-20260101T000000Z.dump", "dump-20260102T111111Z.dump"),
        ("pid 17", "pid 4711"),
        ("http://127.0.0.1:8080/health", "http://127.0.0.1:45123/health"),
        ("10.0.0.1:45123", "10.0.0.1:60001"),
        ("shows event 0123456789abcdef0123456789abcdef", "shows event fedcba9876543210fedcba9876543210"),
        ({"round trip in ms": 1.25, "rows": 3}, {"round trip in ms": 0.7, "rows": 3}),
        ({"seconds": {"dump": "1.5 s"}}, {"seconds": {"dump": "2.5 s"}}),
        ({"seconds": {"dump": 1.5}}, {"seconds": {"dump": 2.5}}),
        ("took the test alert 224d8d9804769772", "took the test alert 909a80950c9fcb16"),
        ({"age in hours": 1}, {"age in hours": 2}),
        ({"round trip, median of 5, ms": 0.1}, {"round trip, median of 5, ms": 0.2}),
        ({"port": 45123}, {"port": 60001}),
        (["took 2 minutes"], ["took 3 minutes"]),
    ],
)
def test_what_differs_between_any_two_runs_is_no_difference(before, after):
    assert ONE.observed(before) == OTHER.observed(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("status 200", "status 500"),
        ("open: 443", "open: 443, 5432"),
        ("10.0.0.1:443", "10.0.0.1:8443"),
        ("commit 0123456789abcdef0123456789abcdef01234567", "commit 1123456789abcdef0123456789abcdef01234567"),
        ("v1.0.0", "v1.0.1"),
        ("errors 0.00%", "errors 2.00%"),
        ({"rows": 3}, {"rows": 4}),
        ({"running for more than 1000 ms": 0}, {"running for more than 1000 ms": 7}),
        ({"idle in a transaction above 1 s": 0}, {"idle in a transaction above 1 s": 1}),
        ({"port": 443}, {"port": 8443}),
        ({"error rate": 0.0}, {"error rate": 0.009}),
        ({"seconds": {"dump": 1.5}}, {"seconds": {"restore": 1.5}}),
        ({"passed": True}, {"passed": False}),
        ("12 s", "12 rows"),
    ],
)
def test_what_means_something_is_a_difference(before, after):
    assert ONE.observed(before) != OTHER.observed(after)


def test_a_duration_that_was_expected_is_a_threshold():
    assert ONE.expected("p95 < 200 ms") != OTHER.expected("p95 < 100 ms")
    assert ONE.expected({"seconds": 3}) != OTHER.expected({"seconds": 4})
    assert ONE.expected("newer than 2026-01-01T00:00:00Z") == OTHER.expected("newer than 2026-01-02T00:00:00Z")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_whatever_was_seen_is_the_same_as_itself(value):
    assert ONE.observed(value) == ONE.observed(value)
    assert ONE.expected(value) == ONE.expected(value)
