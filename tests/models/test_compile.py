"""``torch.compile`` against eager execution, and what each model states (its ``compiles``)."""

import shutil

import pytest
import torch
from torch import Tensor, nn

from geoequiv import catalog
from geoequiv.errors import SignatureError
from geoequiv.models.layers.graph_batches import GraphAdapter

CHARGED = "pos: point, vel: vector, charge: scalar -> pos: point"
ENERGY = "pos: point, charge: scalar -> energy: scalar per graph"
GRAPH = "adj: adjacency -> embedding: scalar*2 per graph"
HEADS = {"heads": 2}
SMALL = {
    "mlp": {"nodes": 3},
    "second_order": {"steps": 2},
    "integrator": {"steps": 2},
    "gatr": HEADS,
    "gatr_published": {"heads": 2, "multivectors": 4},
    "se3_transformer": HEADS,
    "transformer": HEADS,
}
PICTURES = "image: image*3 -> logits: scalar*10"
SMALL_PICTURES = {
    "vgg11": {"width": 1 / 16},
    "resnet": {"width": 1 / 2, "depth": 8},
    "gcnn": {"width": 1 / 8},
    "pgcnn": {"width": 1 / 8},
}
MODELS = [name for name, path in catalog.TABLES["model"].items() if path.startswith("geoequiv.models.")]
CLOUDS = [name for name in MODELS if name not in SMALL_PICTURES]
#: on graphs, where the edges are found among the nodes in a way that the compiler does not follow
IN_PARTS = {"chebnet", "gat", "gin"}
#: without a depth to choose, most with batch normalisation and dropout: evaluated
FIXED = {"second_order", "pointnet", "dgcnn", "vn_pointnet", "vn_dgcnn"}
#: those whose graphs are too long to be traced through autograd in a test
LONG = {"gatr", "gatr_published", "nequip", "ponita", "se3_transformer", "segnn", "tfn", "vn_dgcnn", "vn_pointnet"}
RAGGED = ["egnn", "gatr", "tfn", "transformer"]  # edges, padding, kernels of edges, padding


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    torch.manual_seed(0)


def small(name: str) -> nn.Module:
    target = catalog.load("model", name)
    if name in FIXED:
        return target(CHARGED, width=8, **SMALL.get(name, {})).eval()
    for signature in (CHARGED, ENERGY, GRAPH):
        try:
            return target(signature, width=8, depth=1, **SMALL.get(name, {}))
        except SignatureError:
            continue
    raise AssertionError(name)


def clouds() -> dict[str, Tensor]:
    return {"pos": torch.randn(2, 3, 3), "vel": torch.randn(2, 3, 3), "charge": torch.randn(2, 3, 1)}


def dense(model: nn.Module) -> dict[str, Tensor]:
    """Two clouds, or two paths of three nodes for a network of graphs."""
    if isinstance(getattr(model, "adapter", None), GraphAdapter):
        return {"adj": torch.tensor([[0.0, 1, 0], [1, 0, 1], [0, 1, 0]]).repeat(2, 1, 1)}
    return clouds()


def ragged() -> dict[str, Tensor]:
    return {
        **{name: values.flatten(0, 1)[:5] for name, values in clouds().items()},
        "batch": torch.tensor([0] * 3 + [1] * 2),
    }


def gradients(model: nn.Module, run: nn.Module, fields: dict[str, Tensor]) -> list[Tensor]:
    """The output of a model, run as it is or compiled, and the gradients of its parameters."""
    output = run(**fields)
    found = torch.autograd.grad(output.square().sum(), list(model.parameters()), allow_unused=True)
    return [output, *(each for each in found if each is not None)]


def test_every_model_says_whether_it_compiles():
    assert {"egnn", "gatr", "nequip", "tfn", "transformer"} < set(CLOUDS)
    said = {name: catalog.load("model", name).compiles.startswith("one graph") for name in CLOUDS}
    assert {name for name, whole in said.items() if not whole} == IN_PARTS


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # Dynamo's, between parts
@pytest.mark.parametrize("name", CLOUDS)
def test_dense_batches_are_one_graph_with_the_values_and_gradients_of_eager(name):
    """Or as many graphs as is said."""
    model = small(name)
    fields = dense(model)
    expected = gradients(model, model, fields)  # eager first: it makes the constants
    compiled = torch.compile(model, backend="eager" if name in LONG else "aot_eager", fullgraph=name not in IN_PARTS)
    found = gradients(model, compiled, fields)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", SMALL_PICTURES)
def test_pictures_are_one_graph_with_the_values_of_eager(name):
    model, image = catalog.load("model", name)(PICTURES, **SMALL_PICTURES[name]).eval(), torch.randn(2, 3, 32, 32)
    assert model.compiles == "one graph"
    torch.testing.assert_close(torch.compile(model, backend="eager", fullgraph=True)(image), model(image))


@pytest.mark.parametrize("name", RAGGED)
def test_ragged_clouds_equal_eager_in_as_many_graphs_as_is_said(name):
    model, fields = small(name), ragged()
    whole = "ragged" not in type(model).compiles
    expected = model(**fields)
    found = torch.compile(model, backend="eager", fullgraph=whole)(**fields)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", sorted(IN_PARTS))
def test_graphs_said_to_break_the_compiled_graph_do(name):
    model = small(name)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with pytest.raises(Exception, match="data-dependent"):
        gradients(model, compiled, dense(model))


@pytest.mark.parametrize("name", [name for name in RAGGED if "ragged" in catalog.load("model", name).compiles])
def test_what_is_said_to_break_the_graph_does(name):
    with pytest.raises(Exception, match=r"data-dependent|Tensor\.item"):
        torch.compile(small(name), backend="eager", fullgraph=True)(**ragged())


def test_forces_run_as_they_do_uncompiled():
    model = catalog.load("model", "nequip")(
        "pos: point, charge: scalar -> forces: vector, energy: scalar", width=8, depth=1
    )
    fields = {name: values for name, values in clouds().items() if name != "vel"}
    expected = model(**fields)
    torch.testing.assert_close(torch.compile(model, backend="eager")(**fields), expected)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler on a CPU")
def test_inductor_gives_the_same_numbers():
    model, fields = small("deepsets").eval(), clouds()  # few kernels to build
    with torch.no_grad():
        expected = model(**fields)
        torch.testing.assert_close(torch.compile(model)(**fields), expected, rtol=1e-4, atol=1e-5)
