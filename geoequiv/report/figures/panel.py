"""Draw one scene into axes: skeletons, molecules and particles, target and prediction."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geoequiv.report.families import colour
from geoequiv.report.figures.camera import Camera
from geoequiv.report.figures.scene import Array, Scene
from geoequiv.tasks.data.elements import colour_of, radius, symbol

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INPUT, TRUE = "#b4b8bf", colour("ink")
BOND = colour("muted")  # true atoms have the colours of their elements
PREDICTED, TRANSFORMED = colour("accent"), colour("augmentation")  # blue and brown: distinct for colour-blind readers
ATOM = 0.36  # drawn radius of an atom, of its covalent radius
DISC = 0.038  # radius of an average particle, of the half-width of the picture
DASHED = (0, (3.2, 2))


@dataclass(frozen=True)
class Window:
    """Which part of the picture plane is shown, and the scale of arrows.

    Args:
        centre: of the window, right and up.
        wide: half of its width.
        high: half of its height.
        arrow: length of a vector of size 1.
    """

    centre: tuple[float, float]
    wide: float
    high: float
    arrow: float = 1.0


def draw_scene(axes: "Axes", scene: Scene, camera: Camera, window: Window, moment: float = 1.0) -> None:
    """Draw a scene; nearer bodies cover farther ones.

    Args:
        axes: get equal aspect, no frame, and the window's limits.
        scene: what to draw.
        camera: the view.
        window: which part of it.
        moment: progress of the true bodies along their path, 0 … 1.
    """
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_xlim(window.centre[0] - window.wide, window.centre[0] + window.wide)
    axes.set_ylim(window.centre[1] - window.high, window.centre[1] + window.high)
    if scene.quantity == "arrows":
        _bodies(axes, scene, camera, window, scene.start)
        _arrows(axes, scene, camera, window)
        return
    if scene.kind == "skeleton" and scene.up is not None:
        _shadow(axes, scene, camera, scene.at(moment))
    if scene.path is not None and scene.kind != "skeleton":
        _trails(axes, scene, camera, moment)
    _input(axes, scene, camera, window)
    _bodies(axes, scene, camera, window, scene.at(moment))
    guesses = [(scene.predicted, PREDICTED, "-"), (scene.transformed, TRANSFORMED, DASHED)]
    for zorder, (guess, shade_of, dashes) in enumerate(guesses, 100):
        if guess is not None:
            _guess(axes, scene, camera, window, guess, shade_of, dashes, zorder)


def body_radii(scene: Scene, window: Window) -> Array:
    """Drawn radius of each body, in the unit of length."""
    if scene.elements:
        return np.array([ATOM * radius(charge) for charge in scene.elements])
    sizes = np.ones(len(scene.start)) if scene.sizes is None else scene.sizes
    return DISC * window.wide * sizes


def _bodies(axes: "Axes", scene: Scene, camera: Camera, window: Window, places: Array) -> None:
    """The true bodies: bones, atoms with their bonds, or discs with their signs."""
    from matplotlib.patches import Circle

    at = camera.project(places)
    if scene.kind == "skeleton":
        _lines(axes, at, scene, TRUE, 2.6, zorder=50)
        return
    soft = scene.kind == "molecule"
    _lines(axes, at, scene, BOND if soft else TRUE, 2.4, zorder=40)
    radii = body_radii(scene, window)
    for rank, body in enumerate(at[:, 2].argsort()):
        charge = scene.elements[body] if scene.elements else 0
        face = colour_of(charge) if charge else TRUE
        zorder = 50 + rank / len(at)
        edge = colour("muted") if charge else TRUE
        x, y = at[body, :2].tolist()
        axes.add_patch(Circle((x, y), radii[body], facecolor=face, edgecolor=edge, linewidth=0.6, zorder=zorder))
        text = symbol(charge) if charge and charge not in (1, 6) else ""
        if scene.signs is not None:
            text = {1: "+", -1: "−"}.get(int(scene.signs[body]), "")
        if text:
            _letter(axes, at[body], text, radii[body], window, "white" if not charge else TRUE, zorder)


def _input(axes: "Axes", scene: Scene, camera: Camera, window: Window) -> None:
    at = camera.project(scene.start)
    if len(scene.edges):
        _lines(axes, at, scene, INPUT, 1.5, zorder=20)
    if scene.kind != "skeleton":
        radii = body_radii(scene, window) * (0.55 if scene.kind == "molecule" else 0.7)
        _rings(axes, at, radii, INPUT, "-", 1.1, zorder=21, face=colour("card"))


def _guess(
    axes: "Axes", scene: Scene, camera: Camera, window: Window, places: Array, shade_of: str, dashes: Any, zorder: int
) -> None:
    at, true = camera.project(places), camera.project(scene.true)
    if len(scene.edges):
        _lines(axes, at, scene, shade_of, 1.7, zorder=zorder, dashes=dashes)
    if scene.kind == "skeleton":
        return
    if dashes == "-" or scene.kind == "molecule":
        _rings(axes, at, body_radii(scene, window), shade_of, "-", 1.6 if dashes == "-" else 1.1, zorder=zorder)
    else:
        axes.plot(at[:, 0], at[:, 1], "x", color=shade_of, markersize=5, markeredgewidth=1.4, zorder=zorder)
    if not len(scene.edges) and dashes == "-":
        _segments(axes, true[:, :2], at[:, :2], shade_of, 1.0, zorder=zorder - 60)


def _arrows(axes: "Axes", scene: Scene, camera: Camera, window: Window) -> None:
    at = camera.project(scene.start)[:, :2]
    looks = (
        (scene.true, TRUE, 3.6, 80),
        (scene.predicted, PREDICTED, 1.6, 90),
        (scene.transformed, TRANSFORMED, 1.0, 91),
    )
    for vectors, shade_of, thick, zorder in looks:
        if vectors is None:
            continue
        tips = camera.project(vectors)[:, :2] * window.arrow
        axes.quiver(
            at[:, 0], at[:, 1], tips[:, 0], tips[:, 1], color=shade_of, angles="xy", scale_units="xy", scale=1,
            units="dots", width=thick, headwidth=3.4, headlength=4.2, headaxislength=3.8, minlength=0.5, zorder=zorder,
        )  # fmt: skip


def _shadow(axes: "Axes", scene: Scene, camera: Camera, places: Array) -> None:
    """The shadow of a skeleton, straight down on the ground."""
    floor = scene.everything[:, scene.up].min()
    flat = places.copy()
    flat[:, scene.up] = floor
    _lines(axes, camera.project(flat), scene, colour("line"), 3.5, zorder=5)


def _trails(axes: "Axes", scene: Scene, camera: Camera, moment: float) -> None:
    assert scene.path is not None
    shown = max(round(moment * (len(scene.path) - 1)), 0) + 1
    trail = camera.project(scene.path[:shown])
    for body in range(trail.shape[1]):
        axes.plot(trail[:, body, 0], trail[:, body, 1], color=INPUT, linewidth=1.3, zorder=10)


def _lines(
    axes: "Axes", at: Array, scene: Scene, shade_of: str, thick: float, zorder: float, dashes: Any = "-"
) -> None:
    """Edges as one collection, farthest first."""
    order = at[scene.edges, 2].mean(axis=1).argsort()
    first, second = scene.edges[order].T
    _segments(axes, at[first, :2], at[second, :2], shade_of, thick, zorder, dashes)


def _segments(
    axes: "Axes", first: Array, second: Array, shade_of: str, thick: float, zorder: float, dashes: Any = "-"
) -> None:
    from matplotlib.collections import LineCollection

    lines = np.stack([first, second], axis=1)
    drawn = LineCollection(
        list(lines), colors=shade_of, linewidths=thick, linestyles=dashes, capstyle="round", zorder=zorder
    )
    axes.add_collection(drawn, autolim=False)


def _rings(
    axes: "Axes", at: Array, radii: Array, shade_of: str, dashes: Any, thick: float, zorder: float, face: str = "none"
) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Circle

    circles = [Circle((x, y), size) for (x, y), size in zip(at[:, :2].tolist(), radii.tolist(), strict=True)]
    drawn = PatchCollection(
        circles, facecolors=face, edgecolors=shade_of, linewidths=thick, linestyles=dashes, zorder=zorder
    )
    axes.add_collection(drawn, autolim=False)


def _letter(axes: "Axes", at: Array, text: str, size: float, window: Window, shade_of: str, zorder: float) -> None:
    """A symbol inside a disc, as large as the disc."""
    width = axes.get_position().width * axes.figure.bbox.width / axes.figure.dpi * 72  # points; a rough value is enough
    points = min(max(1.15 * size / window.wide * width / 2, 4.0), 10.0)
    axes.text(at[0], at[1], text, color=shade_of, fontsize=points, ha="center", va="center_baseline", zorder=zorder)
