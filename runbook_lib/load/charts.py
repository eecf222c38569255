"""Charts of a load test, small and readable in grey: each with its units, and its objective drawn as a line."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from runbook_lib.environment import Objectives
from runbook_lib.load.interface import Result
from runbook_lib.step import Evidence

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE: Final = (7.2, 2.7)
"""Inches."""

SHADES: Final = ("black", "dimgrey", "darkgrey")
STYLES: Final = ("-", "--", ":")


def of(result: Result, objectives: Objectives) -> tuple[Evidence, ...]:
    """The four charts of a load test."""
    return (
        throughput(result, objectives),
        latency(result, objectives),
        errors(result, objectives),
        distribution(result, objectives),
    )


def throughput(result: Result, objectives: Objectives) -> Evidence:
    """Answers in each second of the test."""
    figure, axes = _new("Throughput", "seconds since the test began", "answers per second")
    counts = result.samples.groupby(_second(result)).size()
    axes.plot(counts.index, counts.to_numpy(), color="black", drawstyle="steps-post", label="answers")
    _objective(axes, objectives.requests_per_second, f"objective: at least {objectives.requests_per_second:g}/s")
    axes.set_ylim(bottom=0)
    return _finished(figure, axes, "throughput", result)


def latency(result: Result, objectives: Objectives) -> Evidence:
    """Percentiles of the latency in each second of the test."""
    figure, axes = _new("Latency over time", "seconds since the test began", "latency in ms (log)")
    # A refused connection takes no time, which a logarithm has no place for.
    grouped = (result.samples["seconds"] * 1000.0).clip(lower=0.01).groupby(_second(result))
    for quantile, shade, style in zip((99, 95, 50), SHADES, (":", "-", "--"), strict=True):
        series = grouped.quantile(quantile / 100)
        axes.plot(series.index, series.to_numpy(), color=shade, linestyle=style, label=f"p{quantile}")
    axes.set_yscale("log")
    _objective(axes, objectives.p95_milliseconds, f"objective: p95 below {objectives.p95_milliseconds:g} ms")
    return _finished(figure, axes, "latency", result)


def errors(result: Result, objectives: Objectives) -> Evidence:
    """Share of failed requests in each second of the test."""
    figure, axes = _new("Errors over time", "seconds since the test began", "errors in % of requests")
    samples = result.samples
    failed = (samples["status"] == 0) | (samples["status"] >= 400) | (samples["error"] != "")
    share = failed.groupby(_second(result)).mean() * 100.0
    axes.bar(share.index, share.to_numpy(), width=1.0, align="edge", color="dimgrey", label="errors")
    limit = objectives.error_rate * 100.0
    _objective(axes, limit, f"objective: below {limit:g} %")
    axes.set_ylim(0, max(2 * limit, float(share.max()) * 1.1))
    return _finished(figure, axes, "errors", result)


def distribution(result: Result, objectives: Objectives) -> Evidence:
    """How the held latencies are distributed, with their percentiles."""
    import numpy as np

    figure, axes = _new("Latency distribution", "latency in ms (log)", "requests")
    milliseconds = (result.held()["seconds"] * 1000.0).clip(lower=0.01).to_numpy()
    if len(milliseconds):
        bins = np.geomspace(milliseconds.min() * 0.9, milliseconds.max() * 1.1, 50)
        counts, edges = np.histogram(milliseconds, bins=bins)
        axes.stairs(counts, edges, fill=True, color="lightgrey", edgecolor="grey")
    for quantile, style in zip((50, 95, 99), ("--", "-", ":"), strict=True):
        value = result.percentile(quantile)
        axes.axvline(
            max(value, 0.01), color="black", linestyle=style, linewidth=1, label=f"p{quantile} = {value:.1f} ms"
        )
    axes.set_xscale("log")
    text = f"objective: p95 below {objectives.p95_milliseconds:g} ms"
    _objective(axes, objectives.p95_milliseconds, text, vertical=True)
    return _finished(figure, axes, "distribution", result)


def waterfall(phases: Mapping[str, tuple[float, float]], objective: float) -> Evidence:
    """Where a response's time goes.

    Parameters
    ----------
    phases:
        Median and 95th percentile of each phase's duration in milliseconds, in the order in which they follow.
    objective:
        Milliseconds for the whole.
    """
    figure, axes = _new("Response time, phase by phase", "ms since the request began", "")
    begin = 0.0
    for row, (median, slow) in enumerate(phases.values()):
        axes.barh(row, median, left=begin, color="dimgrey", label="median" if row == 0 else None)
        axes.plot([begin, begin + slow], [row, row], color="black", linewidth=1, label="p95" if row == 0 else None)
        axes.annotate(f" {median:.2f} ({slow:.2f}) ms", (begin + max(median, slow), row), va="center", fontsize=8)
        begin += median
    axes.set_yticks(range(len(phases)), list(phases))
    axes.invert_yaxis()
    _objective(axes, objective, f"objective: total below {objective:g} ms", vertical=True)
    axes.set_xlim(0, objective * 1.1)
    return _finished(figure, axes, "waterfall")


def response_times(milliseconds: Mapping[str, Sequence[float]], objective: float) -> Evidence:
    """The spread of each endpoint's response times in `milliseconds`: quartiles, 95th percentile, outliers."""
    figure, axes = _new("Response time by endpoint", "ms (log)", "")
    axes.boxplot(
        list(milliseconds.values()),
        orientation="horizontal",
        whis=(5, 95),
        medianprops={"color": "black"},
        flierprops={"marker": ".", "markersize": 3},
    )
    axes.set_yticks(range(1, len(milliseconds) + 1), list(milliseconds))
    axes.set_xscale("log")
    _objective(axes, objective, f"objective: p95 below {objective:g} ms; whiskers: p5 to p95", vertical=True)
    return _finished(figure, axes, "response-times")


def connections(samples: pd.DataFrame, limit: float, maximum: int) -> Evidence:
    """Database connections while load was on.

    Parameters
    ----------
    samples:
        ``seconds`` since the load began, and the counts ``total``, ``active``, ``idle in transaction``, ``waiting``.
    limit, maximum:
        The objective and ``max_connections``, in connections.
    """
    figure, axes = _new("Database connections under load", "seconds since the load began", "connections")
    for name, shade, style in zip(("total", "active", "waiting"), SHADES, STYLES, strict=True):
        axes.plot(samples["seconds"], samples[name], color=shade, linestyle=style, label=name)
    _objective(axes, limit, f"objective: at most {limit:g} of {maximum}")
    axes.set_ylim(0, max(limit, float(samples["total"].max())) * 1.15)
    return _finished(figure, axes, "connections")


def _second(result: Result) -> pd.Series:
    """The second in which each sample began; one that began as the test ended belongs to the last."""
    last = max(0.0, result.profile.ramp + result.profile.duration - 1)
    return result.samples["start"].clip(0, last).astype(int)


def _new(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    """A figure that belongs to no global state; it is drawn by Agg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _objective(axes: Axes, value: float, text: str, *, vertical: bool = False) -> None:
    draw: Any = axes.axvline if vertical else axes.axhline
    draw(value, color="black", linestyle="-.", linewidth=1.6, label=text)


def _finished(figure: Figure, axes: Axes, name: str, result: Result | None = None) -> Evidence:
    """The chart as a PNG of 16 shades, which is a third of a PNG in full colour."""
    from PIL import Image

    if result is not None and name != "distribution" and result.profile.ramp:
        axes.axvspan(0, result.profile.ramp, color="0.93", label="ramp", zorder=0)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    small = io.BytesIO()
    Image.open(drawn).convert("L").quantize(16).save(small, format="PNG", optimize=True)
    return Evidence(f"{name}.png", small.getvalue())
