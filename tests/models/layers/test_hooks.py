"""Hooks, pruning and replaced modules take effect, also where modules are fused."""

import re

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from geoequiv import catalog
from geoequiv.alignment import permutation_spec
from geoequiv.errors import SignatureError
from geoequiv.metrics import lie_derivative
from geoequiv.models import EGNN
from geoequiv.models.layers.graph_batches import GraphAdapter
from geoequiv.models.layers.hooks import can_fuse

SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point, w: vector, e: scalar"
GRAPH = "adj: adjacency -> e: scalar per graph"
SIGNATURES = (
    SIGNATURE,
    SIGNATURE.removesuffix(", e: scalar"),
    "pos: point, charge: scalar -> e: scalar, f: vector",
    "pos: point, vel: vector, charge: scalar -> pos: point",
    GRAPH,
)
HEADS = {"heads": 2}
SMALL = {"mlp": {"nodes": 5}, "gatr": HEADS, "gatr_published": HEADS, "se3_transformer": HEADS, "transformer": HEADS}
MODELS = [name for name, path in catalog.TABLES["model"].items() if path.startswith("geoequiv.models.")]
CLOUDS = [name for name in MODELS if name not in ("vgg11", "resnet", "gcnn", "pgcnn")]
FIXED = ("pointnet", "dgcnn", "vn_pointnet", "vn_dgcnn")
SHELLS = (nn.ModuleList, nn.ParameterList, nn.ParameterDict)

#: modules whose ``forward`` PyG calls by itself, so that no hook fires
PASSED_OVER = {"chebnet": r"layers\.\d+\.lins\.[2-9]"}

#: what the number of layers is called, where it is not the depth
DEPTHS = {"second_order": "steps"}


def small(name: str) -> nn.Module:
    torch.manual_seed(0)
    for signature in SIGNATURES:
        try:
            depth = {} if name in FIXED else {DEPTHS.get(name, "depth"): 2}
            model = catalog.load("model", name)(signature, width=8, **depth, **SMALL.get(name, {})).double()
            return model.train(name not in FIXED)
        except SignatureError:
            continue
    raise AssertionError(name)


def fields(seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"pos": 3, "vel": 3, "charge": 1}
    return {name: torch.randn(2, 5, size, generator=generator).double() for name, size in sizes.items()}


def version(output: object) -> int:
    """How often a tensor was written in place."""
    return output._version if isinstance(output, torch.Tensor) else 0


def egnn(**options: bool) -> EGNN:
    torch.manual_seed(0)
    return EGNN(SIGNATURE, width=8, depth=2, **options).double()


def total(outputs: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(values.square().sum() for values in outputs.values())


@pytest.mark.parametrize("name", CLOUDS)
def test_every_module_is_called_and_what_is_heard_is_left_alone(name):
    """A hook fires on each, and the tensors that it keeps are not written over afterwards."""
    model, kept = small(name), {}

    def listen(each: str):
        def hook(_: nn.Module, args: tuple, output: object) -> None:
            kept[each] = output, version(output)

        return hook

    for each, module in model.named_modules():
        module.register_forward_hook(listen(each))
    graphs = isinstance(getattr(model, "adapter", None), GraphAdapter)
    with torch.no_grad():
        model(**({"adj": (1 - torch.eye(5)).double().expand(2, 5, 5)} if graphs else fields()))
    expected = {each for each, module in model.named_modules() if not isinstance(module, SHELLS)}
    passed_over = {each for each in expected if name in PASSED_OVER and re.fullmatch(PASSED_OVER[name], each)}
    assert set(kept) == expected - passed_over
    assert all(version(output) == before for output, before in kept.values())


@pytest.mark.parametrize("options", [{}, {"attention": True, "tanh": True, "normalize": True}, {"velocity": False}])
def test_parts_taken_together_say_what_they_say_one_by_one(options):
    model = egnn(**options)
    expected = model(**fields())
    for module in model.modules():
        module.register_forward_hook(lambda *_: None)
    found = model(**fields())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert any(not torch.equal(found[name], expected[name]) for name in found)  # another order of sums: another way


PARTS = ["embed", "layers.0.first", "layers.0.speed.0", "layers.0.node.0", "layers.1.second", "layers.1.step.0"]


@pytest.mark.parametrize("part", PARTS)
def test_a_hook_that_changes_what_a_part_returns_is_obeyed(part):
    model, silenced = egnn(), egnn()
    with torch.no_grad():
        for parameter in silenced.get_submodule(part).parameters():
            parameter.zero_()
    model.get_submodule(part).register_forward_hook(lambda _, args, output: torch.zeros_like(output))
    torch.testing.assert_close(model(**fields()), silenced(**fields()))
    assert float((model(**fields())["pos"] - egnn()(**fields())["pos"]).detach().abs().max()) > 1e-9


@pytest.mark.parametrize("part", PARTS)
def test_pruning_acts_while_training(part):
    """The mask is put on by a hook before the call: two steps, and the weights that are gone stay gone."""
    model = egnn()
    pruned = model.get_submodule(part)
    prune.l1_unstructured(pruned, "weight", amount=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        total(model(**fields())).backward()
        optimizer.step()
    plain = egnn()
    with torch.no_grad():
        found = model(**fields())
        prune.remove(pruned, "weight")
        assert int((pruned.weight == 0).sum()) == pruned.weight.numel() // 2
        plain.load_state_dict(model.state_dict())
        torch.testing.assert_close(found, plain(**fields()))


def test_parametrizations_act():
    model, plain = egnn(), egnn()
    for part in PARTS:
        parametrizations.weight_norm(model.get_submodule(part))
    torch.testing.assert_close(model(**fields()), plain(**fields()))
    with torch.no_grad():
        for part in PARTS:
            model.get_submodule(part).parametrizations.weight.original0.mul_(2.0)
            plain.get_submodule(part).weight.mul_(2.0)
    torch.testing.assert_close(model(**fields()), plain(**fields()))


class Doubled(nn.Module):
    """Wraps a layer as adapters do: has its weight, and adds to its output."""

    def __init__(self, inside: nn.Linear) -> None:
        super().__init__()
        self.inside, self.weight, self.bias = inside, inside.weight, inside.bias

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return 2 * self.inside(values)


def test_what_is_put_in_the_place_of_a_part_is_called():
    model, plain = egnn(), egnn()
    model.layers[0].node[0] = Doubled(model.layers[0].node[0])
    with torch.no_grad():
        for parameter in plain.layers[0].node[0].parameters():
            parameter.mul_(2.0)
    torch.testing.assert_close(model(**fields()), plain(**fields()))


def test_untouched_is_what_has_no_hooks_and_nothing_strange_inside():
    assert can_fuse(nn.Linear(2, 2), None, nn.Sequential(nn.Linear(2, 2), nn.SiLU()))
    assert not can_fuse(nn.Sequential(nn.Linear(2, 2), Doubled(nn.Linear(2, 2))))
    for register in ("forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"):
        inside = nn.Linear(2, 2)
        handle = getattr(inside, f"register_{register}")(lambda *_: None)
        assert not can_fuse(nn.Sequential(inside))
        handle.remove()
        assert can_fuse(nn.Sequential(inside))


@pytest.mark.parametrize("name", ["egnn", "segnn"])
def test_tools_that_look_layer_by_layer_see_all_layers(name):
    model, inputs = small(name), fields()
    report = lie_derivative(model, inputs, SIGNATURE, "SO(3)", layers=True)
    seen = {layer.name.split("#")[0]: layer for layer in report.layers}
    assert set(seen) == {each for each, module in model.named_modules() if each and not isinstance(module, SHELLS)}
    assert report.largest < 1e-10


def test_alignment_sees_the_units_of_every_part():
    spec = permutation_spec(egnn(), fields())
    hidden = {"layers.0.first", "layers.0.speed.0", "layers.0.step.0", "layers.0.node.0"}
    assert hidden <= {stream.name for stream in spec.streams}
    for name in hidden:
        assert name in {sight.tap.module for sight in spec.taps[name]}
