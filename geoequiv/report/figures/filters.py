"""Figures of image networks and their mirror images: matched filters, barriers, orders of permutations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import ConfigError
from geoequiv.methods.families import FAMILIES
from geoequiv.report.families import colour
from geoequiv.report.figures.style import MARKERS, drawn

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: filters in one row of a picture
ACROSS = 8


@dataclass(frozen=True)
class Point:
    """One network: its invariance error, and the barrier with its mirror image.

    Args:
        group: networks trained alike share one, and its colour.
        error: relative invariance error.
        barrier: relative barrier.
    """

    group: str
    error: float
    barrier: float


def as_pixels(filters: NDArray[np.floating]) -> NDArray[np.float64]:
    """Filters of colour images ``[n, 3, h, w]`` as pixels ``[n, h, w, 3]`` in 0 … 1, where 0 becomes grey.

    Filters of one channel ``[n, 1, h, w]`` become grey ones. Each filter is scaled by its own largest weight.

    Raises:
        ConfigError: another number of channels.
    """
    values = np.asarray(filters, dtype=np.float64)
    if values.ndim != 4 or values.shape[1] not in (1, 3):
        raise ConfigError(f"Filters to be drawn are [n, 3 or 1, h, w]; got shape {list(values.shape)}.")
    largest = np.abs(values).max(axis=(1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * values / np.where(largest > 0, largest, 1.0)
    return np.broadcast_to(scaled.transpose(0, 2, 3, 1), (*scaled.shape[:1], *scaled.shape[2:], 3)).copy()


def matched_filters(
    filters: NDArray[np.floating], partners: Sequence[int], correlations: Sequence[float], title: str = ""
) -> "Figure":
    """Filters of the first layer, and below each the mirror image of the filter that it is matched with.

    Args:
        filters: ``[n, 3, h, w]``.
        partners: the filter that each is matched with, in the flipped copy of the network.
        correlations: of their activations; NaN for a dead one.
        title: of the figure.

    Raises:
        ConfigError: filters of other channels than colours or grey.
        GeoequivError: matplotlib is not installed.
    """
    own = as_pixels(filters)
    mirrored = as_pixels(np.asarray(filters)[list(partners)][..., ::-1])
    rows = -(-len(own) // ACROSS)

    def draw(figure: "Figure") -> None:
        if title:
            figure.suptitle(title, fontsize=10.5, x=0.01, ha="left", color=colour("ink"))
        grid = figure.subplots(2 * rows, min(ACROSS, len(own)), squeeze=False)
        for axes in grid.ravel():
            axes.set_axis_off()
        for number, (one, two) in enumerate(zip(own, mirrored, strict=True)):
            row, column = 2 * (number // ACROSS), number % ACROSS
            correlation, partner = correlations[number], partners[number]
            for place, pixels in ((row, one), (row + 1, two)):
                grid[place, column].imshow(pixels, interpolation="nearest")
            grid[row, column].set_title(f"{number}", fontsize=8, pad=2, loc="center", color=colour("soft"))
            value = "dead" if np.isnan(correlation) else f"{correlation:.2f}"
            name = "itself" if partner == number else f"{partner}"
            grid[row + 1, column].set_title(f"{name}: {value}", fontsize=8, pad=2, loc="center", color=colour("soft"))

    return drawn(draw, high=0.3 + 2.1 * rows, wide=0.85 * max(4, min(ACROSS, len(own))))


def barriers_against_errors(points: Sequence[Point], baselines: Mapping[str, float] | None = None) -> "Figure":
    """Relative barrier with the own mirror image against the invariance error, a point for each network.

    Args:
        points: networks; groups get colours in the order in which they come.
        baselines: name → barrier between two trainings (seed-to-seed baseline), a line each.

    Raises:
        GeoequivError: matplotlib is not installed.
    """
    groups = list(dict.fromkeys(point.group for point in points))

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for number, group in enumerate(groups):
            family = FAMILIES[number % len(FAMILIES)]
            own = [point for point in points if point.group == group]
            axes.plot(
                [point.error for point in own], [point.barrier for point in own], MARKERS[family.marker],
                color=family.light, label=group, linestyle="none",
                markerfacecolor=colour("card") if family.marker == "ring" else family.light,
            )  # fmt: skip
        for name, value in (baselines or {}).items():
            axes.axhline(value, color=colour("muted"), linewidth=1, linestyle=(0, (5, 4)), zorder=1)
            axes.annotate(
                name, (1.0, value), xycoords=axes.get_yaxis_transform(), xytext=(-2, 3), textcoords="offset points",
                ha="right", fontsize=8.5, color=colour("muted"),
            )  # fmt: skip
        axes.axhline(0, color=colour("line"), linewidth=1)
        axes.set_xlim(left=-0.02)
        axes.set_xlabel("relative invariance error of the outputs")
        axes.set_ylabel("relative barrier with the own mirror image")
        axes.legend(loc="upper left")

    return drawn(draw, high=4.2)


def orders(counts: Mapping[str, Mapping[int, int]]) -> "Figure":
    """Share of layers that are matched with their mirror image by a permutation of each order.

    Args:
        counts: group → order → layers. A network whose channels carry a representation of the flip has orders 1 and 2
            only.

    Raises:
        GeoequivError: matplotlib is not installed.
    """
    every = sorted({order for found in counts.values() for order in found})
    bins = [1, 2, *(order for order in every if 2 < order <= 12)]
    labels = [str(order) for order in bins] + ([">12"] if any(order > 12 for order in every) else [])

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        wide = 0.8 / len(counts)
        for number, (group, found) in enumerate(counts.items()):
            total = sum(found.values())
            values = [found.get(order, 0) / total for order in bins]
            if len(labels) > len(bins):
                values.append(sum(count for order, count in found.items() if order > 12) / total)
            places = np.arange(len(labels)) + (number - (len(counts) - 1) / 2) * wide
            axes.bar(places, values, wide, label=group, color=FAMILIES[number % len(FAMILIES)].light)
        axes.set_xticks(range(len(labels)), labels)
        axes.set_xlabel("order of the permutation of a layer's channels")
        axes.set_ylabel("share of all layers")
        axes.grid(axis="x", visible=False)
        axes.legend()

    return drawn(draw, high=3.6)
