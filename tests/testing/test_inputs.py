"""Generated inputs fit their signature in every layout, and are the same each time."""

import pytest
import torch

import geoequiv as ge
from geoequiv.errors import ConfigError
from geoequiv.fields import Layout, Signature
from geoequiv.testing.inputs import random_inputs

EVERY = (
    "a: point, b: vector*2, c: scalar, d: scalar*3, e: pseudoscalar, f: pseudovector, g: tensor, h: 2x0e+1x2e, "
    "i: node*4, j: adjacency, k: vector per graph, l: scalar*2 per graph -> y: point"
)
ATOMS = "pos: point, dipole: vector per graph -> e: scalar"


def test_every_type_has_its_shape():
    inputs = random_inputs(EVERY, items=5, points=7)
    lead = {"a": (3,), "b": (2, 3), "c": (1,), "d": (3,), "e": (1,), "f": (3,), "g": (3, 3), "h": (7,), "i": (4,)}
    shapes = {name: (5, 7, *shape) for name, shape in lead.items()} | {"j": (5, 7, 7), "k": (5, 3), "l": (5, 2)}
    assert {name: tuple(values.shape) for name, values in inputs.items()} == shapes
    assert Layout.of(inputs, Signature.parse(EVERY).inputs).shape == (5,)
    assert torch.equal(inputs["j"], inputs["j"].mT)


def test_images_are_generated():
    assert random_inputs("x: image -> y: image", items=2)["x"].shape == (2, 3, 16, 16)
    assert random_inputs("x: image*5 -> y: image", items=2, dim=2)["x"].shape == (2, 5, 16, 16)


def test_ragged_clouds_have_different_sizes_and_edges_within():
    inputs = random_inputs(ATOMS, 6, 8, layout="ragged", edges="complete", integers={"z": (1, 9)})
    sizes = torch.bincount(inputs["batch"])
    assert len(sizes) == 6
    assert (sizes.min() >= 4, sizes.max() <= 8, len(set(sizes.tolist())) > 1) == (True, True, True)
    sender, receiver = inputs["edge_index"]
    assert torch.equal(inputs["batch"][sender], inputs["batch"][receiver])
    assert inputs["edge_index"].shape[1] == int((sizes * (sizes - 1)).sum())
    assert inputs["dipole"].shape == (6, 3)
    assert (inputs["z"].dtype, inputs["z"].shape) == (torch.int64, inputs["batch"].shape)
    assert (int(inputs["z"].min()), int(inputs["z"].max())) == (1, 9)


def test_edges_within_a_radius():
    inputs = random_inputs("pos: point -> e: scalar", 3, 6, layout="ragged", edges="radius:1.5")
    sender, receiver = inputs["edge_index"]
    distances = (inputs["pos"][sender] - inputs["pos"][receiver]).norm(dim=-1)
    assert 0 < float(distances.max()) < 1.5
    complete = random_inputs("pos: point -> e: scalar", 3, 6, layout="ragged", edges="complete")["edge_index"]
    every = (inputs["pos"][complete[0]] - inputs["pos"][complete[1]]).norm(dim=-1)
    assert int((every < 1.5).sum()) == inputs["edge_index"].shape[1]


def test_graphs_go_through_the_action():
    data = random_inputs("pos: point -> pos: point", 3, 5, layout="graph", edges="complete")
    assert data.num_graphs == 3
    report = ge.equivariance_error(lambda data: data.pos, data, "pos: point -> pos: point", "E(3)", num_samples=2)
    assert report.worst < 1e-6


def test_the_same_each_time_and_away_from_the_origin():
    first, second = (random_inputs("pos: point -> pos: point", 200, 10, scale=2.0) for _ in range(2))
    assert torch.equal(first["pos"], second["pos"])
    assert 1.5 < float(first["pos"].mean(1).std()) < 2.5  # a model that forgets the centroid is seen
    assert random_inputs("pos: point -> pos: point", dtype=torch.float64)["pos"].dtype == torch.float64


@pytest.mark.parametrize(
    ("signature", "options", "message"),
    [
        ("x: point -> y: point", {"layout": "ragedg"}, "Did you mean 'ragged'"),
        ("x: point -> y: point", {"edges": "complete"}, "a dense batch has none"),
        ("x: point -> y: point", {"layout": "ragged", "edges": "radius"}, "such as radius:2.5"),
        ("x: vector -> y: point", {"layout": "ragged", "edges": "radius:1"}, "needs a field of type point"),
        ("x: point, a: adjacency -> y: point", {"layout": "ragged"}, "in the layout dense only"),
    ],
)
def test_what_cannot_be_generated(signature, options, message):
    with pytest.raises(ConfigError, match=message):
        random_inputs(signature, 2, 4, **options)


def test_fields_per_edge_have_a_row_for_each_edge():
    signature = "pos: point, shift: vector per edge, kind: scalar*2 per edge -> y: vector"
    for layout in ("ragged", "graph"):
        x = random_inputs(signature, items=3, points=5, layout=layout, edges="complete")
        count = x["edge_index"].shape[1]
        assert x["shift"].shape == (count, 3)
        assert x["kind"].shape == (count, 2)
    with pytest.raises(ConfigError, match="give edges='complete'"):
        random_inputs(signature, layout="ragged")
