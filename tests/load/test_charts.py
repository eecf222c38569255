from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from runbook_lib.environment import Objectives
from runbook_lib.load import charts
from runbook_lib.load.interface import Profile, Result

OBJECTIVES = Objectives()


@pytest.fixture
def drawn(monkeypatch):
    """The figures behind the charts."""
    figures = []
    finish = charts._finished

    def keep(figure, axes, name, result=None):
        figures.append(figure)
        return finish(figure, axes, name, result)

    monkeypatch.setattr(charts, "_finished", keep)
    return figures


@pytest.fixture
def result():
    random = np.random.default_rng(7)
    count = 15_000
    samples = pd.DataFrame(
        {
            "start": np.sort(random.uniform(0, 33, count)),
            "seconds": random.lognormal(-5, 0.8, count),
            "status": np.where(random.uniform(size=count) < 0.002, 503, 200),
            "error": "",
            "request": "GET /health",
        }
    )
    return Result("k6", Profile("x", (), 510, 30, 3), samples, 0)


OTHERS = {
    "waterfall": lambda: charts.waterfall({"TLS": (3.0, 5.0), "first byte": (5.0, 9.0)}, 200),
    "response-times": lambda: charts.response_times({"a": [1, 2, 3], "b": [4, 5, 9]}, 200),
    "connections": lambda: charts.connections(
        pd.DataFrame({"seconds": [0, 1], "total": [9, 9], "active": [1, 2], "waiting": [0, 0]}), 80, 100
    ),
}


def all_charts(result):
    return (*charts.of(result, OBJECTIVES), *(draw() for draw in OTHERS.values()))


def test_every_chart_has_units_and_its_objective_as_a_line(result, drawn):
    all_charts(result)
    assert len(drawn) == 7
    for figure in drawn:
        (axes,) = figure.axes
        assert axes.get_xlabel()
        assert any("objective" in text.get_text() for legend in figure.legends for text in legend.get_texts())
        assert any(line.get_linestyle() == "-." for line in axes.lines)


def test_the_objective_stands_where_it_was_declared(result, drawn):
    charts.latency(result, OBJECTIVES)
    (line,) = (line for line in drawn[0].axes[0].lines if line.get_linestyle() == "-.")
    assert list(line.get_ydata()) == [200.0, 200.0]


def test_all_charts_together_are_small_and_grey(result):
    drawn = all_charts(result)
    assert sum(len(chart.content) for chart in drawn) < 150_000
    for chart in drawn:
        image = Image.open(io.BytesIO(chart.content)).convert("RGB")
        red, green, blue = (np.asarray(channel, dtype=int) for channel in image.split())
        assert np.abs(red - green).max() == 0
        assert np.abs(green - blue).max() == 0


def test_a_result_without_an_answer_is_drawn_too(result):
    empty = Result("k6", result.profile, result.samples.assign(status=0, seconds=0.0, error="refused"), 0)
    assert len(charts.of(empty, OBJECTIVES)) == 4


def test_no_global_state_is_touched(result):
    from matplotlib import _pylab_helpers, rcParams

    before = dict(rcParams)
    charts.throughput(result, OBJECTIVES)
    assert dict(rcParams) == before
    assert not _pylab_helpers.Gcf.get_all_fig_managers()
    assert isinstance(charts._new("t", "x", "y")[0], Figure)
