"""SVG of the plots and of the picture: well-formed, escaped, readable, the same bytes each time."""

import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest

from geoequiv.report import leaderboard, picture
from geoequiv.report.figures.inline.axes import axis_for
from geoequiv.report.figures.inline.labels import Box, place
from geoequiv.report.figures.inline.scatter import (
    accuracy_against_equivariance_error,
    accuracy_against_inference_time,
    pareto,
    short_labels,
)

PLOTS = (accuracy_against_equivariance_error, accuracy_against_inference_time)
SVG = "{http://www.w3.org/2000/svg}"


def words(root):
    return [element.text for element in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("draw", PLOTS)
@pytest.mark.parametrize("size", [(640, 400), (372, 400)])
def test_plots_are_well_formed_and_stable(results, suite, draw, size):
    (board,) = leaderboard(results(suite))
    drawn = draw(board, *size)
    assert draw(board, *size) == drawn
    assert ElementTree.fromstring(drawn).get("viewBox") == f"0 0 {size[0]} {size[1]}"
    root = ElementTree.fromstring(drawn)
    tooltips = [title.text for title in root.iter(f"{SVG}title")]
    assert any("frame averaging SE(3) (pca)" in text and "MSE .0068" in text for text in tooltips)


def test_the_plot_marks_the_floor_and_the_published(results, suite):
    (board,) = leaderboard(results(suite))
    root = ElementTree.fromstring(accuracy_against_equivariance_error(board))
    assert any("floor of exact models, .0019" in text for text in words(root))
    assert len([line for line in root.iter(f"{SVG}line") if line.get("class") == "published"]) == 8


def test_ticks_of_a_linear_axis_are_named_at_zero_and_below(results, record):
    records = [record(model=name, value=value) for name, value in (("a", -3000.0), ("b", 0.0), ("c", 1000.0))]
    for each in records:
        each["task_card"]["references"] = []
    (board,) = leaderboard(results(records))
    shown = words(ElementTree.fromstring(accuracy_against_equivariance_error(board)))
    assert {"0", "-2000"} <= set(shown)
    assert "" not in shown
    assert None not in shown


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_plots_survive_zero_missing_and_equal_values(results, record, better):
    records = [
        record(model="a", value=0.0, relative=0.0),
        record(model="b", value=-1.0, relative=1.0),
        record(model="c", value=0.0, relative=0.0, equivariance=None, seconds=None),
    ]
    for each in records:
        each["metric"]["better"] = better
        each["task_card"]["references"] = []
    (board,) = leaderboard(results(records))
    for text in (*(draw(board) for draw in PLOTS), picture(board).encode()):
        assert ElementTree.fromstring(text).tag.endswith("svg")


def test_nothing_measured_draws_nothing(results, record):
    (board,) = leaderboard(results([record(equivariance=None, seconds=None)]))
    assert [draw(board) for draw in PLOTS] == ["", ""]
    ElementTree.fromstring(picture(board).encode())


def test_names_are_escaped_everywhere(results, record):
    evil = "<script>&\"'"  # control characters are refused where records are read
    (board,) = leaderboard(results([record(model=evil, symmetry=evil, run_id="a", protocol=evil, task=evil)]))
    for drawn in (*(draw(board) for draw in PLOTS), picture(board)):
        assert "<script>" not in drawn
        ElementTree.fromstring(drawn.encode())


@pytest.mark.parametrize("scheme", ["auto", "light", "dark"])
def test_picture(results, suite, scheme):
    (board,) = leaderboard(results(suite))
    drawn = picture(board, scheme=scheme)
    assert picture(board, scheme=scheme) == drawn
    root = ElementTree.fromstring(drawn.encode())
    assert ("prefers-color-scheme" in drawn) == (scheme == "auto")
    text = words(root)
    assert "nbody/charged" in text
    assert any("published in" in (t or "") and t.endswith("[M]") for t in text)


def test_a_short_picture_keeps_the_measured_rows(results, suite):
    (board,) = leaderboard(results(suite))
    text = words(ElementTree.fromstring(picture(board, rows=5).encode()))
    assert "and 20 more" in text
    assert not any("published in" in (t or "") for t in text)


def test_labels_do_not_overlap(results, suite):
    names = [f"model {i}" for i in range(12)]
    anchors = [(200 + 3.0 * (i % 4), 150 + 4.0 * (i // 4)) for i in range(12)]
    frame = Box(0, 0, 500, 400)
    boxes = [box for box in place(anchors, names, frame, 11) if box is not None]
    assert len(boxes) >= 8
    assert all(not a.overlap(b) for a, b in combinations(boxes, 2))
    assert all(box.inside(frame) for box in boxes)


def test_labels_say_only_what_colour_does_not(results, suite):
    (board,) = leaderboard(results(suite))
    labels = dict(zip([(row.model, row.symmetry) for row in board.rows], short_labels(board.rows), strict=True))
    assert labels["egnn", "built-in E(3)"] == "egnn"
    assert labels["gnn", "REMUL β=10 SO(3)"] == "gnn β=10"


def test_pareto_by_hand():
    assert pareto([(2, 2), (1, 3), (3, 3), (4, 1), (4, 2), (1, 5)]) == [(1, 3), (2, 2), (4, 1)]


def test_logarithmic_axis_by_hand():
    axis = axis_for([1e-7, 1e-1], 0, 600, pad=0)
    assert axis(1e-4) == pytest.approx(300)
    assert axis(0.0) == pytest.approx(0)
    assert axis.ticks() == pytest.approx([1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    assert axis_for([-1.0, 1.0], 0, 100, pad=0)(0.0) == pytest.approx(50)
