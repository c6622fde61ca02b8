"""What a tensor means is declared, not guessed from its name: right, or refused with the two ways to say it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import Signature
from geoequiv.testing import assert_equivariant

SIGNATURE = "pos: point -> pos: point"


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def on_edges(pos, edges, batch):
    i, j = edges
    return pos + torch.zeros_like(pos).index_add(0, i, (pos[i] - pos[j]).roll(1, -1).sin() * pos[j])


def ragged():
    batch = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    edges = torch.tensor([[0, 1, 2, 3, 4, 5, 6], [1, 2, 0, 4, 5, 7, 3]])
    return {"pos": draws(8, 3) + 2, "edges": edges, "batch": batch}


def with_names(names):
    return Signature.parse(SIGNATURE, names)


def test_edges_by_another_name():
    x, names = ragged(), {"edges": "edge_index"}
    for chunk in (None, 1):
        averaged = ge.FrameAveraging(on_edges, SIGNATURE, "SE(3)", chunk=chunk, names=names)
        assert_equivariant(averaged, x, SIGNATURE, "SE(3)")  # a wrapper's own signature declares them
        assert_equivariant(averaged, x, with_names(names), "SE(3)")
    text = "pos: point, edges: edge_index -> pos: point"
    assert str(Signature.parse(text)) == text
    assert Signature.parse(text) == with_names(names)
    decorated = ge.group_averaging(SIGNATURE, "O", names=names)(on_edges)
    assert_equivariant(decorated, x, text, "O")

    def usual(pos, edge_index, batch):
        return on_edges(pos, edge_index, batch)

    same = ge.FrameAveraging(usual, SIGNATURE, "SE(3)")(x["pos"], x["edges"], x["batch"])
    assert torch.equal(ge.FrameAveraging(on_edges, text, "SE(3)")(**x), same)
    error = ge.equivariance_error(on_edges, x, text, "SE(3)", num_samples=4, generator=torch.Generator().manual_seed(0))
    plain = {"pos": x["pos"], "edge_index": x["edges"], "batch": x["batch"]}
    twin = ge.equivariance_error(usual, plain, SIGNATURE, "SE(3)", num_samples=4,
                                 generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert error.relative == twin.relative > 0.1


def test_a_batch_index_by_another_name():
    x = {"pos": draws(8, 3), "batch_index": torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])}
    averaged = ge.FrameAveraging(lambda pos, batch_index: pos * 1, SIGNATURE, "SE(3)")
    with pytest.raises(SignatureError, match=r"what 'batch_index' is, torch.int64 .*'batch_index: batch' or"):
        averaged(**x)

    def several(pos, batch_index):
        count = int(batch_index.max()) + 1
        mean = torch.zeros(count, 3, dtype=pos.dtype).index_add(0, batch_index, pos)
        return pos + mean[batch_index].roll(1, -1).sin()

    names = {"batch_index": "batch"}
    assert_equivariant(ge.FrameAveraging(several, SIGNATURE, "SE(3)", names=names), x, SIGNATURE, "SE(3)")
    assert ge.equivariance_error(several, x, with_names(names), "SE(3)", num_samples=4).relative > 0.01


class Attention(nn.Module):
    """Padding by torch's convention: True where there is nothing."""

    def forward(self, pos, key_padding_mask):
        weights = (~key_padding_mask).double().unsqueeze(-1)
        return pos + ((weights * pos.roll(1, -1)).sum(-2, keepdim=True) / weights.sum(-2, keepdim=True)).sin()


def padded():
    pos = draws(2, 5, 3) + 1
    hidden = torch.tensor([[False, False, False, True, True], [False] * 5])
    pos[hidden] = 100.0
    return {"pos": pos, "key_padding_mask": hidden}


def test_a_mask_of_padding():
    x, names = padded(), {"key_padding_mask": "~mask"}
    averaged = ge.FrameAveraging(Attention(), SIGNATURE, "SE(3)", names=names)
    assert_equivariant(averaged, x, SIGNATURE, "SE(3)")
    other = {**x, "pos": torch.where(x["key_padding_mask"].unsqueeze(-1), -7.0, x["pos"])}
    shown = ~x["key_padding_mask"]
    torch.testing.assert_close(averaged(**x)[shown], averaged(**other)[shown], atol=1e-10, rtol=1e-10)
    with pytest.raises(SignatureError, match=r"'key_padding_mask' is, torch.bool .* real nodes, or of padding"):
        ge.FrameAveraging(Attention(), SIGNATURE, "SE(3)")(**x)
    with pytest.raises(SignatureError, match=r"'key_padding_mask: ~mask' or .*~mask = True for padding"):
        ge.equivariance_error(Attention(), x, SIGNATURE, "SE(3)")
    assert ge.equivariance_error(averaged, x, SIGNATURE, "SE(3)").relative < 1e-5
    with pytest.raises(BatchError, match="'key_padding_mask' is declared to be a mask of padding"):
        averaged(x["pos"], x["key_padding_mask"].double())


MEASURES = {
    "equivariance_error": lambda *args, **more: ge.equivariance_error(*args, **more).worst,
    "invariance_error": lambda *args, **more: ge.invariance_error(*args, **more).worst,
    "worst_case": lambda *args, **more: ge.worst_case(*args, **more).value,
    "certify": lambda *args, **more: ge.certify(*args, **more).errors.worst,
    "lie_derivative": lambda *args, **more: ge.lie_derivative(*args, **more).norm,
    "assert_equivariant": lambda *args, **more: assert_equivariant(*args, 10.0, **more).worst,
    "discover_symmetry": lambda model, x, signature, group, **more: ge.discover_symmetry(
        model, x, signature, [group], **more
    )[group],
}


@pytest.mark.parametrize("name", MEASURES)
def test_measures_take_the_declarations_that_their_error_shows(name):
    x, measure = ragged(), MEASURES[name]
    with pytest.raises(SignatureError, match=r"Wrappers and measures take .*names=\{'edges': 'edge_index'\}"):
        measure(on_edges, x, SIGNATURE, "SO(3)")
    found = measure(on_edges, x, SIGNATURE, "SO(3)", names={"edges": "edge_index"})
    assert found == measure(on_edges, x, "pos: point, edges: edge_index -> pos: point", "SO(3)")


def test_a_mask_that_the_model_does_not_take_is_for_the_frame():
    x = padded()
    mask = ~x["key_padding_mask"]

    def pointwise(pos):
        return pos + pos.roll(1, -1).sin()

    averaged = ge.FrameAveraging(pointwise, SIGNATURE, "SE(3)")
    alone = averaged(x["pos"][:1, :3])
    torch.testing.assert_close(averaged(x["pos"], mask=mask)[0, :3], alone[0], atol=1e-10, rtol=1e-10)
    flat = ge.FrameAveraging(pointwise, SIGNATURE, "SE(3)")(
        x["pos"][mask], batch=torch.tensor([0, 0, 0, 1, 1, 1, 1, 1])
    )
    torch.testing.assert_close(flat[:3], alone[0], atol=1e-10, rtol=1e-10)


def test_numbers_by_the_name_of_an_index_are_not_one():
    def model(pos, refractive_index, sample_index):
        return pos * refractive_index[:, None, None] + sample_index[:, None, None] * pos.roll(1, -1)

    x = {"pos": draws(2, 4, 3), "refractive_index": draws(2), "sample_index": torch.tensor([5, 7])}
    assert_equivariant(ge.FrameAveraging(model, SIGNATURE, "SO(3)", chunk=1), x, SIGNATURE, "SO(3)")
    assert_equivariant(ge.FrameAveraging(model, SIGNATURE, "SO(3)"), x, SIGNATURE, "SO(3)")


def test_directions_that_nothing_declares():
    def model(pos, edge_vec, edge_index, batch):
        i, j = edge_index
        return pos + torch.zeros_like(pos).index_add(0, i, edge_vec.cross(pos[i] - pos[j], dim=-1))

    x = ragged()
    x = {"pos": x["pos"], "edge_vec": draws(7, 3, seed=1), "edge_index": x["edges"], "batch": x["batch"]}
    for call in (
        lambda: ge.FrameAveraging(model, SIGNATURE, "SE(3)")(**x),
        lambda: ge.equivariance_error(model, x, SIGNATURE, "SE(3)", num_samples=2),
        lambda: ge.certify(model, x, SIGNATURE, "SE(3)"),
        lambda: ge.REMUL(model, SIGNATURE, "SE(3)", nn.functional.mse_loss)(x, {"pos": x["pos"]}),
    ):
        with pytest.raises(
            SignatureError, match=r"what 'edge_vec' is, .* \[7, 3\].*directions.*vector per edge.*'pass'"
        ):
            call()
    typed = "pos: point, edge_vec: vector per edge -> pos: point"
    assert_equivariant(model, x, typed, "SE(3)")
    assert_equivariant(ge.FrameAveraging(model, typed, "SE(3)"), x, typed, "SE(3)")
    passed = ge.equivariance_error(model, x, with_names({"edge_vec": "pass"}), "SE(3)", num_samples=4)
    assert passed.relative > 0.1  # as given: a field that does not rotate


def test_integers_of_each_node_are_named_or_passed():
    def model(z, pos, batch):
        return pos * z.unsqueeze(-1) + z.unsqueeze(-1) * pos.roll(1, -1)

    x = {"z": torch.tensor([6, 1, 1, 8, 1, 1, 6, 1]), "pos": draws(8, 3), "batch": ragged()["batch"]}
    with pytest.raises(SignatureError, match=r"what 'z' is, .*int64"):
        ge.FrameAveraging(model, SIGNATURE, "SO(3)")(**x)
    passed = ge.FrameAveraging(model, SIGNATURE, "SO(3)", names={"z": "pass"})
    typed = ge.FrameAveraging(model, "z: scalar, pos: point -> pos: point", "SO(3)")
    assert torch.equal(passed(**x), typed(**x))
    assert_equivariant(passed, x, SIGNATURE, "SO(3)")


def test_numbers_of_nodes_that_are_declared():
    """Each node looks at its parent: in copies of a batch, at the copy's."""

    def model(pos, parent, batch):
        return pos + (pos - pos[parent]).roll(1, -1).sin() * pos

    x = {"pos": draws(8, 3), "parent": torch.tensor([1, 2, 0, 4, 5, 6, 7, 3]), "batch": ragged()["batch"]}
    for frame in ("pca", "minimal"):
        averaged = ge.FrameAveraging(model, SIGNATURE, "SE(3)", frame, names={"parent": "index"})
        assert_equivariant(averaged, x, SIGNATURE, "SE(3)")


def test_constants_are_the_same_for_all():
    """As long as there are clouds: repeated, it would not fit the model any more."""

    def model(pos, box):
        return pos * box + pos.roll(1, -1)

    x = {"pos": draws(3, 4, 3), "box": torch.tensor([1.0, 2.0, 3.0]).double()}
    with pytest.raises(SignatureError, match=r"'box' is, .*float64 of shape"):
        ge.FrameAveraging(model, SIGNATURE, "SO(3)")(**x)
    averaged = ge.FrameAveraging(model, SIGNATURE, "SO(3)", names={"box": "constant"})
    assert_equivariant(averaged, x, SIGNATURE, "SO(3)")


def test_what_is_wrong_with_a_declaration():
    with pytest.raises(SignatureError, match=r"Unknown role of 'edges' 'edge_idx'\. Did you mean 'edge_index'"):
        with_names({"edges": "edge_idx"})
    with pytest.raises(SignatureError, match="'pos' is a typed input"):
        with_names({"pos": "pass"})
    with pytest.raises(SignatureError, match="Two tensors are declared to be the 'mask'"):
        with_names({"a": "mask", "b": "~mask"})
    averaged = ge.FrameAveraging(Attention(), SIGNATURE, "SE(3)", names={"key_padding_mask": "~mask"})
    with pytest.raises(BatchError, match="hold both 'mask' and 'key_padding_mask'"):
        averaged(**padded(), mask=torch.ones(2, 5, dtype=torch.bool))


ROLES = {"links": "edge_index", "cloud": "batch", "parent": "index", "kind": "pass", "scale": "constant"}
TYPED = "pos: point, shift: vector per edge -> pos: point, force: vector per edge"


def everything(pos, shift, links, cloud, parent, kind, scale):
    """Depends on all that it is given, with no symmetry of its own."""
    i, j = links
    message = (pos[i] - pos[j]).roll(1, -1) * shift + shift.sin() * kind[i].unsqueeze(-1)
    mean = torch.zeros(int(cloud.max()) + 1, 3, dtype=pos.dtype).index_add(0, cloud, pos - pos[parent])
    return pos + scale * torch.zeros_like(pos).index_add(0, i, message) + mean[cloud].sin(), message


@st.composite
def coinciding(draw):
    """Clouds with as many edges as nodes, as clouds, as space has dimensions, or as drawn."""
    sizes = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    total = draw(st.sampled_from([sum(sizes), len(sizes), 3, 5]))
    owner = draw(st.lists(st.integers(0, len(sizes) - 1), min_size=total, max_size=total))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    starts = torch.tensor([0, *sizes]).cumsum(0)
    within = lambda k, *shape: torch.randint(sizes[k], shape, generator=generator) + starts[k]  # noqa: E731
    cloud = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    return {
        "pos": torch.randn(sum(sizes), 3, generator=generator, dtype=torch.float64) + 2,
        "shift": torch.randn(total, 3, generator=generator, dtype=torch.float64),
        "links": torch.stack([within(k, 2) for k in owner], 1), "cloud": cloud,
        "parent": torch.cat([within(k, size) for k, size in enumerate(sizes)]),
        "kind": torch.randint(1, 4, (sum(sizes),), generator=generator),
        "scale": torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64),
    }  # fmt: skip


@given(coinciding(), st.sets(st.sampled_from([*ROLES, "shift"])), st.sampled_from(["pca", "minimal", "O"]))
@settings(max_examples=60, deadline=None)
def test_all_is_declared_and_right_or_refused(x, left_out, way):
    """Whatever the numbers of nodes, edges and clouds: no tensor passes of which nothing says what it is."""
    names = {name: role for name, role in ROLES.items() if name not in left_out}
    signature = TYPED.replace(", shift: vector per edge ->", " ->") if "shift" in left_out else TYPED
    group = "O" if way == "O" else "SE(3)"
    if way == "O":
        averaged = ge.GroupAveraging(everything, signature, "T(3)*O", names=names)
    else:
        averaged = ge.FrameAveraging(everything, signature, group, way, names=names)
    if left_out:
        with pytest.raises((SignatureError, BatchError)) as refused:
            averaged(**x)
        assert any(f"'{name}'" in str(refused.value) for name in x)
        with pytest.raises((SignatureError, BatchError)):
            ge.equivariance_error(everything, x, Signature.parse(signature, names), group, num_samples=2)
    else:
        assert_equivariant(averaged, x, averaged.signature, group, 1e-6, num_samples=3)


def test_attributes_of_graphs_that_may_be_directions():
    """PyG's names say which integers are node numbers; of vectors they say nothing."""

    def model(data):
        i, j = data.edge_index
        message = (data.pos[i] - data.pos[j]).cross(data.edge_vec, dim=-1) * data.z[i].unsqueeze(-1)
        return data.pos + torch.zeros_like(data.pos).index_add(0, i, message)

    x = ragged()
    graphs = [
        Data(pos=x["pos"][:3], edge_index=x["edges"][:, :3], edge_vec=draws(3, 3), z=torch.tensor([6, 1, 1])),
        Data(pos=x["pos"][3:], edge_index=x["edges"][:, 3:] - 3, edge_vec=draws(4, 3), z=torch.tensor([6, 1, 1, 1, 8])),
    ]
    batch = Batch.from_data_list(graphs)
    with pytest.raises(SignatureError, match=r"what 'edge_vec' is, .*directions"):
        ge.FrameAveraging(model, SIGNATURE, "SE(3)")(batch)
    with pytest.raises(SignatureError, match=r"what 'edge_vec' is, .*directions"):
        ge.equivariance_error(model, batch, SIGNATURE, "SE(3)")
    typed = "pos: point, edge_vec: vector per edge -> pos: point"
    assert_equivariant(ge.FrameAveraging(model, typed, "E(3)", names={"z": "pass"}), batch, typed, "SE(3)")
    passed = ge.equivariance_error(model, batch, with_names({"edge_vec": "pass"}), "SE(3)", num_samples=4)
    assert passed.relative > 0.1
