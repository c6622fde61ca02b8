"""What architectures say about signatures and batches that they cannot read."""

import inspect
import re

import pytest
import torch
from torch_geometric.data import Data

from geoequiv.errors import BatchError, ConfigError, SignatureError
from geoequiv.fields import Signature
from geoequiv.models import (
    EGNN,
    GNN,
    MLP,
    PONITA,
    SEGNN,
    TFN,
    DeepSets,
    GATr,
    Linear,
    PaiNN,
    RadialField,
    SE3Transformer,
    Transformer,
)

CHARGED = "pos: point, vel: vector, charge: scalar -> pos: point"


def fields(*lead):
    return {"pos": torch.randn(*lead, 3), "vel": torch.randn(*lead, 3), "charge": torch.randn(*lead, 1)}


@pytest.mark.parametrize("model", [EGNN, GATr, Linear, PONITA, PaiNN, RadialField])
@pytest.mark.parametrize("kind", ["pseudovector", "pseudoscalar", "tensor", "1x0e+1x2e"])
def test_equivariant_models_name_the_field_they_cannot_handle(model, kind):
    with pytest.raises(SignatureError, match=rf"{model.__name__} handles .*'spin' is a "):
        model(f"pos: point, spin: {kind} -> pos: point")


@pytest.mark.parametrize("model", [DeepSets, GNN, Transformer])
def test_free_models_read_and_write_any_type(model):
    kinds = {"s": "pseudoscalar", "w": "pseudovector", "t": "tensor", "h": "1x0e+1x2e", "q": "tensor*2"}
    side = ", ".join(f"{name}: {kind}" for name, kind in kinds.items())
    torch.manual_seed(0)
    built = model(f"pos: point, {side} -> {side}", width=8, depth=1)
    shapes = {"pos": (3,), "s": (1,), "w": (3,), "t": (3, 3), "h": (6,), "q": (2, 3, 3)}
    outputs = built(**{name: torch.randn(2, 4, *shape) for name, shape in shapes.items()})
    assert {name: tuple(values.shape[2:]) for name, values in outputs.items()} == {name: shapes[name] for name in kinds}


@pytest.mark.parametrize("model", [EGNN, PaiNN, RadialField])
def test_models_that_move_points_need_one(model):
    with pytest.raises(SignatureError, match="needs an input of type point"):
        model("vel: vector -> vel: vector")


def test_point_output_needs_a_point_input():
    with pytest.raises(SignatureError, match="GNN needs an input of type point"):
        GNN("vel: vector -> pos: point")


def test_radial_field_has_no_scalars_to_give():
    with pytest.raises(SignatureError, match="no node features"):
        RadialField("pos: point -> energy: scalar")


def test_linear_makes_no_scalars_from_nothing():
    with pytest.raises(SignatureError, match="no scalars to predict scalars from"):
        Linear("pos: point -> energy: scalar")


def test_heads_must_divide_the_width():
    with pytest.raises(SignatureError, match="3 heads do not divide a width of 64"):
        Transformer(CHARGED, heads=3)


def test_missing_and_misshapen_inputs_are_named():
    model, batch = GNN(CHARGED), fields(2, 5)
    with pytest.raises(BatchError, match=r"Input 'vel' .* is missing"):
        model(pos=batch["pos"], charge=batch["charge"])
    with pytest.raises(BatchError, match=r"'charge' is a scalar: expected shape \[..., 1\], got \[2, 5\]"):
        model(**{**batch, "charge": batch["charge"].squeeze(-1)})
    with pytest.raises(BatchError, match="Field 'pos' is a point"):
        model(**{**batch, "pos": batch["pos"][..., :2]})


def test_a_pyg_object_stands_for_its_attributes():
    """One graph is a batch of one; its edges are read; further fields may be named beside it."""
    torch.manual_seed(0)
    signature = "pos: point, vel: vector, charge: scalar -> energy: scalar per graph"
    model, batch = GNN(signature, width=8, depth=1), fields(5)
    edges = torch.tensor([[0, 1], [1, 2]])
    found = model(Data(**batch, edge_index=edges))
    assert found.shape == (1, 1)
    assert torch.equal(found, model(**batch, edge_index=edges, batch=torch.zeros(5, dtype=torch.int64)))
    named = model(Data(pos=batch["pos"], vel=batch["vel"], edge_index=edges), charge=batch["charge"])
    assert torch.equal(named, found)


def test_fields_by_position_are_refused():
    with pytest.raises(BatchError, match=r"take fields by name, as model\(pos=…\), or one PyG object; got a Tensor"):
        GNN(CHARGED)(torch.randn(2, 5, 3))


EDGES = torch.tensor([[0, 1], [1, 2]])
ONES = torch.zeros(5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("lead", "further", "message"),
    [
        ((2, 5), {"edge_index": EDGES}, r"go with ragged clouds .* 'pos' has shape \[2, 5, 3\]"),
        ((2, 5), {"batch": torch.arange(2)}, "go with ragged clouds"),
        ((5,), {"batch": ONES, "mask": ONES == 0}, "without a mask"),
        ((5,), {"edge_index": torch.zeros(3, 2, dtype=torch.int64)}, r"'edge_index' must be int64 \[2, E\]"),
        ((5,), {"edge_index": torch.zeros(2, 3)}, r"got torch.float32 of shape \[2, 3\]"),
        ((5,), {"batch": ONES[:4]}, r"'batch' must be int64 of shape \[5\]"),
        ((5,), {"batch": ONES.float()}, "'batch' must be int64"),
        ((2, 5), {"mask": torch.ones(2, 5)}, "'mask' must be bool"),
        ((2, 5), {"mask": torch.ones(2, 4, dtype=torch.bool)}, r"'mask' must be bool of shape \[2, 5\]"),
        ((2, 5), {"vel": torch.randn(2, 4, 3)}, r"'pos' and 'vel' disagree: \[2, 5, 3\] against \[2, 4, 3\]"),
        ((2, 5), {"vel": torch.randn(3, 5, 3)}, "'pos' and 'vel' disagree"),
        ((2, 0), {}, "clouds with no points"),
    ],
)
def test_parts_of_a_batch_that_do_not_go_together_are_named(lead, further, message):
    with pytest.raises(BatchError, match=message):
        GNN(CHARGED, width=8, depth=1)(**{**fields(*lead), **further})


def test_relations_and_what_is_per_graph_go_with_the_nodes():
    model = GNN("pos: point, field: scalar per graph, bond: adjacency -> pos: point", width=8, depth=1)
    batch = {"pos": torch.randn(2, 5, 3), "field": torch.randn(2, 1), "bond": torch.randn(2, 5, 5)}
    assert model(**batch).shape == (2, 5, 3)
    for name, wrong in (("field", torch.randn(3, 1)), ("bond", torch.randn(2, 4, 4))):
        with pytest.raises(BatchError, match=f"'pos' and '{name}' disagree"):
            model(**{**batch, name: wrong})


def test_a_mask_for_one_cloud_holds_for_all():
    torch.manual_seed(0)
    model, batch, mask = Transformer(CHARGED, width=8, depth=1), fields(2, 5), torch.arange(5) < 3
    assert torch.equal(model(**batch, mask=mask), model(**batch, mask=mask.expand(2, 5)))


@pytest.mark.parametrize("source", ["field", "ptr"])
def test_last_clouds_without_nodes_are_counted_where_an_input_has_their_number(source):
    """A value per graph, or PyG's ptr: sums are 0 there, means too, and not left out."""
    further = ", field: scalar per graph" if source == "field" else ""
    model = DeepSets(f"pos: point{further} -> energy: scalar per graph, mid: point per graph", width=8, depth=1)
    given = {"field": torch.randn(3, 1)} if source == "field" else {"ptr": torch.tensor([0, 2, 4, 4])}
    found = model(pos=torch.randn(4, 3), batch=torch.tensor([0, 0, 1, 1]), **given)
    assert {name: len(values) for name, values in found.items()} == {"energy": 3, "mid": 3}
    assert not any(values[2].any() for values in found.values())


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        *((each, {"depth": 0}, "depth must be greater than or equal to 1, got 0") for each in (EGNN, MLP, TFN)),
        *((each, {"width": -8}, "width must be .*, got -8") for each in (GNN, DeepSets, SEGNN, RadialField, PONITA)),
        (Transformer, {"heads": 0}, "Transformer: heads must be"),
        (GATr, {"multivectors": -8}, "GATr: multivectors must be greater than or equal to 0"),
        (SE3Transformer, {"division": 0}, "SE3Transformer: division must be"),
        (TFN, {"l_max": -1}, "TFN: l_max must be"),
        (GNN, {"width": 8.5}, "got 8.5"),
        (EGNN, {"max_step": 0.0}, r"EGNN: max_step must be greater than 0, got 0\.0"),
        (EGNN, {"max_step": float("nan")}, "EGNN: max_step must be a finite number, got nan"),
        (PaiNN, {"cutoff": -1.0}, "PaiNN: cutoff must be greater than or equal to 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(model, options, message):
    with pytest.raises(ConfigError, match=message):
        model(CHARGED, **options)


def test_unnamed_fields_pass_by():
    model, batch = GNN(CHARGED), fields(2, 5)
    assert torch.equal(model(**batch, colour=torch.ones(3)), model(**batch))


def test_edges_without_a_batch_vector_are_one_graph():
    model, batch = GNN(CHARGED).double(), {name: values.double() for name, values in fields(5).items()}
    edges = torch.tensor([[i, j] for i in range(5) for j in range(5) if i != j]).T
    torch.testing.assert_close(model(**batch, edge_index=edges), model(**batch))


def test_messages_go_from_the_first_row_of_edge_index_to_the_second():
    model, batch = GNN(CHARGED), fields(3)
    index = {"batch": torch.zeros(3, dtype=torch.int64), "edge_index": torch.tensor([[0], [2]])}
    transformed = {**batch, "vel": batch["vel"] + torch.tensor([[1.0], [0.0], [0.0]])}
    changed = (model(**batch, **index) != model(**transformed, **index)).any(-1)
    assert changed.tolist() == [True, False, True]


def test_mlp_takes_its_size_from_the_first_batch_and_keeps_it():
    torch.manual_seed(0)
    model = MLP(CHARGED, width=8)
    batch = fields(2, 5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)  # sees the weights that have no shape yet
    before = model(**batch)
    before.square().sum().backward()
    optimizer.step()
    after = model(**batch)
    assert not torch.equal(before, after)
    fresh = MLP(CHARGED, width=8)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(**batch), after)
    with pytest.raises(BatchError, match="clouds of 5 nodes; it got one of 4"):
        model(**fields(2, 4))


def test_mlp_does_not_read_ragged_batches():
    with pytest.raises(BatchError, match="MLP reads clouds of one size"):
        MLP(CHARGED, nodes=5)(**fields(10), batch=torch.arange(2).repeat_interleave(5))


def test_an_output_point_is_displaced_from_the_input_of_its_name():
    model = Linear(Signature.parse("a: point, b: point -> b: point, c: point"))
    batch = {"a": torch.randn(4, 3), "b": torch.randn(4, 3)}
    outputs = model(**batch)  # all times start at 0
    assert torch.equal(outputs["b"], batch["b"])
    assert torch.equal(outputs["c"], batch["a"])


@pytest.mark.parametrize("model", [EGNN, GNN, DeepSets, GATr, PONITA, PaiNN, Transformer, TFN, SEGNN, SE3Transformer])
def test_per_graph_fields_come_in_and_go_out_once_a_cloud(model):
    """Dense, padded and ragged batches give the same sums (and mean points) over the nodes of a cloud."""
    torch.manual_seed(0)
    outputs = "energy: scalar per graph, dipole: vector per graph, mid: point per graph"
    signature = f"pos: point, field: scalar*2 per graph -> {outputs}"
    built = model(signature, width=8, depth=1)
    pos, field = torch.randn(3, 5, 3), torch.randn(3, 2)
    sizes = torch.tensor([5, 2, 3])
    mask = torch.arange(5) < sizes.unsqueeze(-1)
    padded = built(pos=pos, field=field, mask=mask)
    ragged = built(pos=pos[mask], field=field, batch=torch.arange(3).repeat_interleave(sizes))
    assert {name: tuple(values.shape) for name, values in padded.items()} == {
        "energy": (3, 1), "dipole": (3, 3), "mid": (3, 3)
    }  # fmt: skip
    for name, values in padded.items():
        torch.testing.assert_close(ragged[name], values)
    alone = built(pos=pos[1, :2], field=field[1])
    torch.testing.assert_close(alone["energy"], padded["energy"][1])
    shifted = built(pos=pos + 1, field=field, mask=mask)
    if model.claims:
        torch.testing.assert_close(shifted["mid"], padded["mid"] + 1)
    per_node = model(signature.replace("energy: scalar per graph", "energy: scalar"), width=8, depth=1)
    per_node.load_state_dict(built.state_dict())
    total = (per_node(pos=pos, field=field, mask=mask)["energy"] * mask.unsqueeze(-1)).sum(1)
    torch.testing.assert_close(total, padded["energy"])


def test_something_must_live_on_nodes():
    with pytest.raises(SignatureError, match="input that lives on nodes"):
        GNN("field: scalar per graph -> energy: scalar per graph")


BONDED = "pos: point, kind: scalar*2, bond: adjacency*2 -> pos: point"


READERS = [EGNN, GATr, GNN, PONITA, PaiNN, RadialField, SE3Transformer, SEGNN, TFN, Transformer]


@pytest.mark.parametrize("model", READERS)
def test_relations_of_pairs_are_read(model):
    """A bond changes what its two nodes do, is permuted with the nodes, and padding has none, whatever its values."""
    torch.manual_seed(0)
    built = model(BONDED, width=8, depth=2).double()
    for parameter in built.parameters():  # coordinate gains start near 0
        torch.nn.init.normal_(parameter, std=0.3)
    pos, kind = torch.randn(2, 5, 3).double(), torch.randn(2, 5, 2).double()
    bond = torch.rand(2, 5, 5, 2).double().round()
    out = built(pos=pos, kind=kind, bond=bond)
    assert (out - built(pos=pos, kind=kind, bond=torch.zeros_like(bond))).abs().max() > 1e-4
    order = torch.randperm(5)
    relabelled = built(pos=pos[:, order], kind=kind[:, order], bond=bond[:, order][:, :, order])
    torch.testing.assert_close(relabelled, out[:, order])
    mask = torch.tensor([True] * 3 + [False] * 2).expand(2, 5)
    spoilt = bond.clone()
    spoilt[:, 3:] = spoilt[:, :, 3:] = float("nan")
    torch.testing.assert_close(
        built(pos=pos, kind=kind, bond=spoilt, mask=mask)[:, :3],
        built(pos=pos[:, :3], kind=kind[:, :3], bond=bond[:, :3, :3]),
    )
    torch.testing.assert_close(built(pos=pos[0], kind=kind[0], bond=bond[0]), out[0])


@pytest.mark.parametrize("model", [DeepSets, Linear, MLP])
def test_models_without_pairs_say_that_they_do_not_read_relations(model):
    torch.manual_seed(0)
    built = model(BONDED, width=8, depth=1)
    pos, kind, bond = torch.randn(2, 5, 3), torch.randn(2, 5, 2), torch.rand(2, 5, 5, 2)
    assert torch.equal(built(pos=pos, kind=kind, bond=bond), built(pos=pos, kind=kind, bond=1 - bond))
    assert re.search(r"``adjacency``[^.]*(is|are)\s+not read", inspect.getdoc(model))


def test_relations_end_at_the_cutoff():
    """A bond between nodes further apart than the cutoff of PaiNN has no effect."""
    torch.manual_seed(0)
    built = PaiNN(BONDED, width=8, depth=2, cutoff=2.0)
    pos = torch.tensor([[0.0, 0, 0], [1, 0, 0], [3.5, 0, 0]])
    kind, none = torch.ones(3, 2), torch.zeros(3, 3, 2)
    near, far = none.clone(), none.clone()
    near[0, 1], far[0, 2] = 1.0, 1.0
    plain = built(pos=pos, kind=kind, bond=none)
    assert torch.equal(built(pos=pos, kind=kind, bond=far), plain)
    assert not torch.equal(built(pos=pos, kind=kind, bond=near), plain)


def test_relations_are_dense_and_are_not_predicted():
    built = GNN(BONDED, width=8, depth=1)
    batch = torch.zeros(5, dtype=torch.int64)
    with pytest.raises(BatchError, match="'bond' is a matrix over nodes: give a dense batch"):
        built(pos=torch.randn(5, 3), kind=torch.randn(5, 2), bond=torch.zeros(5, 5, 2), batch=batch)
    with pytest.raises(SignatureError, match="predicts nodes and graphs, not pairs: 'bond'"):
        GNN("pos: point, bond: adjacency -> bond: adjacency")


def test_scalars_of_each_cloud_need_no_channel_axis():
    signature = Signature.parse("pos: point, t: scalar per graph -> energy: scalar per graph")
    torch.manual_seed(0)
    model = GNN(signature, width=8, depth=1)
    pos, t = torch.randn(3, 4, 3), torch.randn(3)
    assert torch.equal(model(pos=pos, t=t), model(pos=pos, t=t.unsqueeze(-1)))
    flat, batch = pos.flatten(0, 1), torch.arange(3).repeat_interleave(4)
    assert torch.equal(model(pos=flat, t=t, batch=batch), model(pos=flat, t=t.unsqueeze(-1), batch=batch))
    with pytest.raises(SignatureError, match="has no fields per edge: 'shift'"):
        GNN(Signature.parse("pos: point, shift: vector per edge -> pos: point"))
