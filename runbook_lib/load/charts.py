"""Charts of a load test; they take as long for a million samples as for a thousand, for none draws single samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from runbook_lib.load.drawing import finished, new, objective, plain_logarithm
from runbook_lib.load.history import Summary
from runbook_lib.load.interface import Arrivals, Result
from runbook_lib.load.samples import Outcome, Samples
from runbook_lib.load.verdict import Judged
from runbook_lib.step import Evidence

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

TIME: Final = "seconds since the test began"
QUANTILES: Final = (50, 95, 99)
HATCHES: Final = ("", "//", "..", "xx", "--")
FILLS: Final = ("0.25", "0.6", "0.85", "1.0", "0.45")
LEAST_MILLISECONDS: Final = 0.01
"""A refused connection takes no time, which a logarithm has no place for."""
SHOWN_TESTS: Final = 12


def of(seen: Judged, earlier: Sequence[tuple[str, Summary]] = ()) -> tuple[Evidence, ...]:
    """The charts of a load test; with a trend, where there are `earlier` tests to compare it with."""
    drawn = [throughput(seen), latency(seen), distribution(seen), errors(seen)]
    return (*drawn, trend(seen, earlier)) if earlier else tuple(drawn)


def throughput(seen: Judged) -> Evidence:
    """Good answers in each second, against the requests that were due in it."""
    import numpy as np

    result = seen.result
    seconds = _seconds(result)
    good = result.samples.where(~result.samples.failed)
    answers = np.bincount(good.ended.astype(int), minlength=seconds)[:seconds]
    due = np.bincount(result.samples.rows["due"].astype(int), minlength=seconds)[:seconds]
    least = result.profile.objectives.requests_per_second
    caption = f"The service gave at least {seen.sustained:.0f} good answers per second in every window that is judged"
    caption += f"; asked for were {least:g}. " + _about_the_load(result)
    figure, axes = new("Throughput against schedule", TIME, "per second", caption)
    if result.profile.open_loop:
        axes.stairs(due, color="darkgrey", linewidth=3, baseline=None, label="requests due")
    axes.stairs(answers, color="black", baseline=None, label="good answers")
    objective(axes, least, f"objective: at least {least:g}/s")
    axes.set_ylim(0, max(float(due.max(initial=0)), float(answers.max(initial=0)), least) * 1.12)
    _shade_what_is_not_judged(axes, result)
    return finished(figure, "throughput")


def latency(seen: Judged) -> Evidence:
    """Percentiles of the latency of the requests that were due in each second, over a map of all of them."""
    import numpy as np

    result, samples = seen.result, seen.result.samples
    objectives, seconds = result.profile.objectives, _seconds(result)
    second = samples.rows["due"].astype(int)
    milliseconds = _drawable(samples)
    lines = by_second(second, milliseconds, seconds)
    worst = int(np.nanargmax(lines[1])) if len(samples) else 0
    caption = (
        f"Latency counts from when a request was due. Its worst second was the {_ordinal(worst + 1)}, "
        f"with a p95 of {lines[1][worst]:.1f} ms; the objective is {objectives.p95_milliseconds:g} ms."
        if len(samples)
        else "There was no request."
    )
    figure, axes = new("Latency over time", TIME, "latency in ms (log)", caption)
    low, high = _span(milliseconds, objectives.p95_milliseconds)
    edges = np.geomspace(low, high, 60)
    counts, _, _ = np.histogram2d(second, np.clip(milliseconds, low, high), bins=(np.arange(seconds + 1), edges))
    axes.pcolormesh(
        np.arange(seconds + 1), edges, np.sqrt(counts.T), cmap="Greys", vmax=max(1.0, counts.max()) ** 0.5 * 2.2
    )
    for quantile, line, style, width in zip(QUANTILES, lines, ("--", "-", ":"), (1.2, 1.8, 1.2), strict=True):
        axes.plot(np.arange(seconds) + 0.5, line, color="black", linestyle=style, linewidth=width, label=f"p{quantile}")
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    plain_logarithm(axes.yaxis)
    objective(axes, objectives.p95_milliseconds, f"objective: p95 below {objectives.p95_milliseconds:g} ms")
    _shade_what_is_not_judged(axes, result)
    return finished(figure, "latency")


def distribution(seen: Judged) -> Evidence:
    """How the judged latencies are distributed, with their percentiles."""
    import numpy as np

    result = seen.result
    limit = result.profile.objectives.p95_milliseconds
    milliseconds = _drawable(result.held)
    above = float((milliseconds > limit).mean()) if len(milliseconds) else float("nan")
    caption = (
        f"Of {len(milliseconds)} requests {above:.2%} took longer than {limit:g} ms; 5 % may. "
        f"The p95 lies between {seen.p95.low:.1f} and {seen.p95.high:.1f} ms with 95 % confidence."
    )
    figure, axes = new("Latency distribution", "latency in ms (log)", "requests", caption)
    low, high = _span(milliseconds, limit)
    counts, edges = np.histogram(milliseconds, bins=np.geomspace(low, high, 70))
    axes.stairs(counts, edges, fill=True, color="lightgrey", edgecolor="grey")
    for quantile, value, style in zip(QUANTILES, result.percentile(*QUANTILES), ("--", "-", ":"), strict=True):
        axes.axvline(
            max(value, low), color="black", linestyle=style, linewidth=1.2, label=f"p{quantile} = {value:.1f} ms"
        )
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    plain_logarithm(axes.xaxis)
    objective(axes, limit, f"objective: p95 below {limit:g} ms", vertical=True)
    return finished(figure, "distribution")


def errors(seen: Judged) -> Evidence:
    """The share of requests that failed in each second, by the way in which they did."""
    import numpy as np

    result, samples = seen.result, seen.result.samples
    seconds, limit = _seconds(result), result.profile.objectives.error_rate * 100.0
    second = samples.rows["due"].astype(int)
    every = np.maximum(1, np.bincount(second, minlength=seconds))
    found = {kind: count for kind, count in samples.outcomes().items() if kind is not Outcome.ANSWERED}
    most = sorted(found, key=lambda kind: -found[kind])[: len(HATCHES)]
    caption = (
        "No request failed."
        if not found
        else f"{int(samples.failed.sum())} of {len(samples)} requests failed: "
        + ", ".join(f"{found[kind]} {kind.text}" for kind in most)
        + f". Of those that are judged {seen.errors:.2%} did; less than {limit:g} % may."
    )
    figure, axes = new("Errors by kind", TIME, "% of the requests due", caption)
    bottom = np.zeros(seconds)
    for kind, hatch, fill in zip(most, HATCHES, FILLS, strict=False):
        share = np.bincount(second[samples.rows["outcome"] == kind], minlength=seconds) / every * 100.0
        axes.bar(
            np.arange(seconds),
            share,
            bottom=bottom,
            width=1.0,
            align="edge",
            color=fill,
            hatch=hatch,
            edgecolor="black",
            linewidth=0.3,
            label=kind.text,
        )
        bottom += share
    objective(axes, limit, f"objective: below {limit:g} %")
    axes.set_ylim(0, max(2 * limit, float(bottom.max(initial=0.0)) * 1.1))
    axes.set_xlim(0, seconds)
    _shade_what_is_not_judged(axes, result)
    return finished(figure, "errors")


def trend(seen: Judged, earlier: Sequence[tuple[str, Summary]]) -> Evidence:
    """p95 and p99 of the environment's last tests and of this one."""
    now = Summary.of(seen)
    shown = [*earlier[-SHOWN_TESTS:], ("this test", now)]
    limit = seen.result.profile.objectives.p95_milliseconds
    before = [one.p95 for _, one in earlier[-SHOWN_TESTS:]]
    caption = f"This test's p95 is {now.p95:.1f} ms; {_before(before)}. Bars: 95 % confidence."
    figure, axes = new("Trend over the archived runs", "", "latency in ms (log)", caption)
    places = range(len(shown))
    p95 = [one.p95 for _, one in shown]
    spread = [[one.p95 - one.p95_low for _, one in shown], [one.p95_high - one.p95 for _, one in shown]]
    axes.errorbar(places, p95, yerr=spread, color="black", marker="o", markersize=4, capsize=3, label="p95")
    axes.plot(places, [one.p99 for _, one in shown], color="dimgrey", linestyle=":", marker=".", label="p99")
    axes.set_xticks(places, [_when(run) for run, _ in shown], fontsize=7)
    axes.set_yscale("log")
    plain_logarithm(axes.yaxis)
    objective(axes, limit, f"objective: p95 below {limit:g} ms")
    return finished(figure, "trend")


def _before(p95: Sequence[float]) -> str:
    """What earlier tests came to, in a clause."""
    low, high = f"{min(p95):.1f}", f"{max(p95):.1f}"
    seen = f"{low} ms" if low == high else f"{low} to {high} ms"
    tests = "the last run" if len(p95) == 1 else f"the last {len(p95)} runs"
    return f"in {tests} under the same load it was {seen}"


def _when(run: str) -> str:
    """A run's id begins with its time."""
    day, _, rest = run.partition("T")
    return f"{day[4:6]}-{day[6:8]}\n{rest[:2]}:{rest[2:4]}" if day.isdigit() and len(day) == 8 else run[:12]


def by_second(second: np.ndarray, values: np.ndarray, seconds: int) -> np.ndarray:
    """The :data:`QUANTILES` of the values of each second, one row for each; NaN where there are none."""
    import numpy as np

    found = np.full((len(QUANTILES), seconds), np.nan)
    order = np.argsort(second, kind="stable")
    edges = np.searchsorted(second[order], np.arange(seconds + 1))
    grouped = values[order]
    for number, (begin, end) in enumerate(pairwise(edges)):
        if end > begin:
            found[:, number] = np.percentile(grouped[begin:end], QUANTILES)
    return found


def _seconds(result: Result) -> int:
    """How many seconds are drawn: those in which requests were due."""
    import numpy as np

    due = result.samples.rows["due"]
    return max(1, int(np.floor(due.max())) + 1 if len(due) else 1)


def _drawable(samples: Samples) -> np.ndarray:
    import numpy as np

    clipped: np.ndarray = np.maximum(samples.milliseconds, LEAST_MILLISECONDS)
    return clipped


def _span(milliseconds: np.ndarray, limit: float) -> tuple[float, float]:
    low = float(milliseconds.min()) if len(milliseconds) else limit / 10.0
    high = float(milliseconds.max()) if len(milliseconds) else limit
    return min(low, limit) * 0.8, max(high, limit) * 1.5


def _about_the_load(result: Result) -> str:
    load = result.profile.load
    if result.stopped:
        return f"The test was {result.stopped.split(':')[0]}."
    if isinstance(load, Arrivals):
        return f"Requests left by the clock, at up to {max(stage.rate for stage in load.stages):g}/s."
    return (
        "Requests left by the clock." if result.profile.open_loop else "Users waited for their answers (closed loop)."
    )


def _shade_what_is_not_judged(axes: Axes, result: Result) -> None:
    """Grey for the ramp, and for whatever else lies before or after the time that is judged."""
    held, last = result.profile.load.held, float(_seconds(result))
    axes.set_xlim(0, last)
    edges = [0.0, *(edge for begin, end, _ in held for edge in (begin, end)), last]
    label: str | None = "ramp, not judged"
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        if end - begin > 0.01:
            axes.axvspan(begin, end, facecolor="0.93", edgecolor="0.8", hatch="\\\\", label=label, zorder=0)
            label = None


_ORDINALS: Final = {1: "st", 2: "nd", 3: "rd"}


def _ordinal(number: int) -> str:
    return f"{number}{'th' if 10 < number % 100 < 20 else _ORDINALS.get(number % 10, 'th')}"
