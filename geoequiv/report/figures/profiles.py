"""Figures of where a model is not equivariant: error by rotation angle, by rotation axis, by layer."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from geoequiv.report.families import colour
from geoequiv.report.figures.style import drawn, floor_line, logarithmic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AXES = {"+x": (0.0, 0.0), "+y": (90.0, 0.0), "−y": (-90.0, 0.0), "+z": (0.0, 90.0), "−z": (0.0, -90.0)}
CELLS = (361, 721)  # latitudes and longitudes of the grid; each cell shows the nearest measured axis


def error_by_angle(
    angles: Sequence[float],
    errors: Sequence[float],
    standard_errors: Sequence[float] | None = None,
    floor: float | None = None,
    title: str = "Equivariance error by rotation angle",
) -> "Figure":
    """Relative error against the angle of the rotation, with its standard error as a band.

    Args:
        angles: radians, length K.
        errors: mean relative error at each angle, length K.
        standard_errors: length K.
        floor: the round-off floor, drawn as a dashed line.
        title: of the figure.

    Raises:
        GeoequivError: matplotlib is not installed.
    """

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        degrees = [math.degrees(angle) for angle in angles]
        axes.plot(degrees, errors, color=colour("builtin"), marker="o", markersize=4, clip_on=False, zorder=3)
        if standard_errors is not None:
            low = [max(e - s, e / 10) for e, s in zip(errors, standard_errors, strict=True)]
            high = [e + s for e, s in zip(errors, standard_errors, strict=True)]
            axes.fill_between(degrees, low, high, color=colour("builtin"), alpha=0.18, linewidth=0)
        logarithmic(axes.yaxis, [*errors, *([floor] if floor else ())])
        floor_line(axes, floor, "round-off")
        axes.set(xlabel="rotation angle (°)", ylabel="relative error", title=title, xlim=(0, max(degrees, default=180)))
        axes.set_xticks(range(0, int(max(degrees, default=180)) + 1, 30))

    return drawn(draw)


def error_by_axis(
    directions: Sequence[Sequence[float]],
    errors: Sequence[float],
    floor: float | None = None,
    title: str = "Equivariance error by rotation axis",
) -> "Figure":
    """Relative error over the sphere of rotation axes (Mollweide: equal areas), each axis with the cell nearest to it.

    An axis and its opposite share their value: a rotation about one is the inverse rotation about the other.

    Args:
        directions: unit vectors [K, 3]; those of a half sphere are enough.
        errors: mean relative error of rotations about each axis, length K.
        floor: the round-off floor: the colour scale extends to it at least, so that an exact model is pale everywhere.
        title: of the figure.

    Raises:
        GeoequivError: matplotlib is not installed.
    """

    def draw(figure: "Figure") -> None:
        import numpy as np
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        axes = figure.add_subplot(projection="mollweide")
        latitude = np.linspace(-np.pi / 2, np.pi / 2, CELLS[0])
        longitude = np.linspace(-np.pi, np.pi, CELLS[1])
        up, around = np.meshgrid(latitude, longitude, indexing="ij")
        sphere = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=-1)
        known = np.asarray(directions, dtype=float)
        values = np.asarray(errors, dtype=float)
        nearest = values[np.abs(sphere @ known.T).argmax(-1)]
        norm = Normalize(0.0, max(float(values.max()), floor or 0.0) or 1.0)
        shades = LinearSegmentedColormap.from_list(
            "error", [colour("wash"), colour("remul", "dark"), colour("remul"), "#500724"]
        )
        mesh = axes.pcolormesh(around, up, nearest, norm=norm, cmap=shades, shading="nearest", rasterized=True)
        ends = np.concatenate([known, -known])
        east, north = np.arctan2(ends[:, 1], ends[:, 0]), np.arcsin(np.clip(ends[:, 2], -1, 1))
        axes.scatter(east, north, s=3, color=colour("card"), alpha=0.7, linewidths=0)
        axes.grid(color=colour("muted"), alpha=0.35, linewidth=0.6)
        axes.set_xticks(np.radians([-90, 0, 90]), ["", "", ""])
        axes.set_yticks(np.radians([-45, 0, 45]), ["", "", ""])
        for name, (longitude_of, latitude_of) in AXES.items():
            polar = abs(latitude_of) == 90
            axes.annotate(
                name, (math.radians(longitude_of), math.radians(latitude_of)),
                xytext=(0, math.copysign(9, latitude_of) if polar else 0),
                textcoords="offset points", ha="center", va="center", fontsize=9, annotation_clip=False,
                bbox=None if polar else {"boxstyle": "round,pad=.18", "fc": colour("card"), "ec": "none", "alpha": 0.8},
            )  # fmt: skip
        bar = figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.03)
        bar.set_label("relative error")
        bar.outline.set_visible(False)
        axes.set_title(title, pad=20)

    return drawn(draw, high=3.9)


def error_by_layer(
    layers: Sequence[str],
    errors: Sequence[float],
    accumulated: Sequence[float] | None = None,
    floor: float | None = None,
    title: str = "Local equivariance error by layer (Lie derivative)",
) -> "Figure":
    """A bar for each layer in the order of the network, top to bottom.

    Args:
        layers: names, length L.
        errors: the layer's own Lie derivative, relative to the norm of its output, length L.
        accumulated: that of all layers up to this one, drawn as a pale bar around it, length L.
        floor: the round-off floor, drawn as a dashed line.
        title: of the figure.

    Raises:
        GeoequivError: matplotlib is not installed.
    """

    def draw(figure: "Figure") -> None:
        axes = figure.add_subplot()
        rows = range(len(layers))
        if accumulated is not None:
            axes.barh(
                rows, accumulated, height=0.7, color=colour("group"), alpha=0.25, label="with all layers before it"
            )
        axes.barh(rows, errors, height=0.36, color=colour("group"), label="by itself", zorder=2)
        axes.set_ymargin(0.02)
        if accumulated is not None:
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axes.set_yticks(rows, layers)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        values = [*errors, *(accumulated or ()), *([floor] if floor else ())]
        smallest = min((value for value in values if value > 0), default=0.0)
        logarithmic(axes.xaxis, [max(value, smallest) for value in values])  # a bar of length 0 cannot be drawn
        floor_line(axes, floor, "round-off", vertical=True)
        axes.set(xlabel="relative local error (per radian; translations per unit length)", title=title)

    return drawn(draw, high=1.4 + 0.26 * max(len(layers), 1))
