"""Options of frames of S(n), decorating and saving them, and what they refuse."""

import copy
import math
import pickle

import pytest
import torch

import geoequiv as ge
from geoequiv.errors import BatchError, GroupError, SignatureError
from geoequiv.fields import Layout
from geoequiv.symmetrize import SortingFrame

from .small_graphs import HEXAGON, MLP, SIGNATURE, TRIANGLES, framed, random_weights


def test_tolerance():
    noisy = HEXAGON + 1e-9 * random_weights(6)
    frame = SortingFrame(ge.group("S(6)"))
    assert frame.diagnose({"adj": noisy}, "adj: adjacency").automorphisms == 1
    assert ge.equivariance_error(framed(6), {"adj": noisy[None]}, SIGNATURE, "S(6)", num_samples=12).worst < 1e-13
    tolerant = framed(6, tolerance=1e-6)
    assert tolerant.frame.diagnose({"adj": noisy}, "adj: adjacency").automorphisms == 12
    assert ge.equivariance_error(tolerant, {"adj": noisy[None]}, SIGNATURE, "S(6)", num_samples=12).worst < 1e-7
    exact, near = tolerant(HEXAGON), tolerant(noisy)
    assert all(torch.allclose(near[key], exact[key], atol=1e-7) for key in exact)


def test_beyond_the_budget():
    with pytest.raises(BatchError, match="Graph 1 of the batch leaves more than 3 open choices"):
        framed(6, budget=3)(torch.stack([random_weights(6), HEXAGON]))
    generator = torch.Generator().manual_seed(0)
    drawn = framed(6, budget=3, on_budget="sample", generator=generator)
    assert drawn.claims is None
    assert framed(6).claims == "S(6)"
    batch = torch.stack([random_weights(6), HEXAGON])
    assert drawn.frame.diagnose({"adj": batch}, "adj: adjacency").sampled.tolist() == [False, True]
    draws = drawn(HEXAGON.expand(2000, 6, 6))["y"][..., 0]
    assert draws.std(0).min() > 1e-3
    error = draws.std(0) / 2000**0.5
    expected = framed(6)(HEXAGON)["y"][:, 0]  # all leaves of a hexagon are equivalent, so the means agree
    assert ((draws.mean(0) - expected).abs() < 5 * error).all()


def test_degenerate():
    batch = torch.stack([random_weights(6), HEXAGON])
    with pytest.raises(BatchError, match="The graph of item 1 has 12 automorphisms"):
        framed(6, degenerate="error")(batch)
    framed(6, degenerate="error")(batch[:1])
    with pytest.raises(BatchError, match="The graph of item 1 has more open choices than the budget"):
        framed(6, degenerate="error", budget=2, on_budget="sample")(batch)
    careless = framed(6, degenerate="ignore")
    assert careless.claims is None
    assert ge.equivariance_error(careless, {"adj": batch[1:]}, SIGNATURE, "S(6)", num_samples=6).relative > 0.1
    assert ge.equivariance_error(careless, {"adj": batch[:1]}, SIGNATURE, "S(6)", num_samples=6).worst < 1e-12


def test_decorated_copied_and_saved():
    @ge.frame_averaging("adj: adjacency -> z: adjacency", "S(6)", "sorting")
    def decorated(adj):
        return adj.cumsum(-1)

    x = {"adj": torch.stack([HEXAGON, TRIANGLES])}
    side = "adj: adjacency -> z: adjacency"
    assert ge.equivariance_error(decorated, x, side, "S(6)", num_samples=5).worst < 1e-12
    wrapped = framed(6)
    assert set(wrapped.state_dict()) == set(wrapped.model.state_dict())
    for other in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        assert torch.equal(other(x["adj"])["energy"], wrapped(x["adj"])["energy"])
    half = framed(6).bfloat16()
    out = half(x["adj"].bfloat16())
    assert out["y"].dtype == torch.bfloat16
    assert torch.allclose(out["y"].double(), wrapped(x["adj"])["y"], atol=0.05)


def test_what_is_refused():
    with pytest.raises(GroupError, match=r"made for S\(n\); got SO\(3\)\. For a product wrap twice"):
        ge.FrameAveraging(MLP(4), SIGNATURE, "SO(3)*S(4)", "sorting")
    with pytest.raises(GroupError, match="made for"):
        ge.FrameAveraging(MLP(4), SIGNATURE, "S(4)", "pca")
    with pytest.raises(GroupError, match="budget must be"):
        framed(4, budget=0)
    with pytest.raises(GroupError, match="Did you mean 'sample'"):
        framed(4, on_budget="samples")
    with pytest.raises(GroupError, match="tolerance is relative"):
        framed(4, tolerance=2.0)
    with pytest.raises(GroupError, match="Did you mean 'ignore'"):
        framed(4, degenerate="ignor")
    with pytest.raises(BatchError, match="relabels 4 nodes, but the clouds of this batch have 5"):
        framed(4)(torch.zeros(2, 5, 5))
    with pytest.raises(BatchError, match="'adj' is not finite in item 1"):
        framed(2)(torch.tensor([[[0.0, 1.0], [1.0, 0.0]], [[0.0, math.nan], [1.0, 0.0]]]))
    with pytest.raises(BatchError, match=r"look at values, which vmap hides: pass the whole batch"):
        torch.func.vmap(framed(6))(torch.stack([HEXAGON, TRIANGLES]))
    image = ge.FrameAveraging(lambda image: image, "image: image -> y: scalar", "S(3)@plane", "sorting")
    with pytest.raises(SignatureError, match="nothing to order 3 nodes by"):
        image.frame({"image": torch.ones(2, 1, 4, 4)}, image.signature.inputs, Layout((2,), 3))
