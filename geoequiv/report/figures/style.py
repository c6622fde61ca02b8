"""The one style of all figures, and how they are written: the same numbers give the same bytes."""

import io
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoequiv.errors import ConfigError, GeoequivError, unknown
from geoequiv.files import write_file
from geoequiv.report.families import colour
from geoequiv.report.figures.ticks import tick

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
WIDE = 7.0  # inches
LITTLE = 1.3  # values within this factor of each other are shown on a linear axis
#: matplotlib's settings; Any: their names are a type of hundreds of literals in its newer stubs alone
RULES: Any = {
    "figure.facecolor": colour("card"),
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.labelsize": 9.5,
    "axes.labelcolor": colour("soft"),
    "axes.titlecolor": colour("ink"),
    "axes.edgecolor": colour("muted"),
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": colour("line"),
    "grid.linewidth": 0.8,
    "xtick.color": colour("muted"),
    "ytick.color": colour("muted"),
    "xtick.labelcolor": colour("soft"),
    "ytick.labelcolor": colour("soft"),
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "text.color": colour("ink"),
    "text.parse_math": False,  # names come from users; a $ is a dollar
    "svg.fonttype": "path",
    "svg.hashsalt": "geoequiv",
}
#: marker of a family's figure key → matplotlib's
MARKERS = {
    "ring": "o",
    "disc": "o",
    "triangle": "^",
    "wedge": "v",
    "diamond": "D",
    "square": "s",
    "pentagon": "p",
    "hexagon": "h",
    "cross": "x",
    "plus": "+",
}


def drawn(draw: "Callable[[Figure], None]", high: float = 3.6, wide: float = WIDE) -> "Figure":
    """A figure in the project's style, filled by ``draw``; without pyplot, so no window and no global state.

    Args:
        draw: puts axes and artists into the figure.
        high: inches.
        wide: inches.

    Raises:
        GeoequivError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise GeoequivError("Figures need matplotlib. Install it with: pip install 'geoequiv[plots]'.") from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RULES)
        figure = Figure(figsize=(wide, high), layout="constrained")
        draw(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # it would shift a little each time the figure is drawn again
    return figure


def save(figure: "Figure", path: str | Path) -> Path:
    """Write a figure as SVG or PNG, by the ending of the path; without a date, so equal figures are equal files.

    Raises:
        ConfigError: the ending is neither.
        GeoequivError: the file cannot be written.
    """
    import matplotlib

    path = Path(path)
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        raise ConfigError(f"{unknown('format of a figure', form, FORMATS)} It is taken from the ending of '{path}'.")
    buffer = io.BytesIO()
    with matplotlib.rc_context(RULES):
        figure.savefig(buffer, format=form, metadata={"Date": None} if form == "svg" else {"Software": None})
    write_file(path, buffer.getvalue(), "the figure")
    return path


def floor_line(axes: "Axes", floor: float | None, text: str, vertical: bool = False) -> None:
    """A dashed line at the round-off floor, or at another bound, labelled in the margin of the plot."""
    if not floor:
        return
    line = axes.axvline if vertical else axes.axhline
    line(floor, color=colour("muted"), linewidth=1, linestyle=(0, (5, 4)), zorder=1)
    transform = axes.get_xaxis_transform() if vertical else axes.get_yaxis_transform()
    place, anchor = ((floor, 1.0), (4, -2)) if vertical else ((1.0, floor), (-2, 4))
    axes.annotate(
        text, place, xycoords=transform, xytext=anchor, textcoords="offset points", color=colour("muted"),
        fontsize=8.5, ha="left" if vertical else "right", va="top" if vertical else "bottom",
    )  # fmt: skip


def logarithmic(axis: "Axis", values: Iterable[float]) -> None:
    """Make an axis logarithmic with plain numbers at 1, 2, 5; it stays linear where values vary little or are ≤ 0.

    Args:
        axis: ``axes.xaxis`` or ``axes.yaxis``.
        values: all that is drawn along it.
    """
    from matplotlib.axis import XAxis
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    known = list(values)
    if not known or min(known) <= 0 or max(known) < LITTLE * min(known):
        return
    scale = axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale
    scale("log")
    decades = math.log10(max(known) / min(known))
    steps = (1, 1.5, 2, 3, 4, 5, 7) if decades < 0.5 else (1, 2, 5) if decades < 2 else (1,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
