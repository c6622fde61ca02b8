"""Pictures and films of scenes: the arrays that are drawn, and the same bytes each time."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import to_hex
from matplotlib.quiver import Quiver
from PIL import Image

from geoequiv.errors import DataError, GeoequivError
from geoequiv.report.figures.film import SWING, film_of, save_film, shots_of
from geoequiv.report.figures.panel import INPUT, PREDICTED, TRANSFORMED, TRUE
from geoequiv.report.figures.scene import Scene
from geoequiv.report.figures.scene_figure import picture_of, view_of, windows_of
from geoequiv.report.figures.style import save

NODES = 5


def scene(kind="skeleton", quantity="positions", seed=0, **more):
    start, true, predicted, transformed = np.random.default_rng(seed).normal(size=(4, NODES, 3))
    edges = np.array([[0, 1], [1, 2], [1, 3]])
    known = {
        "title": "best",
        "caption": "mse 1",
        "edges": edges,
        "transformed": transformed,
        "unit": "Å",
        "arrow_unit": "eV/Å",
    }
    return Scene(kind=kind, quantity=quantity, start=start, true=true, predicted=predicted, **{**known, **more})


def segments(axes, shade):
    """Line segments of one colour, as a sorted array [n, 2, 2]."""
    found = [
        each for each in axes.collections if isinstance(each, LineCollection) and to_hex(each.get_color()[0]) == shade
    ]
    return [np.array(sorted(np.stack(each.get_segments()).tolist())) for each in found]


def expected(camera, points, edges):
    return np.array(sorted(camera.project(points)[edges][..., :2].tolist()))


def test_bones_of_all_three_skeletons():
    shown = scene(up=1)
    axes = picture_of([shown]).axes[0]
    camera = view_of(shown)
    for shade, points in (
        (INPUT, shown.start),
        (TRUE, shown.true),
        (PREDICTED, shown.predicted),
        (TRANSFORMED, shown.transformed),
    ):
        (drawn,) = segments(axes, shade)
        np.testing.assert_allclose(drawn, expected(camera, points, shown.edges), atol=1e-12)


def test_atoms_in_their_colours_bonded():
    shown = scene("molecule", elements=(6, 6, 8, 1, 1))
    axes = picture_of([shown]).axes[0]
    camera = view_of(shown)
    centres = np.array([patch.center for patch in axes.patches])
    order = camera.project(shown.true)[:, 2].argsort()  # the nearest is drawn last
    np.testing.assert_allclose(centres, camera.project(shown.true)[order, :2], atol=1e-12)
    assert to_hex(axes.patches[list(order).index(2)].get_facecolor()) == "#d98a80"
    assert [text.get_text() for text in axes.texts if text.get_text() in "HCO" and text.get_text()] == ["O"]
    np.testing.assert_allclose(segments(axes, PREDICTED)[0], expected(camera, shown.predicted, shown.edges), atol=1e-12)


def test_particles_their_signs_their_paths_and_their_error():
    path = np.linspace(0, 1, 11)[:, None, None] * np.ones((11, NODES, 3)) + np.arange(NODES)[:, None]
    shown = scene("particles", edges=np.zeros((0, 2), dtype=np.int64), path=path, signs=np.array([1, -1, 1, 0, 1]),
                  sizes=np.array([2.0, 1, 1, 1, 1]))  # fmt: skip
    axes = picture_of([shown]).axes[0]
    camera = view_of(shown)
    assert [text.get_text() for text in axes.texts].count("+") == 3
    assert [text.get_text() for text in axes.texts].count("−") == 1
    trail = camera.project(path[:, 0])[:, :2]
    assert any(np.array_equal(np.column_stack(line.get_data()), trail) for line in axes.lines)
    radii = sorted(patch.radius for patch in axes.patches)
    assert radii[-1] == pytest.approx(2 * radii[0])
    (links,) = segments(axes, PREDICTED)
    both = np.stack([camera.project(shown.true)[:, :2], camera.project(shown.predicted)[:, :2]], axis=1)
    np.testing.assert_allclose(links, np.array(sorted(both.tolist())), atol=1e-12)
    assert sum(isinstance(each, PatchCollection) for each in axes.collections) == 2  # input and predicted rings


def test_arrows_true_and_predicted_at_one_scale():
    shown = scene("molecule", "arrows", elements=(6, 6, 8, 1, 1), transformed=None)
    axes = picture_of([shown]).axes[0]
    camera, (window,) = view_of(shown), windows_of([shown], [[view_of(shown)]])
    arrows = [each for each in axes.collections if isinstance(each, Quiver)]
    assert [to_hex(each.get_facecolor()[0]) for each in arrows] == [TRUE, PREDICTED]
    for drawn, vectors in zip(arrows, (shown.true, shown.predicted), strict=True):
        np.testing.assert_allclose(drawn.get_offsets(), camera.project(shown.start)[:, :2], atol=1e-12)
        tips = np.column_stack([drawn.U, drawn.V])
        np.testing.assert_allclose(tips, window.arrow * camera.project(vectors)[:, :2], atol=1e-12)
    longest = np.linalg.norm(shown.true, axis=1).max()
    assert 0 < longest * window.arrow < 2 * window.wide


def test_panels_share_one_scale_and_hold_everything():
    shown = [scene(seed=seed) for seed in range(4)]
    shown[2] = replace(shown[2], predicted=4 * shown[2].predicted)
    figure = picture_of(shown, "a title", "a subtitle")
    panels = [axes for axes in figure.axes if axes.collections]
    assert len(panels) == 4
    assert len({round(float(np.ptp(axes.get_xlim())), 9) for axes in panels}) == 1
    for axes, each in zip(panels, shown, strict=True):
        assert axes.get_aspect() == 1
        seen = view_of(each).project(each.everything)
        assert axes.get_xlim()[0] < seen[:, 0].min() < seen[:, 0].max() < axes.get_xlim()[1]
        assert axes.get_ylim()[0] < seen[:, 1].min() < seen[:, 1].max() < axes.get_ylim()[1]
    assert {"a title", "a subtitle"} <= {text.get_text() for text in figure.texts}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["input", "true", "predicted", "predicted for the transformed input, transformed back"]


def test_nothing_lies_upon_anything():
    """Titles, captions and panels keep apart."""
    figure = picture_of([scene(), scene(seed=1)], "a title", "a subtitle")
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    boxes += [axes.title.get_window_extent(renderer) for axes in figure.axes]
    boxes += [figure.legends[0].get_window_extent(renderer)]
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_a_film_goes_along_the_path_or_once_around():
    still = shots_of(scene(), 8)
    assert [shot.angle for shot in still] == pytest.approx([2 * math.pi * k / 8 for k in range(8)])
    assert {shot.moment for shot in still} == {1.0}
    moving = shots_of(scene(path=np.zeros((3, NODES, 3))), 8)
    moments = [shot.moment for shot in moving]
    assert (moments[0], moments[-1]) == (0.0, 1.0)
    assert moments == sorted(moments)
    assert max(abs(shot.angle) for shot in moving) <= SWING


def test_a_film_has_frames_that_differ():
    for shown in (
        scene("molecule", elements=(6, 6, 8, 1, 1)),
        scene(path=np.random.default_rng(1).normal(size=(6, NODES, 3))),
    ):
        film = film_of([shown], frames=4)
        image = Image.open(io.BytesIO(film))
        assert image.n_frames == 4
        frames = []
        for place in range(4):
            image.seek(place)
            frames.append(np.asarray(image.convert("RGB")))
        assert all(len({frame.shape for frame in frames}) == 1 and (frames[0] != frame).any() for frame in frames[1:])
        assert film == film_of([shown], frames=4)


def test_equal_scenes_give_equal_files(tmp_path):
    for form in ("svg", "png"):
        first, second = (save(picture_of([scene()]), tmp_path / f"{i}.{form}").read_bytes() for i in range(2))
        assert first == second
    assert save(picture_of([scene(seed=3)]), tmp_path / "other.png").read_bytes() != first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_bad_input(tmp_path):
    with pytest.raises(DataError, match="at least one item"):
        picture_of([])
    with pytest.raises(DataError, match="two frames"):
        film_of([scene()], frames=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(GeoequivError, match="Cannot write the film"):
        save_film(b"GIF", tmp_path / "file" / "test.gif")
