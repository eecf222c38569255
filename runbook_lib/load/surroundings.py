"""Charts that stand beside a load test's: single requests phase by phase, endpoints, the database's connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from runbook_lib.load.drawing import SHADES, STYLES, finished, new, objective
from runbook_lib.step import Evidence

if TYPE_CHECKING:
    import pandas as pd

MARKS: Final = ("", "", "", "o", "x", "s")
"""Beside three shades and strokes, for a fourth service and more."""


def waterfall(phases: Mapping[str, tuple[float, float]], limit: float) -> Evidence:
    """Where a response's time goes.

    Parameters
    ----------
    phases:
        Median and 95th percentile of each phase's duration in milliseconds, in the order in which they follow.
    limit:
        Milliseconds for the whole.
    """
    whole, slowest = sum(median for median, _ in phases.values()), max(phases, key=lambda name: phases[name][0])
    caption = f"A new connection's answer takes {whole:.1f} ms in the median; most of it goes into: {slowest}."
    figure, axes = new("Response time, phase by phase", "ms since the request began", "", caption, left=0.18)
    begin = 0.0
    for row, (median, slow) in enumerate(phases.values()):
        axes.barh(row, median, left=begin, color="dimgrey", label="median" if row == 0 else None)
        axes.plot([begin, begin + slow], [row, row], color="black", linewidth=1, label="p95" if row == 0 else None)
        axes.annotate(f" {median:.2f} ({slow:.2f}) ms", (begin + max(median, slow), row), va="center", fontsize=8)
        begin += median
    axes.set_yticks(range(len(phases)), list(phases))
    axes.invert_yaxis()
    objective(axes, limit, f"objective: total below {limit:g} ms", vertical=True)
    axes.set_xlim(0, limit * 1.1)
    return finished(figure, "waterfall")


def response_times(milliseconds: Mapping[str, Sequence[float]], limit: float) -> Evidence:
    """The spread of each endpoint's response times in `milliseconds`: quartiles, 95th percentile, outliers."""
    import numpy as np

    slow = {name: float(np.percentile(values, 95)) for name, values in milliseconds.items()}
    worst = max(slow, key=slow.__getitem__)
    caption = (
        f"The slowest endpoint is {worst}, with a p95 of {slow[worst]:.1f} ms. Boxes: quartiles; whiskers: p5 to p95."
    )
    figure, axes = new("Response time by endpoint", "ms (log)", "", caption, left=0.25)
    axes.boxplot(
        list(milliseconds.values()),
        orientation="horizontal",
        whis=(5, 95),
        medianprops={"color": "black"},
        flierprops={"marker": ".", "markersize": 3},
    )
    axes.set_yticks(range(1, len(milliseconds) + 1), list(milliseconds))
    axes.set_xscale("log")
    objective(axes, limit, f"objective: p95 below {limit:g} ms", vertical=True)
    return finished(figure, "response-times")


def connections(samples: pd.DataFrame, limit: float, maximum: int) -> Evidence:
    """Database connections while load was on.

    Parameters
    ----------
    samples:
        ``seconds`` since the load began, and the counts ``total``, ``active``, ``idle in transaction``, ``waiting``.
    limit, maximum:
        The objective and ``max_connections``, in connections.
    """
    most = int(samples["total"].max())
    caption = (
        f"At most {most} of the server's {maximum} connections were in use, {int(samples['active'].max())} at work."
    )
    figure, axes = new("Database connections under load", "seconds since the load began", "connections", caption)
    for name, shade, style in zip(("total", "active", "waiting"), SHADES, STYLES, strict=True):
        axes.plot(samples["seconds"], samples[name], color=shade, linestyle=style, label=name)
    objective(axes, limit, f"objective: at most {limit:g} of {maximum}")
    axes.set_ylim(0, max(limit, most) * 1.15)
    return finished(figure, "connections")


def processors(seconds: Sequence[float], cores: Mapping[str, Sequence[float]]) -> Evidence:
    """What each service used of this machine's processors while load was on.

    Parameters
    ----------
    seconds:
        Since the first look.
    cores:
        For each service and moment, how many processors it used.
    """
    import os

    number = os.cpu_count() or 1
    means = {name: sum(values) / max(1, len(values)) for name, values in cores.items()}
    busiest = max(means, key=means.__getitem__)
    caption = (
        f"Busiest was {busiest}, with {means[busiest]:.2f} processors on the average; all services together used "
        f"{sum(means.values()):.2f} of the {number} that this machine has."
    )
    figure, axes = new("Processors used by the services", "seconds since the load began", "processors", caption)
    for place, name in enumerate(sorted(means, key=means.__getitem__, reverse=True)):
        shade, style = SHADES[place % len(SHADES)], STYLES[place % len(STYLES)]
        axes.plot(seconds, cores[name], color=shade, linestyle=style, marker=MARKS[place % len(MARKS)], label=name)
    objective(axes, number, f"this machine has {number}")
    axes.set_ylim(0, number * 1.1)
    return finished(figure, "processors")
