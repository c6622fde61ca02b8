"""Pictures of filters, barriers and orders: what they show, and the same bytes each time."""

import numpy as np
import pytest

from geoequiv.errors import ConfigError
from geoequiv.report.figures.filters import Point, as_pixels, barriers_against_errors, matched_filters, orders
from geoequiv.report.figures.style import save


def test_pixels_of_filters():
    filters = np.zeros((2, 3, 1, 2))
    filters[0, :, 0, 0] = [2.0, -2.0, 1.0]
    pixels = as_pixels(filters)
    assert pixels.shape == (2, 1, 2, 3)
    assert pixels[0, 0, 0].tolist() == [1.0, 0.0, 0.75]
    assert (pixels[1] == 0.5).all()  # a dead filter is grey
    assert as_pixels(np.ones((1, 1, 2, 2))).shape == (1, 2, 2, 3)
    with pytest.raises(ConfigError, match=r"got shape \[2, 8, 3, 3\]"):
        as_pixels(np.zeros((2, 8, 3, 3)))


def test_filters_are_above_the_mirrored_ones_they_are_matched_with(tmp_path):
    filters = np.random.default_rng(0).normal(size=(4, 3, 3, 3))
    filters[1] = filters[0][..., ::-1]
    partners, correlations = [1, 0, 2, 3], [0.9, 0.9, 1.0, float("nan")]
    figure = matched_filters(filters, partners, correlations, "A title")
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 8
    words = [axes.get_title("center") for axes in figure.axes]
    assert "1: 0.90" in words
    assert "itself: 1.00" in words
    assert "itself: dead" in words
    pixels = as_pixels(filters)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), pixels[0])
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), pixels[0])  # mirrored filter 1 is filter 0
    one, two = (
        save(matched_filters(filters, partners, correlations), tmp_path / f"{k}.svg").read_bytes() for k in "ab"
    )
    assert one == two


def test_barriers_over_errors():
    points = [Point("CNN", 0.3, 0.04), Point("CNN", 0.28, 0.05), Point("GCNN", 0.0, 0.0)]
    figure = barriers_against_errors(points, {"two trainings": 0.06})
    (axes,) = figure.axes
    assert [line.get_label() for line in axes.lines][:2] == ["CNN", "GCNN"]
    assert axes.lines[0].get_xydata().tolist() == [[0.3, 0.04], [0.28, 0.05]]
    assert any(text.get_text() == "two trainings" for text in axes.texts)


def test_orders_are_parts_of_all_layers():
    (axes,) = orders({"CNN": {1: 1, 2: 1, 6: 1, 30: 1}, "GCNN": {2: 8}}).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "2", "6", ">12"]
    heights = [bar.get_height() for bar in axes.patches]
    assert heights == [0.25, 0.25, 0.25, 0.25, 0, 1, 0, 0]
