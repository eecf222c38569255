from __future__ import annotations

import io
from dataclasses import replace

import httpx
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from runbook_lib.load import charts, drawing, surroundings
from runbook_lib.load.history import Summary
from runbook_lib.load.interface import Call, Profile, Result, Users, hold
from runbook_lib.load.samples import FIELDS, Outcome, Samples
from runbook_lib.load.schedule import times
from runbook_lib.load.verdict import Judged

CALL = Call(httpx.Request("GET", "http://x/health"), "GET /health")


@pytest.fixture
def drawn(monkeypatch):
    """The figures behind the charts."""
    figures = []
    finish = drawing.finished

    def keep(figure, name):
        figures.append(figure)
        return finish(figure, name)

    monkeypatch.setattr(charts, "finished", keep)
    monkeypatch.setattr(surroundings, "finished", keep)
    return figures


@pytest.fixture
def seen():
    random = np.random.default_rng(7)
    load = hold(510.0, 30.0, ramp=3.0)
    due = times(load)
    rows = np.zeros(len(due), dtype=list(FIELDS))
    rows["due"], rows["end"], rows["status"] = due, random.lognormal(-5, 0.8, len(due)), 200
    for number, outcome in enumerate((Outcome.WRONG_STATUS, Outcome.TIMED_OUT, Outcome.RESET)):
        rows["outcome"][number::1000] = outcome
    return Judged(Result("builtin", Profile((CALL,), load), Samples(rows)))


OTHERS = (
    lambda: surroundings.processors(
        [0.5, 1.0], {name: [0.1, 0.2] for name in ("backend", "edge", "database", "cache")}
    ),
    lambda: surroundings.waterfall({"TLS": (3.0, 5.0), "first byte": (5.0, 9.0)}, 200),
    lambda: surroundings.response_times({"a": [1, 2, 3], "b": [4, 5, 9]}, 200),
    lambda: surroundings.connections(
        pd.DataFrame({"seconds": [0, 1], "total": [9, 9], "active": [1, 2], "waiting": [0, 0]}), 80, 100
    ),
)


def all_charts(seen):
    earlier = [("20261101T103000Z-v1", Summary.of(seen)), ("20261102T103000Z-v1", Summary.of(seen))]
    return (*charts.of(seen, earlier), *(draw() for draw in OTHERS))


def texts(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_every_chart_has_units_a_caption_and_its_objective_as_a_line(seen, drawn):
    all_charts(seen)
    assert len(drawn) == 9
    for figure in drawn:
        (axes,) = figure.axes
        assert axes.get_xlabel() or axes.get_ylabel()
        title, caption = (text.get_text() for text in figure.texts)
        assert title
        assert caption.endswith(".")
        assert any("objective" in text or "this machine has" in text for text in texts(figure))
        assert any(line.get_linestyle() == "-." for line in axes.lines)


def test_no_text_leaves_its_chart(seen, drawn):
    all_charts(seen)
    for figure in drawn:
        renderer = figure.canvas.get_renderer()
        axes = figure.axes[0]
        labels = (axes.xaxis.label, axes.yaxis.label, *axes.get_yticklabels())
        for artist in (*figure.texts, *figure.legends, *labels):
            box = artist.get_window_extent(renderer)
            assert box.x0 >= 0, artist
            assert box.x1 <= figure.bbox.x1, artist
            assert box.y0 >= 0, artist


def test_the_objective_stands_where_it_was_declared(seen, drawn):
    charts.latency(seen)
    (line,) = (line for line in drawn[0].axes[0].lines if line.get_linestyle() == "-.")
    assert list(line.get_ydata()) == [200.0, 200.0]


def test_errors_are_told_apart_by_kind(seen, drawn):
    charts.errors(seen)
    assert {"unexpected status", "no answer in time", "connection reset"} <= set(texts(drawn[0]))
    assert "17 connection reset" in drawn[0].texts[1].get_text()


def test_the_throughput_is_drawn_against_its_schedule(seen, drawn):
    charts.throughput(seen)
    assert {"requests due", "good answers", "ramp, not judged"} <= set(texts(drawn[0]))


def test_all_charts_together_are_small_and_grey(seen):
    made = all_charts(seen)
    assert sum(len(chart.content) for chart in made) < 250_000
    for chart in made:
        image = Image.open(io.BytesIO(chart.content)).convert("RGB")
        red, green, blue = (np.asarray(channel, dtype=int) for channel in image.split())
        assert np.abs(red - green).max() == 0
        assert np.abs(green - blue).max() == 0


def test_a_result_without_an_answer_is_drawn_too(seen):
    rows = seen.result.samples.rows.copy()
    rows["end"], rows["status"], rows["outcome"] = 0.0, 0, Outcome.REFUSED
    assert len(charts.of(Judged(Result("builtin", seen.result.profile, Samples(rows))))) == 4


def test_a_result_without_a_sample_is_drawn_too(seen):
    none = Samples(seen.result.samples.rows[:0])
    assert len(charts.of(Judged(Result("builtin", seen.result.profile, none)))) == 4


def test_a_closed_loop_says_that_it_is_one(seen, drawn):
    charts.throughput(Judged(Result("builtin", Profile((CALL,), Users(5, 33.0)), seen.result.samples)))
    assert "closed loop" in drawn[0].texts[1].get_text()
    assert "requests due" not in texts(drawn[0])


def test_percentiles_of_each_second_are_exact():
    second, values = np.array([0, 0, 2, 2, 2]), np.array([1.0, 3.0, 5.0, 9.0, 7.0])
    median = charts.by_second(second, values, 3)[0]
    assert median[0] == 2.0
    assert np.isnan(median[1])
    assert median[2] == 7.0


@pytest.mark.parametrize(
    ("p95", "said"),
    [
        ([1.9], "in the last run under the same load it was 1.9 ms."),
        ([1.91, 1.89], "in the last 2 runs under the same load it was 1.9 ms."),
        ([2.5, 1.9, 2.0], "in the last 3 runs under the same load it was 1.9 to 2.5 ms."),
    ],
    ids=["one", "equal", "several"],
)
def test_the_trend_says_what_earlier_tests_came_to(seen, drawn, p95, said):
    charts.trend(
        seen, [("20260101T000000Z-v1", replace(Summary.of(seen), p95=one, p95_low=one, p95_high=one)) for one in p95]
    )
    assert said in " ".join(drawn[0].texts[1].get_text().split())


def test_no_global_state_is_touched(seen):
    from matplotlib import _pylab_helpers, rcParams

    before = dict(rcParams)
    charts.throughput(seen)
    assert dict(rcParams) == before
    assert not _pylab_helpers.Gcf.get_all_fig_managers()
    assert isinstance(drawing.new("t", "x", "y", "c.")[0], Figure)
