"""Animations of scenes as a GIF: bodies move along their paths, or the camera rotates."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geoequiv.errors import DataError
from geoequiv.files import write_file
from geoequiv.report.figures.camera import Camera
from geoequiv.report.figures.scene import Scene
from geoequiv.report.figures.scene_figure import panels, view_of, windows_of
from geoequiv.report.figures.style import RULES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = 36
SECONDS = 0.09  # a frame
SWING = math.radians(35)  # the camera swings so far to either side of moving bodies
HOLD = 0.3  # last part of such a film, in which the bodies have arrived
COLOURS = 96  # of a GIF
GIF_DPI = 90


@dataclass(frozen=True)
class Shot:
    """One frame of a film: rotation of the view (radians), and progress of the bodies along their path (0 … 1)."""

    angle: float = 0.0
    moment: float = 1.0


def film_of(scenes: Sequence[Scene], title: str = "", subtitle: str = "", frames: int = FRAMES) -> bytes:
    """The same picture as a GIF: bodies with a known path move along it; else the view rotates once about the vertical.

    Args:
        scenes: one or more, of one kind.
        title: of the whole.
        subtitle: below it, small.
        frames: how many.

    Returns:
        The file; equal scenes give equal bytes.

    Raises:
        DataError: there is no scene, or fewer than 2 frames were asked for.
        GeoequivError: matplotlib is not installed.
    """
    if not scenes or frames < 2:
        raise DataError(f"A film needs an item and two frames; got {len(scenes)} and {frames}.")
    shots = shots_of(scenes[0], frames)
    views = [view_of(scene) for scene in scenes]
    courses = [
        [rotated_view(scene, view, shot.angle) for shot in shots] for scene, view in zip(scenes, views, strict=True)
    ]
    windows = windows_of(scenes, courses)
    figures = (
        panels(scenes, [course[place] for course in courses], windows, shot.moment, title, subtitle)
        for place, shot in enumerate(shots)
    )
    return _gif([_raster(figure) for figure in figures])


def save_film(film: bytes, path: Path) -> Path:
    """Write a film; GeoequivError if that cannot be."""
    write_file(path, film, "the film")
    return path


def rotated_view(scene: Scene, view: Camera, angle: float) -> Camera:
    """The view of a frame; that of two-dimensional data stays."""
    if scene.flat:
        return view
    return view.rotated(angle, None if scene.up is None else np.eye(3)[scene.up])


def shots_of(scene: Scene, frames: int) -> list[Shot]:
    """Frames of a film: along the path with the view swinging, or one full rotation; both loop smoothly."""
    angles = [2 * math.pi * place / frames for place in range(frames)]
    if scene.path is None:
        return [Shot(angle) for angle in angles]
    last = max(round((1 - HOLD) * (frames - 1)), 1)
    return [Shot(SWING * math.sin(angle), min(place / last, 1.0)) for place, angle in enumerate(angles)]


def _raster(figure: "Figure") -> Any:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    with matplotlib.rc_context(RULES):
        figure.set_dpi(GIF_DPI)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _gif(images: Sequence[Any]) -> bytes:
    """All frames with the palette of the middle one, which avoids flicker."""
    from PIL import Image

    palette = images[len(images) // 2].quantize(COLOURS)

    frames = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    milliseconds = round(1000 * SECONDS)
    frames[0].save(
        buffer, format="GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0, optimize=False
    )  # fmt: skip
    return buffer.getvalue()
