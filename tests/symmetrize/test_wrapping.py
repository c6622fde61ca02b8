"""A wrapped model does what a module does: checkpoints, torch.func, autocast, half precision, torch.compile."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import BatchError
from geoequiv.groups import Element
from geoequiv.symmetrize import Frame, Symmetrizer

SIGNATURE = "pos: point -> pos: point, energy: scalar"
POINTS = "pos: point -> pos: point"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))
        self.register_buffer("scale", torch.tensor(1.0))

    def forward(self, pos):
        hidden = self.scale * self.layers(pos)
        return pos + hidden[..., :3], hidden[..., 3].sum(-1)


def net(seed=0):
    torch.manual_seed(seed)
    return Net()


def cloud(*shape, seed=0):
    return 2 * torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed)) + 5


def averages(model):
    return {
        "group": ge.GroupAveraging(model, SIGNATURE, "O"),
        "quadrature": ge.GroupAveraging(model, SIGNATURE, "SE(3)", quadrature=2),
        "frame": ge.FrameAveraging(model, SIGNATURE, "SE(3)"),
    }


AVERAGES = pytest.mark.parametrize("which", ["group", "quadrature", "frame"])
# a frame that decomposes matrices by its own autograd.Function has no rule for torch.func
MAPPED = pytest.mark.parametrize("which", ["group", "quadrature"])


def same(one, other, tolerance=1e-5):
    return all(torch.allclose(a, b, atol=tolerance) for a, b in zip(one, other, strict=True))


# checkpoints


class LearnedFrame(nn.Module, Frame):
    """Stands for any frame with parameters of its own."""

    def __init__(self, seed=0):
        nn.Module.__init__(self)
        object.__setattr__(self, "group", ge.group("O"))
        torch.manual_seed(seed)
        self.net = nn.Linear(2, 2)

    def __call__(self, fields, side, layout, *, training=False):
        return Element(torch.eye(3).expand(1, *(1,) * len(layout.shape), 3, 3)), None

    __hash__ = nn.Module.__hash__
    __eq__ = object.__eq__


class WithFrame(Net):
    """A model that has a submodule by the name of the wrapper's."""

    def __init__(self):
        super().__init__()
        self.frame = nn.Linear(1, 1)


@AVERAGES
def test_checkpoints_of_wrapped_and_bare_model_are_the_same(which, tmp_path):
    bare, other = net(0), net(1)
    wrapped = averages(other)[which]
    assert list(wrapped.state_dict()) == list(bare.state_dict())
    wrapped.load_state_dict(bare.state_dict())
    assert same(wrapped(cloud(2, 4)), averages(bare)[which](cloud(2, 4)), 0)
    torch.save(wrapped.state_dict(), tmp_path / "weights.pt")
    third = net(2)
    third.load_state_dict(torch.load(tmp_path / "weights.pt"))
    assert same(third(cloud(2, 4)), bare(cloud(2, 4)), 0)
    assert wrapped.state_dict()["scale"].data_ptr() == other.scale.data_ptr()


def test_nested_wrappers_and_wrappers_inside_modules():
    def nested(model):
        return ge.FrameAveraging(ge.GroupAveraging(averages(model)["group"], SIGNATURE, "T"), SIGNATURE, "SE(3)")

    bare = net(0)
    wrapped = nested(net(1))
    assert list(wrapped.state_dict()) == list(bare.state_dict())
    wrapped.load_state_dict(bare.state_dict())
    bare.load_state_dict(wrapped.state_dict())
    house = nn.ModuleDict({"one": nested(net(1)), "two": nn.Linear(1, 1), "model": nested(net(2))})
    plain = nn.ModuleDict({"one": net(3), "two": nn.Linear(1, 1), "model": net(4)})
    assert sorted(house.state_dict()) == sorted(plain.state_dict())
    house.load_state_dict(plain.state_dict())
    plain.load_state_dict(house.state_dict())
    assert all(torch.equal(house.state_dict()[key], value) for key, value in plain.state_dict().items())


def test_a_misfit_is_still_an_error():
    wrapped = averages(net())["group"]
    state = net().state_dict()
    with pytest.raises(RuntimeError, match="Missing key"):
        wrapped.load_state_dict({key: value for key, value in state.items() if key != "scale"})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        wrapped.load_state_dict({**state, "more": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        wrapped.load_state_dict({**state, "layers.0.bias": torch.zeros(1)})


@pytest.mark.parametrize("kind", [Net, WithFrame])
def test_a_frame_that_learns_keeps_its_own_keys(kind):
    def build(seed):
        torch.manual_seed(seed)
        return Symmetrizer(kind(), SIGNATURE, LearnedFrame(seed))

    one, other = build(0), build(1)
    own = "frame.net." if kind is Net else "frame.frame.net."
    assert set(one.state_dict()) == set(kind().state_dict()) | {own + "weight", own + "bias"}
    other.load_state_dict(one.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    twice = [Symmetrizer(build(seed), SIGNATURE, LearnedFrame(seed + 5)) for seed in (0, 1)]
    assert len(twice[0].state_dict()) == len(kind().state_dict()) + 4
    twice[1].load_state_dict(twice[0].state_dict())
    assert all(torch.equal(a, b) for a, b in zip(twice[0].parameters(), twice[1].parameters(), strict=True))


def test_copies_have_checkpoints_of_their_own():
    wrapped = averages(net())["frame"]
    for again in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        again.load_state_dict(net(1).state_dict())
        assert same(again.model(cloud(2, 4)), net(1)(cloud(2, 4)), 0)
    assert same(wrapped.model(cloud(2, 4)), net()(cloud(2, 4)), 0)


# torch.func


@AVERAGES
def test_functional_call(which):
    wrapped = averages(net(0))[which]
    other = averages(net(1))[which]
    x = cloud(2, 4)
    assert same(functional_call(wrapped, dict(other.named_parameters()), (x,)), other(x), 0)


@MAPPED
def test_vmap_over_items_and_models(which):
    wrapped = averages(net())[which]
    x = cloud(4, 5)
    assert same(vmap(wrapped)(x), wrapped(x))
    ensemble = [averages(net(seed))[which] for seed in range(3)]
    weights, buffers = stack_module_state(ensemble)
    together = vmap(lambda w, b: functional_call(wrapped, (w, b), (x,)))(weights, buffers)
    assert same(together, [torch.stack(each) for each in zip(*(model(x) for model in ensemble), strict=True)])


@MAPPED
def test_gradients_by_torch_func(which):
    wrapped = averages(net())[which]
    x = cloud(4, 5).requires_grad_()
    expected = torch.autograd.grad(wrapped(x)[1].sum(), x)[0]
    assert torch.allclose(grad(lambda pos: wrapped(pos)[1].sum())(x), expected, atol=1e-6)
    assert torch.allclose(vmap(grad(lambda pos: wrapped(pos)[1]))(x), expected, atol=1e-6)


def test_inputs_are_still_checked_without_transforms():
    with pytest.raises(BatchError, match="not finite"):
        averages(net())["group"](torch.full((2, 4, 3), float("nan")))


# lower precision


@AVERAGES
def test_autocast_lowers_the_precision_of_the_model_only(which):
    """The rotated inputs are float32 and the average is too; bfloat16 rounds at 2⁻⁸."""
    seen = []

    class Spy(Net):
        def forward(self, pos):
            out = super().forward(pos)
            seen.append((pos.dtype, torch.is_autocast_enabled("cpu"), self.layers(pos).dtype))
            return out

    spy = Spy()
    spy.load_state_dict(net().state_dict())
    wrapped = averages(spy)[which]
    x = cloud(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pos, energy = wrapped(x)
        assert torch.is_autocast_enabled("cpu")
    assert seen == [(torch.float32, True, torch.bfloat16)]
    assert pos.dtype == energy.dtype == torch.float32
    assert torch.allclose(pos, averages(net())[which](x)[0], atol=0.05)
    centroids = ge.FrameAveraging(lambda pos: pos, POINTS, "SE(3)")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.allclose(centroids(x), x, atol=1e-5)


@AVERAGES
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs(which, dtype):
    """The model sees its own dtype; sums are float32, so the error is that of one rounding or two.

    Clouds whose axes are certain in half precision have the frames that they have in float32.
    """
    x = (5 + (cloud(3, 12) - 5) * torch.tensor([0.1, 0.7, 1.2])).to(dtype)
    seen = []
    unchanged = averages(lambda pos: (seen.append(pos.dtype), (pos, pos.sum((-1, -2))))[1])[which]
    assert torch.allclose(unchanged(x)[0].float(), x.float(), rtol=2 * torch.finfo(dtype).eps, atol=0.02)
    assert set(seen) == {dtype}
    wrapped = averages(net().to(dtype))[which]
    pos, energy = wrapped(x)
    assert pos.dtype == energy.dtype == dtype
    certain = ~ge.symmetrize.PCAFrame(ge.group("SE(3)")).diagnose({"pos": x}, "pos: point").degenerate
    assert certain.any()
    assert torch.allclose(pos.float()[certain], averages(net())[which](x.float())[0][certain], atol=0.1)


def test_half_precision_pyg():
    class Graph(nn.Module):
        def forward(self, data):
            assert data.pos.dtype == torch.bfloat16
            return data.pos

    data = Data(pos=cloud(4).bfloat16(), edge_index=torch.zeros(2, 1, dtype=torch.int64))
    result = ge.FrameAveraging(Graph(), POINTS, "SE(3)")(data)
    assert result.dtype == data.pos.dtype == torch.bfloat16
    assert torch.allclose(result, data.pos, atol=0.1)


# torch.compile


@pytest.fixture
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@AVERAGES
@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_model_inside_a_wrapper(which):
    """In one graph, without breaks; checkpoints of a compiled model have its usual prefix."""
    x = cloud(2, 4)
    wrapped = averages(torch.compile(net(), backend="eager", fullgraph=True))[which]
    assert same(wrapped(x), averages(net())[which](x))
    wrapped(x)[1].sum().backward()


@AVERAGES
@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own, while it traces
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_compiled_wrapper(which):
    """With graph breaks, where the values of the inputs are looked at."""
    x = cloud(2, 4).requires_grad_()
    wrapped = averages(net())[which]
    compiled = torch.compile(wrapped, backend="aot_eager" if which == "frame" else "eager")
    assert same(compiled(x), wrapped(x))
    expected = torch.autograd.grad(wrapped(x)[1].sum(), x)[0]
    assert torch.allclose(torch.autograd.grad(compiled(x)[1].sum(), x)[0], expected, atol=1e-5)
    with pytest.raises(BatchError, match="not finite"):
        compiled(torch.full((2, 4, 3), float("nan")))


def test_a_graph_may_have_a_mask_of_its_own():
    """It passes through, copy by copy, and hides no node from the frame."""
    graphs = Batch.from_data_list([Data(pos=torch.randn(4, 3), mask=torch.tensor([True, False, True, True]))] * 2)
    model = lambda data: data.pos * data.mask.unsqueeze(-1)  # noqa: E731
    wrapped = ge.FrameAveraging(model, "pos: point -> y: vector", "SO(3)")
    assert torch.allclose(wrapped(graphs), graphs.pos * graphs.mask.unsqueeze(-1), atol=1e-6)


def test_models_that_return_graph_objects():
    def model(data):
        data.y, data.energy = data.pos**3, data.pos.new_zeros(data.num_graphs).index_add(0, data.batch, data.pos[:, 0])
        return data

    graphs = Batch.from_data_list([Data(pos=torch.randn(n, 3).double(), tag=n) for n in (3, 4)])
    wrapped = ge.FrameAveraging(model, "pos: point -> y: vector, energy: scalar per graph", "SO(3)", "minimal")
    result = wrapped(graphs)
    assert isinstance(result, Batch)
    assert result.y.shape == (7, 3)
    assert result.energy.shape == (2,)
    assert torch.equal(result.pos, graphs.pos)
    assert result.tag.tolist() == [3, 4]
    assert "y" not in graphs
    assert torch.allclose(wrapped(graphs[0]).y, result.y[:3])
