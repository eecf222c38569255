"""How every chart looks: small, readable in grey, with units, its objective as a line, and a sentence that says it."""

from __future__ import annotations

import io
import textwrap
from typing import TYPE_CHECKING, Any, Final

from runbook_lib.step import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE: Final = (7.2, 3.2)
"""Inches."""
CAPTION_WIDTH: Final = 116
LEGEND_WIDTH: Final = 118
"""Letters in a line."""
SHADES: Final = ("black", "dimgrey", "darkgrey")
STYLES: Final = ("-", "--", ":")


def new(title: str, x: str, y: str, caption: str, *, left: float = 0.1) -> tuple[Figure, Axes]:
    """A figure that belongs to no global state; it is drawn by Agg.

    Parameters
    ----------
    x, y:
        What the axes show, with units.
    caption:
        Says in a sentence what is seen.
    left:
        Where the axes begin, as a share of the width.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, dpi=110)
    FigureCanvasAgg(figure)
    # Fixed places: to have them worked out would take longer than all the rest.
    axes = figure.add_axes((left, 0.27, 0.98 - left, 0.5))
    figure.text(0.012, 0.985, title, va="top", fontsize=11, fontweight="bold")
    figure.text(0.012, 0.905, textwrap.fill(caption, CAPTION_WIDTH), va="top", fontsize=8.5)
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def objective(axes: Axes, value: float, text: str, *, vertical: bool = False) -> None:
    """Draw an objective as a line."""
    draw: Any = axes.axvline if vertical else axes.axhline
    draw(value, color="black", linestyle="-.", linewidth=1.6, label=text)


def plain_logarithm(axis: Any) -> None:
    """Numbers as people write them on a logarithmic axis: 0.5, 20, 1000."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0,) if high > 500 * low else (1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def finished(figure: Figure, name: str) -> Evidence:
    """The chart as a PNG of 16 shades, which is a third of a PNG in full colour."""
    from PIL import Image

    named = [str(name) for name in figure.axes[0].get_legend_handles_labels()[1]]
    columns = len(named) if sum(len(name) + 8 for name in named) < LEGEND_WIDTH else 4
    figure.legend(loc="lower center", ncols=max(1, columns), fontsize=8, frameon=False, borderaxespad=0.2)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    small = io.BytesIO()
    Image.open(drawn).convert("L").quantize(16).save(small, format="PNG", optimize=True)
    return Evidence(f"{name}.png", small.getvalue())
