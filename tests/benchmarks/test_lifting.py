"""The picture of docs/explanation/lifting.md shows what its page proves."""

import torch

from lifting import SIDE, letter, panels


def test_the_panels_of_the_picture():
    values = dict(panels())
    assert len(values) == 12
    assert values["image"].equal(letter())
    average, naive = values["mean of the maps\n= group average"], values["average without\nthe output's action"]
    assert average.shape == (SIDE, SIDE)
    assert (average - naive).abs().max() > 1
    assert values["mean kernel\nbefore the ReLU"].abs().max() == 0  # an edge in all four orientations adds up to zero
    maps = torch.stack([values[f"feature map, {angle}°"] for angle in (0, 90, 180, 270)])
    torch.testing.assert_close(average, maps.mean(0), rtol=0, atol=1e-14)
