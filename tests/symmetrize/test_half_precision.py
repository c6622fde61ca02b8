"""Symmetric clouds in float16 and bfloat16: what is degenerate is judged by the round-off that they have."""

import pytest
import torch

import geoequiv as ge

from .molecules import benzene, cubane, methane, random, water

SIGNATURE = "pos: point -> y: vector, e: scalar per graph"
TOLERANCE = {torch.float16: 5e-3, torch.bfloat16: 5e-2}


def bent(pos):
    """No symmetry but permutations; computed in float64, so that all error is that of frames and inputs."""
    wide = pos.double()
    weights = torch.linspace(-0.9, 1.1, 24, dtype=torch.float64).reshape(3, 8)
    features = torch.sin(wide @ weights + 0.3)
    return (0.3 * wide + features @ weights.T).to(pos.dtype), features.sum((-1, -2)).unsqueeze(-1).to(pos.dtype)


def error(model, cloud, group, dtype):
    """Largest relative error over copies that are transformed in float64 and then rounded."""
    g = ge.group(group).sample(8, generator=torch.Generator().manual_seed(1))
    shift = 0 if g.translation is None else g.translation[:, None]
    pos = (cloud + 0.3).to(dtype)
    (y, e), (y_g, e_g) = model(pos[None]), model((pos.double() @ g.linear.mT + shift).to(dtype))
    off = (y_g.double() - y.double() @ g.linear.mT).square().sum((-1, -2)) + (e_g - e).double().square().sum(-1)
    return float((off / (y.double().square().sum() + e.double().square().sum())).sqrt().max())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
@pytest.mark.parametrize("frame", ["pca", "minimal", "stochastic", "learned"])
@pytest.mark.parametrize("cloud", [methane, benzene, cubane, water, lambda: random(7)], ids=lambda each: each.__name__)
def test_symmetric_clouds(cloud, frame, group, dtype):
    """Methane was off by 1.0 and 1.7, benzene by .75 and 1.4, as the frame took its float32 values for exact."""
    torch.manual_seed(0)
    model = ge.FrameAveraging(bent, SIGNATURE, group, frame).eval()
    with torch.no_grad():
        assert error(model, cloud().double(), group, dtype) < TOLERANCE[dtype]
        assert error(bent, methane(), group, dtype) > 0.1  # test the tester


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_the_number_of_frames_is_that_of_the_symmetries(dtype):
    """24 for methane under E(3), as in float64, whether a wrapper or the caller hands the cloud to the frame."""
    sizes = []

    def counting(pos):
        sizes.append(len(pos))
        return bent(pos)

    ge.FrameAveraging(counting, SIGNATURE, "E(3)", "pca", chunk=1000)(methane().to(dtype)[None])
    frame = ge.symmetrize.PCAFrame(ge.group("E(3)"))
    assert max(sizes) == int(frame.diagnose({"pos": methane().to(dtype)[None]}, "pos: point").size) >= 24
