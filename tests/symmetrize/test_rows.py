"""What the rows of a field are, nodes, edges or clouds, is declared; where the numbers coincide nothing is guessed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import geoequiv as ge
from geoequiv.errors import BatchError, SignatureError
from geoequiv.testing import assert_equivariant

DECLARED = "pos: point, shift: vector per edge -> pos: point, force: vector per edge, dipole: vector per graph"
SILENT = "pos: point, shift: vector -> pos: point, force: vector, dipole: vector"


def model(pos, shift, edge_index, batch):
    """No symmetry at all; one output per node, one per edge, one per cloud."""
    i, j = edge_index
    message = (pos[i] - pos[j]) * shift.roll(1, -1) + shift.sin()
    node = pos + torch.zeros_like(pos).index_add(0, i, message.roll(1, -1))
    graphs = int(batch.max()) + 1
    return node, message, torch.zeros(graphs, 3, dtype=pos.dtype).index_add(0, batch, node.square())


def batch_of(sizes, edges, seed=0):
    """Clouds of these sizes with so many random edges each."""
    generator = torch.Generator().manual_seed(seed)
    draw = lambda n: torch.randn(n, 3, generator=generator, dtype=torch.float64)  # noqa: E731
    starts = torch.tensor([0, *sizes]).cumsum(0)
    pairs = [
        torch.randint(size, (2, count), generator=generator) + starts[k]
        for k, (size, count) in enumerate(zip(sizes, edges, strict=True))
    ]
    return {
        "pos": draw(sum(sizes)) + 2, "shift": draw(sum(edges)), "edge_index": torch.cat(pairs, 1),
        "batch": torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)),
    }  # fmt: skip


def test_as_many_edges_as_nodes():
    """The batch of the report: 3 + 5 nodes, 4 + 4 edges, and a field on edges whose name does not say so."""
    x = batch_of([3, 5], [4, 4])
    assert_equivariant(ge.FrameAveraging(model, DECLARED, "SE(3)"), x, DECLARED, "SE(3)")
    with pytest.raises(BatchError, match=r"'shift' has as many rows as this batch has nodes and edges.* per edge'"):
        ge.FrameAveraging(model, SILENT, "SE(3)")(**x)
    fewer = batch_of([3, 5], [4, 3])
    assert_equivariant(ge.FrameAveraging(model, SILENT, "SE(3)"), fewer, SILENT, "SE(3)")


COUNTS = st.integers(1, 3).flatmap(
    lambda graphs: st.tuples(
        st.lists(st.integers(3, 5), min_size=graphs, max_size=graphs),
        st.lists(st.integers(1, 6), min_size=graphs, max_size=graphs),
    )
)


@given(
    COUNTS, st.sampled_from(["nodes", "graphs", "as drawn"]), st.sampled_from(["pca", "minimal"]), st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_right_or_refused_whatever_the_numbers_are(counts, alike, frame, seed):
    """As many edges as nodes, as graphs, or as drawn: what is declared is exact, what is not is exact or refused."""
    sizes, edges = counts
    if alike == "nodes":
        spare = sum(sizes) - len(sizes)
        edges = [1 + spare, *[1] * (len(sizes) - 1)]  # as many in all, in other graphs
    elif alike == "graphs":
        edges = [len(sizes), *[0] * (len(sizes) - 1)]
    x = batch_of(sizes, edges, seed)
    averaged = ge.FrameAveraging(model, DECLARED, "SE(3)", frame)
    assert_equivariant(averaged, x, DECLARED, "SE(3)", 1e-6, num_samples=2)
    silent = ge.FrameAveraging(model, SILENT, "SE(3)", frame)
    try:
        out = silent(**x)
    except BatchError as error:
        assert "say which" in str(error)  # noqa: PT017
        assert sum(edges) in (sum(sizes), len(sizes))
    else:
        for a, b in zip(out, averaged(**x), strict=True):
            torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


def test_what_is_said_has_to_be_true():
    x = batch_of([3, 5], [4, 3])
    with pytest.raises(BatchError, match=r"'shift' has 7 rows, expected one for each of 8 nodes \(vector per node\)"):
        ge.FrameAveraging(model, DECLARED.replace("per edge", "per node"), "SE(3)")(**x)
    with pytest.raises(BatchError, match="'shift' is a vector per edge, but the batch has no edges"):
        ge.FrameAveraging(lambda pos, shift, batch: pos, "pos: point, shift: vector per edge -> pos: point", "SE(3)")(
            x["pos"], x["shift"], x["batch"]
        )
    dense = {"pos": torch.randn(2, 4, 3), "shift": torch.randn(2, 4, 3)}
    with pytest.raises(BatchError, match="but the batch has no edges: give 'edge_index'"):
        ge.FrameAveraging(lambda pos, shift: pos, "pos: point, shift: vector per edge -> pos: point", "SE(3)")(**dense)
    with pytest.raises(SignatureError, match="a node field has one value per node by its meaning"):
        ge.Signature.parse("x: node per edge -> y: scalar")


def test_rows_print_back_and_say_that_others_are_not_edges():
    signature = ge.Signature.parse("pos: point, vel: vector per node, d: vector*2 per edge -> e: 1x1o per  edge")
    assert str(signature) == "pos: point, vel: vector per node, d: vector*2 per edge -> e: 1x1o per edge"
    assert ge.Signature.parse(str(signature)) == signature
    x = batch_of([3, 5], [4, 4])

    def with_velocity(pos, vel, shift, edge_index, batch):
        return model(pos + vel.roll(1, -1), shift, edge_index, batch)

    told = f"vel: vector, {DECLARED}"
    x["vel"] = torch.randn(8, 3, dtype=torch.float64)  # "per edge" is said where it is meant: these are nodes
    assert_equivariant(ge.FrameAveraging(with_velocity, told, "SE(3)"), x, told, "SE(3)")


def test_a_field_on_edges_may_stand_first():
    """Without a batch index the number of nodes is that of a field that cannot be on edges."""
    x = batch_of([5], [7])
    del x["batch"]

    def one(shift, pos, edge_index):
        return model(pos, shift, edge_index, torch.zeros(len(pos), dtype=torch.int64))[:2]

    signature = "shift: vector, pos: point -> pos: point, force: vector"
    assert_equivariant(ge.FrameAveraging(one, signature, "SE(3)"), x, signature, "SE(3)")


def test_a_vector_of_each_cloud_with_as_many_components_as_nodes_is_not_masked():
    """[B, 3] of clouds of three nodes has the shape of the mask: what is not finite there is reported, not hidden."""
    mask = torch.tensor([[True, True, False], [True, True, True]])
    x = {"pos": torch.randn(2, 3, 3), "field": torch.tensor([[0.0, 0, torch.nan], [0, 0, 1]]), "mask": mask}

    def uniform(pos, field, mask):
        return pos + field.unsqueeze(1)

    averaged = ge.FrameAveraging(uniform, "pos: point, field: vector -> pos: point", "SE(3)")
    with pytest.raises(BatchError, match="'field' is not finite in item 0"):
        averaged(**x)
