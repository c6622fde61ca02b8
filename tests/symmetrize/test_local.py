"""Local and latent frames: layers averaged at each node, exact where neighbourhoods are degenerate."""

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import BatchError, GroupError, SignatureError
from geoequiv.fields import Layout, Side
from geoequiv.groups import group
from geoequiv.symmetrize import PCAFrame, Symmetrizer
from geoequiv.symmetrize.frames.latent import LatentFrame
from geoequiv.symmetrize.neighbourhoods import nearest_nodes

SIGNATURE = "pos: point -> v: vector per graph, s: scalar*2 per graph"


class Layer(nn.Module):
    """Looks at each coordinate, and at the order of the nodes."""

    def __init__(self, k: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * k, 16), nn.Tanh(), nn.Linear(16, 5)).double()

    def forward(self, pos):
        both = self.net(pos)
        return {"v": both[..., :3], "s": both[..., 3:]}


class SetLayer(nn.Module):
    """Looks at each coordinate, and not at the order of the nodes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 5)).double()

    def forward(self, pos):
        both = self.net(pos).sum(-2)
        return {"v": both[..., :3], "s": both[..., 3:]}


def cloud(*shape, seed=1):
    return torch.randn(*shape, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def local(acting="E(3)", layer=None, **options):
    return ge.LocalFrameAveraging(layer or Layer(), SIGNATURE, acting, neighbours=6, **options)


def test_is_a_loop_over_nodes():
    pos, layer = cloud(2, 9), Layer()
    found = local(layer=layer)(pos=pos)
    for item in range(2):
        for node in range(9):
            near = (pos[item] - pos[item, node]).norm(dim=-1).argsort()[:6]
            expected = ge.FrameAveraging(layer, SIGNATURE, "E(3)")(pos=pos[item, near][None])
            torch.testing.assert_close(found["v"][item, node], expected["v"][0])
            torch.testing.assert_close(found["s"][item, node], expected["s"][0])


@pytest.mark.parametrize("acting", ["E(3)", "SE(3)", "O(3)", "SO(3)"])
def test_is_equivariant_and_the_layer_is_not(acting):
    averaged = local(acting)
    ge.testing.assert_equivariant(averaged, {"pos": cloud(3, 12)}, averaged.node_signature, acting)
    bare = ge.equivariance_error(Layer(), {"pos": cloud(3, 6)}, SIGNATURE, acting)
    assert bare.relative > 0.1


def degenerate_clouds():
    z = torch.zeros(10, dtype=torch.float64)
    step = torch.linspace(-1, 1, 10, dtype=torch.float64) ** 3 + torch.linspace(0, 0.3, 10, dtype=torch.float64)
    flat = torch.cat([cloud(10)[:, :2], z[:, None]], -1)
    line = torch.stack([step, 2 * step, z], -1)
    return {"flat": flat, "collinear": line, "coincident": torch.zeros(10, 3, dtype=torch.float64)}


@pytest.mark.parametrize("kind", ["flat", "collinear", "coincident"])
def test_degenerate_neighbourhoods_are_exact(kind):
    averaged = local(layer=SetLayer())
    pos = degenerate_clouds()[kind][None]
    ge.testing.assert_equivariant(averaged, {"pos": pos + 1.0}, averaged.node_signature, "E(3)", tolerance=1e-7)


def test_symmetric_neighbourhoods_are_exact_where_the_textbook_is_not():
    """Corners of a cube about its centre: the centre's nine nearest nodes have the symmetry of the cube."""
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    pos = torch.cat([corners, torch.zeros(1, 3, dtype=torch.float64)])[None]
    exact = ge.LocalFrameAveraging(SetLayer(), SIGNATURE, "O(3)", neighbours=9)
    ge.testing.assert_equivariant(exact, {"pos": pos}, exact.node_signature, "O(3)")
    textbook = ge.LocalFrameAveraging(SetLayer(), SIGNATURE, "O(3)", neighbours=9, degenerate="ignore")
    assert ge.equivariance_error(textbook, {"pos": pos}, textbook.node_signature, "O(3)").worst > 1e-3


def test_dense_masked_ragged_and_single_clouds_agree():
    averaged, pos = local(), cloud(2, 10)
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[1, 7:] = False
    padded = averaged(pos=torch.where(mask[..., None], pos, torch.nan), mask=mask)["v"]
    single = torch.cat([averaged(pos=pos[0])["v"], averaged(pos=pos[1, :7])["v"]])
    torch.testing.assert_close(padded[mask], single)
    assert bool((padded[~mask] == 0).all())
    batch = torch.tensor([0] * 10 + [1] * 7)
    torch.testing.assert_close(averaged(pos=pos[mask], batch=batch)["v"], single)
    order = torch.randperm(17, generator=torch.Generator().manual_seed(0))
    mixed = averaged(pos=pos[mask][order], batch=batch[order])["v"]
    torch.testing.assert_close(mixed, single[order])
    torch.testing.assert_close(averaged({"pos": pos})["v"], averaged(pos=pos)["v"])


def test_coincident_nodes_come_after_the_node_itself():
    pos = torch.zeros(1, 7, 3, dtype=torch.float64)
    near = nearest_nodes(pos, Layout.of({"pos": pos}, Side.parse("pos: point")), 3)
    assert near[:, 0].tolist() == list(range(7))
    assert all(len(set(row)) == 3 for row in near.tolist())


def test_every_field_of_the_neighbours_is_gathered():
    signature = "pos: point, vel: vector, q: scalar -> v: vector per graph"
    total = lambda pos, vel, q: (vel * q).sum(-2)  # noqa: E731  # equivariant already: the average changes nothing
    averaged = ge.LocalFrameAveraging(total, signature, "E(3)", neighbours=3)
    pos, vel, q = cloud(1, 5), cloud(1, 5, seed=2), cloud(1, 5, seed=3)[..., :1]
    near = nearest_nodes(pos, Layout.of({"pos": pos}, Side.parse("pos: point")), 3)
    torch.testing.assert_close(averaged(pos=pos, vel=vel, q=q)[0], (vel * q)[0][near].sum(1))


def test_stochastic_frames_draw_in_training_and_gradients_flow():
    torch.manual_seed(1)
    averaged, pos = local(frame="stochastic"), cloud(2, 9)
    assert torch.equal(averaged.eval()(pos=pos)["v"], local().eval()(pos=pos)["v"])
    averaged.train()
    assert not torch.equal(averaged(pos=pos)["v"], averaged(pos=pos)["v"])
    leaf = pos.clone().requires_grad_()
    local()(pos=leaf)["s"].sum().backward()
    assert bool(leaf.grad.isfinite().all())
    assert float(leaf.grad.abs().max()) > 0


@pytest.mark.parametrize(
    ("signature", "options", "message"),
    [
        ("pos: point -> v: vector", {}, "must be 'vector per graph'"),
        ("a: adjacency, pos: point -> v: vector per graph", {}, "fields of nodes"),
        ("s: scalar -> v: vector per graph", {}, "point"),
        (SIGNATURE, {"neighbours": 0}, "positive number"),
    ],
)
def test_what_cannot_be_is_refused(signature, options, message):
    with pytest.raises((SignatureError, GroupError), match=message):
        ge.LocalFrameAveraging(Layer(), signature, "E(3)", **options)


def test_clouds_that_are_too_small_are_named():
    with pytest.raises(BatchError, match="Item 1 has 3 nodes, fewer than a neighbourhood of 6"):
        local()(pos=cloud(10), batch=torch.tensor([0] * 7 + [1] * 3))


class TestLatentFrames:
    """Frames of hidden features."""

    def test_of_one_vector_a_node_are_those_of_the_cloud(self):
        acting = group("E(3)")
        latent, plain = LatentFrame(acting, PCAFrame(acting)), PCAFrame(acting)
        pos = cloud(3, 7)
        found, expected = latent({"h": pos}, "h: point")[0], plain({"h": pos}, "h: point")[0]
        assert torch.equal(found.linear, expected.linear)
        assert torch.equal(found.translation, expected.translation)

    @pytest.mark.parametrize(
        ("acting", "signature"), [("E(3)", "h: point*4 -> h: point*4"), ("SO(3)", "h: vector*4 -> h: vector*4")]
    )
    def test_average_a_layer_exactly(self, acting, signature):
        torch.manual_seed(0)
        layer = nn.Sequential(nn.Flatten(-2), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 12), nn.Unflatten(-1, (4, 3)))
        averaged = Symmetrizer(layer.double(), signature, LatentFrame(group(acting), PCAFrame(group(acting))))
        h = cloud(2, 5, 4)
        ge.testing.assert_equivariant(averaged, {"h": h}, signature, acting)
        mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
        padded = averaged.frame({"h": h, "mask": mask}, "h: " + ("point*4" if acting == "E(3)" else "vector*4"))[0]
        short = averaged.frame({"h": h[1:, :3]}, "h: " + ("point*4" if acting == "E(3)" else "vector*4"))[0]
        torch.testing.assert_close(padded.linear[:, 1].abs(), short.linear[:, 0].abs())

    @pytest.mark.parametrize("detach", [False, True])
    def test_may_be_constants_in_the_backward_pass(self, detach):
        acting, h = group("O(3)"), cloud(2, 5, 4).requires_grad_()
        assert (
            LatentFrame(acting, PCAFrame(acting), detach=detach)({"h": h}, "h: vector*4")[0].linear.requires_grad
            != detach
        )

    def test_need_a_field_of_vectors(self):
        with pytest.raises(SignatureError, match="latent frame"):
            Symmetrizer(
                nn.Identity(), "h: vector*2 -> h: vector*2", LatentFrame(group("E(3)"), PCAFrame(group("E(3)")))
            )
