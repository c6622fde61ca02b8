"""The signs that moments leave of principal axes: the scores of all at once keep what the chain keeps step by step."""

import pytest
import torch
from torch import Tensor

import geoequiv as ge
from geoequiv.fields import Layout
from geoequiv.symmetrize.frames.minimal import MinimalFrame

SIDE = ge.Signature.parse("pos: point -> pos: point").inputs
WATER = torch.tensor([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.0, -0.76, -0.48]], dtype=torch.float64)


def clouds(dim: int) -> dict[str, Tensor]:
    """Clouds without symmetry, and with one that the moments show."""
    generator = torch.Generator().manual_seed(1)
    drawn = torch.randn(60, 5, dim, generator=generator, dtype=torch.float64)
    inverted = torch.cat([drawn, -drawn], 1)
    mirrored = torch.cat([drawn, drawn * torch.tensor([-1.0] + [1.0] * (dim - 1))], 1)
    found = {
        "drawn": drawn,
        "inverted": inverted,
        "mirrored": mirrored,
        "flat": drawn * torch.tensor([0.0] + [1.0] * (dim - 1)),
    }
    return found | ({"water": WATER[None]} if dim == 3 else {})


@pytest.mark.parametrize("group", ["E(3)", "SE(3)", "E(2)", "SE(2)"])
def test_scores_keep_what_the_chain_keeps(group):
    frame = MinimalFrame(ge.group(group))
    for name, pos in clouds(frame.group.dim).items():
        layout = Layout.of({"pos": pos}, SIDE, frame.group.dim)
        spectrum = frame.spectrum({"pos": pos}, SIDE, layout)
        axes = frame.axes(spectrum)
        *_, score = frame.scores(axes, spectrum, layout)
        *_, (alive, _, _) = frame.chain(axes, spectrum, layout)
        assert torch.equal(score == score.amax(-1, keepdim=True), alive), name


def test_moments_by_hand():
    """Of points on the axes and on the diagonal: means of y_k³, y_k ρ², y_k⁵, then of products of coordinates."""
    frame = MinimalFrame(ge.group("O(3)"))
    pos = torch.tensor([[[1.0, 0, 0], [0, 2.0, 0], [0, 0, 3.0], [1.0, 1.0, 1.0]]], dtype=torch.float64)
    side = ge.Signature.parse("pos: vector -> pos: vector").inputs
    layout = Layout.of({"pos": pos}, side)
    spectrum = frame.spectrum({"pos": pos}, side, layout)
    unit = (spectrum.values[0, -1] / 4).sqrt()
    odd, even = frame.moments(torch.eye(3, dtype=torch.float64)[None], spectrum, layout)
    torch.testing.assert_close(odd[0, :6], torch.tensor([2.0, 9, 28, 4, 11, 30]).double() / 4 / unit**3)
    torch.testing.assert_close(odd[0, 6:], torch.tensor([2.0, 33, 244]).double() / 4 / unit**5)
    powers = torch.tensor([4.0] * 9 + [3, 5])
    torch.testing.assert_close(even[0], torch.tensor([3.0] * 3 + [1.0] * 6 + [1.0, 3.0]).double() / 4 / unit**powers)
