"""Averaging makes any model equivariant: against a naive loop, in every layout, on every decorated thing."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import BatchError, GroupError, ModelOutputError, SignatureError
from geoequiv.fields import Layout, act
from geoequiv.groups import inverse
from geoequiv.symmetrize import FRAMES, PCAFrame
from geoequiv.symmetrize.symmetrizer import POINTS_PER_CALL
from geoequiv.testing import assert_equivariant

from .asymmetric import SIGNATURE, clouds, net

FRAMED = ["SO(3)", "O(3)", "SE(3)", "E(3)"]
AVERAGED = ["O", "Oh", "I", "D4", "C5@y", "Td", "T(3)"]


def operators(model, **options):
    for name in FRAMED:
        yield ge.FrameAveraging(model, SIGNATURE, name, **options)
    for name in AVERAGED:
        yield ge.GroupAveraging(model, SIGNATURE, name, **options)


ALL = [*FRAMED, *AVERAGED]
WHICH = pytest.mark.parametrize("index", range(len(ALL)), ids=ALL)


def operator(index, dtype=torch.float64, **options):
    return list(operators(net(dtype), **options))[index]


@WHICH
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_exact_in_float64(index, seed):
    assert_equivariant(operator(index), clouds(6, 5, seed=seed), SIGNATURE, ALL[index], 1e-8)


@WHICH
def test_exact_in_float32(index):
    wrapped = operator(index, torch.float32)
    report = ge.equivariance_error(wrapped, clouds(64, 5, dtype=torch.float32), SIGNATURE, ALL[index])
    assert report.relative < 1e-5
    assert (
        ge.equivariance_error(wrapped.model, clouds(64, 5, dtype=torch.float32), SIGNATURE, ALL[index]).relative > 0.02
    )


@WHICH
def test_against_a_naive_loop(index):
    """Item by item, element by element, as the formula is written."""
    wrapped = operator(index)
    x = clouds(3, 4)
    whole = wrapped(**x)
    for item in range(3):
        alone = {name: value[item] for name, value in x.items()}
        elements, weights = wrapped.frame(alone, SIGNATURE.inputs, Layout.of(alone, SIGNATURE.inputs))
        assert weights is None
        total = {}
        for i in range(len(elements)):
            transformed = act(inverse(elements[i]), alone, SIGNATURE.inputs)
            back = act(elements[i], wrapped.model(**transformed), SIGNATURE.outputs)
            total = {name: total.get(name, 0) + back[name] / len(elements) for name in back}
        for name in total:
            assert torch.allclose(whole[name][item], total[name], atol=1e-12), name


@WHICH
def test_layouts_agree(index):
    wrapped = operator(index)
    sizes = (4, 6, 5)
    x = [clouds(n, seed=n) for n in sizes]
    singles = [wrapped(**one) for one in x]
    flat = {name: torch.cat([one[name] for one in x]) for name in x[0]}
    ragged = wrapped(**flat, batch=torch.repeat_interleave(torch.arange(3), torch.tensor(sizes)))
    padded = {
        name: torch.stack(
            [torch.cat([one[name], torch.full((6 - len(one[name]), one[name].shape[1]), 9.0)]) for one in x]
        )
        for name in x[0]
    }
    mask = torch.arange(6) < torch.tensor(sizes)[:, None]
    masked = wrapped(**padded, mask=mask)
    for i in range(3):
        for name in ("energy", "dipole", "spin"):
            assert torch.allclose(singles[i][name], ragged[name][i], atol=1e-11)
            assert torch.allclose(singles[i][name], masked[name][i], atol=1e-11)
        for name in ("pos", "forces", "stress"):
            start = sum(sizes[:i])
            assert torch.allclose(singles[i][name], ragged[name][start : start + sizes[i]], atol=1e-11)
            assert torch.allclose(singles[i][name], masked[name][i, : sizes[i]], atol=1e-11)


@WHICH
def test_symmetrizing_twice_equals_once(index):
    wrapped = operator(index)
    x = clouds(4, 5)
    twice = type(wrapped)(wrapped, SIGNATURE, ALL[index])
    for name, value in wrapped(**x).items():
        assert torch.allclose(twice(**x)[name], value, atol=1e-10)


@WHICH
def test_an_equivariant_model_is_left_unchanged(index):
    def equivariant(pos, vel, charge):
        centred = pos - pos.mean(-2, keepdim=True)
        return pos + centred * vel.norm(dim=-1, keepdim=True) + vel

    signature = "pos: point, vel: vector, charge: scalar -> pos: point"
    make = ge.FrameAveraging if ALL[index] in FRAMED else ge.GroupAveraging
    x = clouds(4, 5)
    assert torch.allclose(make(equivariant, signature, ALL[index])(**x), equivariant(**x), atol=1e-11)


@pytest.mark.parametrize("chunk", [1, 3, 5, 100])
def test_chunks_do_not_change_the_result(chunk):
    x = clouds(4, 5)
    for one, other in zip(operators(net()), operators(net(), chunk=chunk), strict=True):
        for name, value in one(**x).items():
            assert torch.allclose(other(**x)[name], value, atol=1e-12)


def test_chunks_bound_the_batch():
    seen = []
    model = lambda pos: (seen.append(len(pos)), pos)[1]  # noqa: E731
    ge.GroupAveraging(model, "pos: point -> pos: point", "O", chunk=5)(torch.randn(2, 3, 3))
    assert seen == [10, 10, 10, 10, 8]


def test_default_chunk_goes_by_the_number_of_points():
    """Small clouds in a single call; large ones in equal calls, down to one element each."""
    seen = []
    wrapped = ge.FrameAveraging(lambda pos, batch=None: (seen.append(len(pos)), pos)[1], "pos: point -> pos: point")
    for shape, calls in (
        ((8, 21), [64]), ((21,), [8]), ((64, 21), [192, 192, 128]), ((128, 21), [128] * 8),
        ((8, 1000), [8] * 8), ((2, 6000), [2] * 8),
    ):  # fmt: skip
        seen.clear()
        wrapped(torch.randn(*shape, 3))
        assert seen == calls, shape
    seen.clear()
    wrapped(torch.randn(3000, 3), batch=torch.arange(3000) // 1000)
    assert seen == [3000] * 8
    assert POINTS_PER_CALL == 4096


def test_points_get_their_centroid_back_and_vectors_do_not():
    signature = "pos: point -> pos: point, shift: vector"
    x = torch.randn(2, 4, 3) + 100
    pos, shift = ge.FrameAveraging(lambda pos: (pos, pos), signature, "SE(3)")(x)
    assert torch.allclose(pos, x, atol=1e-4)
    assert torch.allclose(shift, x - x.mean(1, keepdim=True), atol=1e-4)


def test_monte_carlo_is_unbiased_and_draws_anew():
    model, x = net(), clouds(2, 5)
    exact = ge.GroupAveraging(model, SIGNATURE, "O")(**x)["forces"]
    sampled = ge.GroupAveraging(model, SIGNATURE, "O", num_samples=4, generator=torch.Generator().manual_seed(0))
    draws = torch.stack([sampled(**x)["forces"] for _ in range(600)])
    sigma = draws.std(0) / 600**0.5
    assert ((draws.mean(0) - exact).abs() < 5 * sigma + 1e-12).all()
    assert not torch.equal(draws[0], draws[1])
    assert sampled.claims is None
    assert ge.GroupAveraging(model, SIGNATURE, "SE(3)", num_samples=2)(**x)["pos"].shape == (2, 5, 3)


def test_pyg_objects():
    class Graph(nn.Module):
        def forward(self, data):
            source, target = data.edge_index
            message = (data.pos[source] - data.pos[target]) * data.pos.new_tensor([1.0, 2.0, 3.0]) + data.pos[
                source
            ] ** 2
            return data.pos + torch.zeros_like(data.pos).index_add(0, target, message)

    signature = "pos: point -> pos: point"
    graphs = [Data(pos=torch.randn(n, 3).double(), edge_index=torch.randint(0, n, (2, 8)), name=str(n)) for n in (4, 6)]
    batch = Batch.from_data_list(graphs)
    for wrapped, name in (
        (ge.FrameAveraging(Graph(), signature, "SE(3)"), "SE(3)"),
        (ge.GroupAveraging(Graph(), signature, "O", chunk=5), "O"),
    ):
        assert torch.allclose(wrapped(batch), torch.cat([wrapped(graph) for graph in graphs]))
        assert_equivariant(wrapped, batch, signature, name, 1e-9)
    with pytest.raises(AssertionError, match="not equivariant"):
        assert_equivariant(Graph(), batch, signature, "SE(3)")


def test_wrapped_model_pickles_and_copies():
    wrapped = ge.FrameAveraging(net(), SIGNATURE, "SE(3)")
    again = pickle.loads(pickle.dumps(copy.deepcopy(wrapped)))
    assert torch.equal(again(**clouds(2, 4))["pos"], wrapped(**clouds(2, 4))["pos"])
    assert "SE(3)" in repr(wrapped)
    assert wrapped.claims == "SE(3)"


# errors


def test_construction_errors():
    with pytest.raises(GroupError, match=r"SO\(3\) is infinite: give num_samples"):
        ge.GroupAveraging(net(), SIGNATURE, "SO(3)")
    with pytest.raises(GroupError, match="num_samples must be a positive"):
        ge.GroupAveraging(net(), SIGNATURE, "SO(3)", num_samples=0)
    with pytest.raises(GroupError, match="chunk must be a positive"):
        ge.GroupAveraging(net(), SIGNATURE, "O", chunk=0)
    with pytest.raises(GroupError, match=r"Unknown frame 'pac'\. Did you mean 'pca'"):
        ge.FrameAveraging(net(), SIGNATURE, "E(3)", "pac")
    with pytest.raises(GroupError, match="PCA frames are made for"):
        ge.FrameAveraging(net(), SIGNATURE, "O")
    with pytest.raises(GroupError, match=r"one of E\(3\), the averaging asks for SE\(3\)"):
        ge.FrameAveraging(net(), SIGNATURE, "SE(3)", PCAFrame(ge.group("E(3)")))
    with pytest.raises(SignatureError, match="irreps"):
        ge.GroupAveraging(net(), "h: 1x1o -> h: 1x1o", ge.group("C4", dim=2))
    assert set(FRAMES) >= {"pca", "stochastic"}


def test_call_errors():
    wrapped = ge.FrameAveraging(net(), SIGNATURE, "SE(3)")
    bad = clouds(3, 4)
    bad["pos"][1, 2] = float("inf")
    with pytest.raises(BatchError, match="'pos' is not finite in item 1"):
        wrapped(**bad)
    with pytest.raises(SignatureError, match="needs an input of type point"):
        ge.FrameAveraging(lambda v: v, "v: vector -> v: vector", "SE(3)")(torch.randn(2, 4, 3))
    with pytest.raises(ModelOutputError, match="does not hold 4 copies of the batch"):
        ge.FrameAveraging(lambda pos: pos.sum(0), "pos: point -> y: vector", "SE(3)")(torch.randn(3, 5, 3))
    with pytest.raises(ModelOutputError, match="returns 'extra'"):
        ge.FrameAveraging(lambda pos: {"y": pos, "extra": pos}, "pos: point -> y: vector", "SE(3)")(
            torch.randn(3, 5, 3)
        )
    with pytest.raises(ModelOutputError, match=r"'y' is a vector: expected shape \[\.\.\., 3\]"):
        ge.FrameAveraging(lambda pos: pos[..., :2], "pos: point -> y: vector", "SE(3)")(torch.randn(3, 5, 3))
