"""ρ(gh) = ρ(g)ρ(h) for every type and layout, layouts agree, nothing is changed in place, bad batches are named."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from geoequiv.errors import BatchError, GroupError, SignatureError
from geoequiv.fields import Layout, Signature, act, check_finite, replicate, split_replicas
from geoequiv.groups import compose, group, inverse

SIDE = Signature.parse(
    "pos: point, vel: vector, frame: vector*2, flat: vector*2, spin: pseudovector, charge: scalar, chi: pseudoscalar, "
    "stress: tensor, latent: 2x0e+1x1o+1x2e+1x1e -> pos: point"
).inputs
SHAPES = {"pos": (3,), "vel": (3,), "frame": (2, 3), "flat": (6,), "spin": (3,), "charge": (1,), "chi": (1,),
          "stress": (3, 3), "latent": (13,)}  # fmt: skip
SIZES = (3, 1, 4)
GROUPS = ["SO(3)", "O(3)", "SE(3)", "E(3)", "T(3)", "Oh", "O(2)@y", "C2*SO(2)@y", "T(3)*Oh"]


def dense(*shape: int, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(*shape, *trail, generator=generator).double() for name, trail in SHAPES.items()}


def ragged(seed: int = 0) -> dict[str, torch.Tensor]:
    batch = torch.repeat_interleave(torch.arange(len(SIZES)), torch.tensor(SIZES))
    return dense(len(batch), seed=seed) | {"batch": batch}


def close(a, b):
    return all(torch.allclose(a[name], b[name], atol=1e-11) for name in SIDE)


@pytest.mark.parametrize("name", GROUPS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_action_is_a_homomorphism(name, seed):
    generator = torch.Generator().manual_seed(seed)
    for fields, items in ((dense(4, 5), 4), (ragged(), len(SIZES))):
        g, h = (group(name).sample(items, generator=generator) for _ in range(2))
        assert close(act(g, act(h, fields, SIDE), SIDE), act(compose(g, h), fields, SIDE))
        assert close(act(inverse(g), act(g, fields, SIDE), SIDE), fields)


def test_types_by_hand():
    mirror = group("Cs").elements()[1]  # z → -z
    fields = dense(2, 3)
    transformed = act(mirror, fields, SIDE)
    flip = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert torch.allclose(transformed["vel"], fields["vel"] * flip)
    assert torch.allclose(transformed["spin"], -fields["spin"] * flip)
    assert torch.allclose(transformed["chi"], -fields["chi"])
    assert torch.equal(transformed["charge"], fields["charge"])
    assert torch.allclose(transformed["stress"], fields["stress"] * flip * flip[:, None])
    assert torch.allclose(transformed["latent"][..., :2], fields["latent"][..., :2])
    assert torch.allclose(transformed["latent"][..., 2:5], fields["latent"][..., 2:5] * flip)
    assert torch.allclose(transformed["latent"][..., 10:], -fields["latent"][..., 10:] * flip)


def test_a_matrix_stands_for_its_element():
    g = group("O(3)").sample(4)
    assert close(act(g.linear, dense(4, 5), SIDE), act(g, dense(4, 5), SIDE))


def test_translations_act_on_points_only():
    shift = group("T(3)").sample(2)
    fields = dense(2, 5)
    transformed = act(shift, fields, SIDE)
    assert torch.allclose(transformed["pos"], fields["pos"] + shift.translation[:, None])
    assert all(torch.allclose(transformed[name], fields[name], atol=1e-12) for name in SIDE if name != "pos")


def test_layouts_agree():
    g = group("E(3)").sample(len(SIZES))
    flat = ragged()
    transformed = act(g, flat, SIDE)
    graphs = [
        Data(**{name: flat[name][flat["batch"] == i] for name in SIDE}, num_nodes=SIZES[i]) for i in range(len(SIZES))
    ]
    whole = act(g, Batch.from_data_list(graphs), SIDE)
    for i in range(len(SIZES)):
        rows = flat["batch"] == i
        alone = act(g[i], {name: flat[name][rows] for name in SIDE}, SIDE)
        single = act(g[i], graphs[i], SIDE)
        for name in SIDE:
            assert torch.allclose(alone[name], transformed[name][rows], atol=1e-12)
            assert torch.allclose(alone[name], whole[name][rows], atol=1e-12)
            assert torch.allclose(alone[name], single[name], atol=1e-12)


def test_nothing_is_changed_in_place_and_the_unnamed_passes_through():
    fields = dense(2, 5) | {"note": "kept", "weight": torch.ones(2)}
    before = {name: fields[name].clone() for name in SIDE}
    transformed = act(group("E(3)").sample(2), fields, SIDE)
    assert all(torch.equal(fields[name], before[name]) for name in SIDE)
    assert transformed["note"] == "kept"
    assert transformed["weight"] is fields["weight"]
    data = Data(pos=torch.randn(4, 3))
    old = data.pos.clone()
    act(group("E(3)").sample(), data, Signature.parse("pos: point -> pos: point").inputs)
    assert torch.equal(data.pos, old)


def test_rows_of_nodes_edges_and_graphs_are_told_apart():
    side = Signature.parse("pos: point, arrow: vector, dipole: vector -> pos: point").inputs
    edge_index = torch.tensor([[0, 1, 2, 3, 3, 4, 5], [1, 0, 1, 4, 5, 3, 3]])
    batch = torch.tensor([0, 0, 0, 1, 1, 1])
    fields = {"pos": torch.randn(6, 3), "arrow": torch.randn(7, 3), "dipole": torch.randn(2, 3)}
    fields |= {"batch": batch, "edge_index": edge_index}
    g = group("SO(3)").sample(2)
    transformed = act(g, fields, side)
    R = g.linear.float()
    assert torch.allclose(transformed["dipole"], torch.einsum("bij,bj->bi", R, fields["dipole"]), atol=1e-6)
    assert torch.allclose(
        transformed["arrow"], torch.einsum("bij,bj->bi", R[batch[edge_index[0]]], fields["arrow"]), atol=1e-6
    )


def test_replicas_are_transformed_copies():
    g = group("E(3)").sample(6).reshape(2, 3)  # two replicas of three items
    fields = dense(3, 5) | {"mask": torch.ones(3, 5, dtype=torch.bool), "scale": torch.tensor(2.0)}
    layout = Layout.of(fields, SIDE)
    whole = replicate(g, fields, SIDE, layout)
    assert whole["mask"].shape == (6, 5)
    assert whole["scale"] is fields["scale"]
    for i in range(2):
        alone = act(g[i], fields, SIDE)
        for name in SIDE:
            assert torch.allclose(split_replicas(whole[name], 2, layout)[i], alone[name])


def test_ragged_replicas_offset_their_indices():
    fields = ragged() | {"edge_index": torch.tensor([[0, 1, 4], [1, 2, 5]]), "kind": torch.arange(8)}
    whole = replicate(group("O").elements().reshape(24, 1), fields, SIDE, Layout.of(fields, SIDE))
    assert whole["batch"].max() == 24 * 3 - 1
    assert torch.equal(whole["edge_index"][:, 3:6], fields["edge_index"] + 8)
    assert torch.equal(whole["kind"], fields["kind"].repeat(24))


class Molecule(Data):
    """A user's own increments."""

    def __inc__(self, key, value, *args, **kwargs):
        return 10 if key == "pair" else super().__inc__(key, value, *args, **kwargs)


def test_pyg_replicas_follow_pyg_rules():
    side = Signature.parse("pos: point -> pos: point").inputs
    graphs = [
        Molecule(pos=torch.randn(n, 3), edge_index=torch.tensor([[0], [1]]), pair=torch.tensor([n]), name=f"m{n}")
        for n in (2, 3)
    ]
    batch = Batch.from_data_list(graphs)
    elements = group("C2").elements().reshape(2, 1)
    whole = replicate(elements, batch, side, Layout.of({"pos": batch.pos, "batch": batch.batch}, side))
    expected = Batch.from_data_list(graphs + graphs)
    assert isinstance(whole, type(batch))
    assert torch.equal(whole.batch, expected.batch)
    assert torch.equal(whole.ptr, expected.ptr)
    assert torch.equal(whole.edge_index, expected.edge_index)
    assert whole.num_graphs == 4
    assert whole.name == ["m2", "m3", "m2", "m3"]
    assert torch.equal(whole.pair[:2] + 10, whole.pair[2:])
    assert torch.equal(whole.pos[:5], batch.pos)


def batch_of(**changes):
    return {"pos": torch.randn(4, 5, 3), "charge": torch.ones(4, 5, 1)} | changes


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"charge": torch.ones(4, 5, 1)}, "names 'pos', but the batch holds only"),
        (batch_of(pos=torch.randn(4, 5, 2)), r"'pos' is a point: expected shape \[\.\.\., 3\]"),
        (batch_of(pos=torch.randn(4, 0, 3)), "clouds with no points"),
        (batch_of(pos=torch.ones(4, 5, 3, dtype=torch.int64)), "must hold floating-point numbers"),
        (batch_of(pos="here"), "must be a tensor"),
        (batch_of(mask=torch.ones(4, 5)), "'mask' must be bool"),
        (batch_of(mask=torch.ones(4, 6, dtype=torch.bool)), r"'mask' must be bool of shape \[4, 5\]"),
        (batch_of(mask=torch.tensor([[True] * 5] * 3 + [[False] * 5])), "item 3 leaves no point"),
        ({"pos": torch.randn(6, 3), "charge": torch.ones(6, 1), "batch": torch.zeros(5, dtype=torch.int64)}, "6 rows"),
        ({"pos": torch.randn(3, 3), "charge": torch.ones(3, 1), "batch": torch.tensor([0, 0, 2])}, "Graph 1 .* empty"),
        ({"pos": torch.randn(3, 3), "charge": torch.ones(3, 1), "batch": torch.zeros(3)}, "int64 vector"),
        ({"pos": torch.randn(3, 3), "charge": torch.ones(3, 1), "batch": torch.tensor([0, 0, -1])}, "negative"),
        (
            {"pos": torch.zeros(0, 3), "charge": torch.ones(0, 1), "batch": torch.zeros(0, dtype=torch.int64)},
            "no nodes",
        ),
    ],
)
def test_bad_batches_are_named(fields, message):
    side = Signature.parse("pos: point, charge: scalar -> pos: point").inputs
    with pytest.raises(BatchError, match=message):
        act(group("SO(3)").sample(4), fields, side)


def test_elements_that_do_not_fit():
    side = Signature.parse("pos: point -> pos: point").inputs
    with pytest.raises(BatchError, match="give one element, or one per item"):
        act(group("SO(3)").sample(3), {"pos": torch.randn(4, 5, 3)}, side)


def test_coordinates_that_are_not_finite_are_named():
    side = Signature.parse("pos: point -> pos: point").inputs
    pos = torch.randn(4, 5, 3)
    pos[2, 1, 0] = float("nan")
    with pytest.raises(BatchError, match=r"'pos' is not finite in item 2 \(first at index \[2, 1, 0\]\)"):
        check_finite({"pos": pos}, side, Layout.of({"pos": pos}, side))
    mask = torch.ones(4, 5, dtype=torch.bool)
    mask[2, 1] = False
    hidden = {"pos": pos, "mask": mask}
    check_finite(hidden, side, Layout.of(hidden, side))
    assert Layout.of(hidden, side).mask is mask
    flat = {"pos": pos.flatten(0, 1), "batch": torch.arange(4).repeat_interleave(5)}
    with pytest.raises(BatchError, match="item 2"):
        check_finite(flat, side, Layout.of(flat, side))


def test_a_side_may_be_its_string():
    g, fields = group("O(3)").sample(), dense(2, 3)
    assert close(act(g, fields, str(SIDE)), act(g, fields, SIDE))
    with pytest.raises(SignatureError, match="One side of a signature reads"):
        act(g, fields, f"{SIDE} -> x: scalar")
    with pytest.raises(SignatureError, match="One side of a signature reads"):
        act(g, fields, Signature.parse(f"{SIDE} -> x: scalar"))
    with pytest.raises(GroupError, match=r"An element of a group acts.*; got str O\(3\)"):
        act("O(3)", fields, SIDE)
