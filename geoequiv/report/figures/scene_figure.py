"""Scenes side by side in one figure, at one scale."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from geoequiv.errors import DataError
from geoequiv.report.families import colour
from geoequiv.report.figures.camera import Camera, flat_view, plane_view, upright_view
from geoequiv.report.figures.panel import ATOM, BOND, DASHED, INPUT, PREDICTED, TRANSFORMED, TRUE, Window, draw_scene
from geoequiv.report.figures.scene import Scene
from geoequiv.report.figures.style import drawn
from geoequiv.tasks.data.elements import colour_of, radius

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 2.9  # inches, width of a panel
COLUMNS = 3
SHAPES = (0.55, 1.5)  # smallest and largest height of a panel over its width
LONGEST_ARROW = 0.6  # of the half-width of the picture


def picture_of(scenes: Sequence[Scene], title: str = "", subtitle: str = "") -> "Figure":
    """Target and prediction, one panel per scene, all at the same scale.

    Args:
        scenes: one or more, of one kind.
        title: of the whole.
        subtitle: below it, small.

    Raises:
        DataError: there is no scene.
        GeoequivError: matplotlib is not installed.
    """
    if not scenes:
        raise DataError("A picture needs at least one item.")
    cameras = [view_of(scene) for scene in scenes]
    windows = windows_of(scenes, [[camera] for camera in cameras])
    return panels(scenes, cameras, windows, 1.0, title, subtitle)


def view_of(scene: Scene) -> Camera:
    """The most informative view: upright bodies from the side, flat data as it is, others at their widest."""
    if scene.flat:
        return plane_view()
    if scene.up is not None:
        return upright_view(scene.true.mean(axis=0) - scene.start.mean(axis=0) if scene.quantity == "positions"
                            else np.zeros(3), scene.up)  # fmt: skip
    return flat_view(scene.bodies if scene.path is None else scene.path.reshape(-1, 3))


def windows_of(scenes: Sequence[Scene], courses: Sequence[Sequence[Camera]]) -> list[Window]:
    """A window for each scene, all of one size, that contains it from all of its cameras."""
    boxes = []
    for scene, cameras in zip(scenes, courses, strict=True):
        seen = np.concatenate([camera.project(scene.everything)[:, :2] for camera in cameras])
        boxes.append((seen.min(axis=0), seen.max(axis=0)))
    wide, high = np.max([(upper - lower) / 2 for lower, upper in boxes], axis=0)
    wide = max(float(wide), float(high) / SHAPES[1], 1e-9)
    high = max(float(high), SHAPES[0] * wide)
    margin = 0.1 * max(wide, high) + max(
        (ATOM * radius(each) for scene in scenes for each in scene.elements), default=0
    )
    longest = max(float(np.linalg.norm(scene.true, axis=-1).max()) for scene in scenes)
    arrow = LONGEST_ARROW * wide / longest if scenes[0].quantity == "arrows" and longest > 0 else 1.0
    if scenes[0].quantity == "arrows":
        margin += 0.2 * wide
    middles = [((lower + upper) / 2).tolist() for lower, upper in boxes]
    return [Window((x, y), wide + margin, high + margin, arrow) for x, y in middles]


def panels(
    scenes: Sequence[Scene],
    cameras: Sequence[Camera],
    windows: Sequence[Window],
    moment: float,
    title: str,
    subtitle: str,
) -> "Figure":
    """The scenes at one moment, each from its camera and within its window."""
    columns = min(len(scenes), COLUMNS)
    lines = math.ceil(len(scenes) / columns)
    wide = PANEL * columns + 0.3
    high = 1.2 + lines * (PANEL * windows[0].high / windows[0].wide + 0.5)

    def draw(figure: "Figure") -> None:
        grid = figure.subplots(lines, columns, squeeze=False).flatten()
        for axes in grid[len(scenes) :]:
            axes.set_axis_off()
        for axes, scene, camera, window in zip(grid, scenes, cameras, windows, strict=False):
            draw_scene(axes, scene, camera, window, moment)
            axes.set_title(scene.title, pad=18, fontweight="bold", fontsize=9.5)
            axes.annotate(
                scene.caption, (0, 1), xycoords="axes fraction", xytext=(0, 6), textcoords="offset points",
                fontsize=8.5, color=colour("soft"),
            )  # fmt: skip
        _scale(grid[0], scenes[0], windows[0])
        left, top = 0.1 / wide, high
        looks: list[tuple[str, dict[str, Any]]] = [
            (title, {"fontsize": 11.5, "fontweight": "bold"}), (subtitle, {"color": colour("soft")})
        ]  # fmt: skip
        for text, look in looks:
            if text:
                top -= 0.27
                figure.text(left, top / high, text, **look)
        engine = figure.get_layout_engine()
        assert engine is not None
        engine.set(rect=(0, 0, 1, (top - 0.2) / high), wspace=0.03, hspace=0.04)  # type: ignore[call-arg]
        figure.legend(handles=_legend(scenes[0]), loc="outside lower left", ncols=5, handlelength=1.8)

    return drawn(draw, high, wide)


def _scale(axes: "Axes", scene: Scene, window: Window) -> None:
    """A bar of round length in the corner, and an arrow of round size."""
    left, low = window.centre[0] - window.wide, window.centre[1] - window.high
    bars = [(round_number(0.5 * window.wide), 1.0, scene.unit, "|-|")]
    if scene.quantity == "arrows":
        bars.append((round_number(0.5 * window.wide / window.arrow), window.arrow, scene.arrow_unit, "->"))
    for row, (value, factor, unit, look) in enumerate(bars):
        height = low + (0.03 + 0.13 * row) * window.wide
        axes.annotate(
            "", (left + value * factor, height), xytext=(left, height),
            arrowprops={"arrowstyle": f"{look},widthA=0.2,widthB=0.2" if look == "|-|" else look,
                        "color": colour("soft"), "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0},
        )  # fmt: skip
        axes.annotate(
            f"{value:g} {unit}".rstrip(), (left + value * factor, height), xytext=(5, 0), textcoords="offset points",
            fontsize=8, color=colour("soft"), va="center",
        )  # fmt: skip


def round_number(value: float) -> float:
    """The largest of 1, 2, 5, 10, … that is not above a number.

    >>> round_number(0.37), round_number(5.0), round_number(1999.0)
    (0.2, 5.0, 1000.0)
    """
    power = 10.0 ** math.floor(math.log10(value))
    return next(step for step in (10.0, 5.0, 2.0, 1.0) if step * power <= value * (1 + 1e-9)) * power


def _legend(scene: Scene) -> list[Any]:
    from matplotlib.lines import Line2D

    def handle(label: str, shade: str, thick: float, face: str) -> Any:
        if scene.kind == "skeleton" or scene.quantity == "arrows":
            return Line2D([], [], color=shade, linewidth=thick, label=label)
        joined = len(scene.edges) > 0
        return Line2D(
            [], [], color=shade, linewidth=thick if joined else 0, marker="o", markersize=7, markerfacecolor=face,
            markeredgecolor=shade, markeredgewidth=1.5, label=label, linestyle="-" if joined else "",
        )  # fmt: skip

    atoms = scene.kind == "molecule" and scene.quantity == "positions"
    true = handle("true", BOND, 2.6, colour_of(6)) if atoms else handle("true", TRUE, 2.6, TRUE)
    handles = [true, handle("predicted", PREDICTED, 1.7, "none")]
    if scene.quantity == "positions":
        handles.insert(0, handle("input", INPUT, 1.5, colour("card")))
        if scene.path is not None and scene.kind != "skeleton":
            handles.insert(1, Line2D([], [], color=INPUT, linewidth=1.3, label="true path"))
    if scene.transformed is not None:
        crosses = scene.quantity == "positions" and scene.kind == "particles"
        look: dict[str, Any] = {"marker": "x", "markersize": 6, "markeredgewidth": 1.5} if crosses else {}
        label = "predicted for the transformed input, transformed back"
        handles.append(
            Line2D([], [], color=TRANSFORMED, linewidth=0 if crosses else 1.7, linestyle=DASHED, label=label, **look)
        )
    return handles
