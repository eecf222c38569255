"""k6's points, one line of CSV for each metric of each request, as samples."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runbook_lib.errors import Unanswerable
from runbook_lib.load.interface import Call, Profile, Scripted
from runbook_lib.load.samples import FIELDS, Outcome, Samples

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

COLUMNS: Final = {
    "metric_name": "category",
    "timestamp": "float64",
    "metric_value": "float64",
    "error": "category",
    "error_code": "str",
    "expected_response": "str",
    "name": "category",
    "status": "str",
}
WANTED: Final = {**COLUMNS, "group": "category"}
"""Scripts may leave the group out of their tags."""
OUTSIDE: Final = ("::setup", "::teardown")
"""The groups of what a script asks before and after its load."""
CODES: Final = (
    (1050, 1050, Outcome.TIMED_OUT),
    (1101, 1101, Outcome.UNREACHABLE),
    (1100, 1199, Outcome.UNREACHABLE),
    (1200, 1210, Outcome.UNREACHABLE),
    (1211, 1211, Outcome.TIMED_OUT),
    (1212, 1212, Outcome.REFUSED),
    (1220, 1220, Outcome.RESET),
    (1300, 1399, Outcome.UNVERIFIED),
    (1400, 1599, Outcome.WRONG_STATUS),
    (1600, 1699, Outcome.MALFORMED),
)
"""k6's error codes (https://grafana.com/docs/k6/latest/javascript-api/error-codes/); the first that fits counts."""
MOST_NAMES: Final = 255
LONGEST_LINE: Final = 1 << 20
"""Bytes."""


@dataclass(frozen=True)
class Points:
    """What k6 wrote, with the calls that it made and its checks, by their number."""

    samples: Samples
    calls: tuple[Call, ...]
    dropped: int
    checks: int
    checks_failed: int


def read(points: Path, profile: Profile, *, own_script: bool) -> Points:
    """Samples from k6's CSV output.

    Parameters
    ----------
    own_script:
        Whether the project's own script made them: it names its requests, and its test begins with the first of them.

    Raises
    ------
    Unanswerable
        There is no request in it.
    """
    import numpy as np
    import pandas as pd

    try:
        _drop_torn_line(points)
        rows = pd.read_csv(points, usecols=lambda name: name in WANTED, dtype=WANTED, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise _nothing() from error
    if "group" in rows:
        rows = rows[~rows["group"].isin(OUTSIDE)]
    by_metric = dict(tuple(rows.groupby("metric_name", sort=False, observed=True)))
    if "http_req_duration" not in by_metric:
        raise _nothing()
    # k6 writes one line per metric and request, always in the same order, so that they go side by side; of an
    # interrupted test the last request may lack some.
    names = ("http_req_duration", "http_req_blocked", "http_req_receiving")
    whole = min(len(by_metric[name]) for name in names)
    took, blocked, receiving = (by_metric[name]["metric_value"].to_numpy()[:whole] / 1000.0 for name in names)
    about = by_metric["http_req_duration"].iloc[:whole]
    end = blocked + took
    start = about["timestamp"].to_numpy() / 1e6 - end
    first = profile.load.first if isinstance(profile.load, Scripted) else 0.0
    began = by_metric["began"]["metric_value"].iloc[0] / 1000.0 if "began" in by_metric else start.min() - first
    calls, places = _calls(about, profile, own_script)
    table = np.zeros(whole, dtype=list(FIELDS))
    table["due"] = np.maximum(0.0, start - began)
    table["sent"], table["first"], table["end"] = blocked, end - receiving, end
    table["status"] = pd.to_numeric(about["status"], errors="coerce").fillna(0).to_numpy(int)
    table["outcome"], table["call"] = _outcomes(about), places
    checks = by_metric["checks"]["metric_value"] if "checks" in by_metric else pd.Series(dtype=float)
    dropped = by_metric.get("dropped_iterations")
    return Points(
        Samples(table[np.argsort(table["due"], kind="stable")]),
        calls,
        0 if dropped is None else int(dropped["metric_value"].sum()),
        len(checks),
        int((checks == 0).sum()),
    )


def _drop_torn_line(points: Path) -> None:
    """Take away what stands behind the last whole line, as an interrupted test leaves it."""
    with points.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        tail_at = file.seek(max(0, size - LONGEST_LINE))
        file.truncate(tail_at + file.read().rfind(b"\n") + 1)


def _nothing() -> Unanswerable:
    return Unanswerable("k6 sent no request", remedy="see whether the rate and the duration are above zero")


def _calls(about: pd.DataFrame, profile: Profile, own_script: bool) -> tuple[tuple[Call, ...], np.ndarray]:
    """The calls that the rows are of, and the place of each row's."""
    import numpy as np

    names = about["name"].cat.remove_unused_categories()
    if not own_script:
        return profile.calls, names.astype(str).astype(int).to_numpy()
    request = profile.calls[0].request
    titles = [str(name) for name in names.cat.categories]
    if len(titles) > MOST_NAMES:
        # Addresses with a number in them, that the script gives no name to.
        titles = [*titles[: MOST_NAMES - 1], "others"]
    places: np.ndarray = np.minimum(names.cat.codes.to_numpy(), len(titles) - 1)
    return tuple(Call(request, title) for title in titles), places


def _outcomes(about: pd.DataFrame) -> np.ndarray:
    """An answer is what k6 expected, or it is not; without an answer the error's code says why."""
    import numpy as np

    codes = about["error_code"].replace("", "0").astype(int).to_numpy()
    found = np.where(about["expected_response"] == "false", Outcome.WRONG_STATUS, Outcome.ANSWERED)
    unanswered = about["status"].to_numpy() == "0"
    # What has no code of its own is the HTTP parser's word, or that the connection ended.
    malformed = about["error"].str.contains("malformed", regex=False).to_numpy(bool)
    kinds = np.where(malformed, int(Outcome.MALFORMED), int(Outcome.CUT_SHORT))
    for low, high, outcome in reversed(CODES):
        kinds[(codes >= low) & (codes <= high)] = outcome
    chosen: np.ndarray = np.where(unanswered, kinds, found)
    return chosen
