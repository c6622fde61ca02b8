"""What does not fit is refused, by an error that names it and says what was expected."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import geoequiv as ge
from geoequiv.errors import BatchError, GeoequivError, GroupError, ModelOutputError, SignatureError

POINTS = "pos: point -> pos: point"
KINDS = pytest.mark.parametrize("kind", ["frame", "minimal", "axial", "product", "group", "draws"])


def wrapper(kind, model=lambda pos, batch=None, mask=None: pos, signature=POINTS):
    return {
        "frame": lambda: ge.FrameAveraging(model, signature, "SE(3)"),
        "minimal": lambda: ge.FrameAveraging(model, signature, "E(3)", "minimal"),
        "axial": lambda: ge.FrameAveraging(model, signature, "T(3)*SO(2)@y"),
        "product": lambda: ge.FrameAveraging(model, signature, "Ci*SE(3)"),
        "group": lambda: ge.GroupAveraging(model, signature, "O"),
        "draws": lambda: ge.GroupAveraging(model, signature, "SE(3)", num_samples=2),
    }[kind]()


def cloud(*shape, seed=0):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed))


# names and pairings


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ge.GroupAveraging(nn.Identity(), POINTS, "SO3"), GroupError, r"'SO3'\. Did you mean 'SO\(3\)'"),
        (lambda: ge.FrameAveraging(nn.Identity(), POINTS, "SE3"), GroupError, r"'SE3'\. Did you mean 'SE\(3\)'"),
        (lambda: ge.FrameAveraging(nn.Identity(), POINTS, "E(3)", "pcaa"), GroupError, "Did you mean 'pca'"),
        (lambda: ge.FrameAveraging(nn.Identity(), POINTS, "SO(2)@y", "minimum"), GroupError, "mean 'minimal'"),
        (lambda: ge.frame_averaging(POINTS, "E(3)", "learnt"), GroupError, "Did you mean 'learned'"),
        (lambda: ge.group_averaging(POINTS, "Oi"), GroupError, r"Unknown group 'Oi'"),
        (lambda: ge.FrameAveraging(nn.Identity(), "pos: pont -> y: vector"), SignatureError, "Did you mean 'point'"),
        (lambda: ge.FrameAveraging(nn.Identity(), "pos: point, y: vector"), SignatureError, "'name: type, … ->"),
        (lambda: ge.GroupAveraging(nn.Identity(), "x: image -> x: image", "O"), SignatureError, "grid|pixels"),
        (lambda: ge.FrameAveraging(nn.Identity(), "x: image -> y: scalar", "SO(2)"), SignatureError, "pixels"),
        (lambda: ge.FrameAveraging(nn.Identity(), "pos: point -> h: 1x1o", "SE(2)"), SignatureError, "3-space"),
        (lambda: ge.FrameAveraging(nn.Identity(), POINTS, "T(3)"), GroupError, "made for"),
    ],
)
def test_construction(make, error, message):
    with pytest.raises(error, match=message):
        make()


# batches


@KINDS
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_names_the_item(kind, value):
    wrapped, x = wrapper(kind), cloud(3, 4)
    x[2, 1, 0] = value
    with pytest.raises(BatchError, match=r"'pos' is not finite in item 2 \(first at index \[2, 1, 0\]\)"):
        wrapped(x)
    with pytest.raises(BatchError, match="'pos' is not finite in item 2"):
        wrapped(x.flatten(0, 1), batch=torch.arange(12) // 4)
    with pytest.raises(BatchError, match=r"'pos' is not finite in item \[1, 0\]"):
        wrapped(torch.stack([cloud(2, 4), x[[2, 1]]]))
    graphs = Batch.from_data_list([Data(pos=one) for one in x])
    with pytest.raises(BatchError, match="'pos' is not finite in item 2"):
        wrapper(kind, lambda data: data.pos)(graphs)
    with pytest.raises(BatchError, match="'pos' is not finite in the cloud"):
        wrapped(x[2])
    with pytest.raises(BatchError, match="not finite in item 2"):
        wrapped(x, mask=torch.ones(3, 4, dtype=torch.bool))


@KINDS
def test_what_is_masked_out_may_be_anything(kind):
    x, mask = cloud(3, 4), torch.ones(3, 4, dtype=torch.bool)
    x[2, 1], mask[2, 1] = float("nan"), False
    if kind == "draws":
        torch.manual_seed(0)
    result = wrapper(kind)(x, mask=mask)
    assert torch.allclose(result[mask], x[mask], atol=1e-4)


@KINDS
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 7.0])
def test_gradients_know_nothing_of_what_is_masked_out(kind, value):
    def model(pos, mask):
        return torch.where(mask.unsqueeze(-1), pos, 0).square().cumsum(-1)

    slopes = []
    for pad in (0.0, value):
        x, mask = cloud(3, 4), torch.ones(3, 4, dtype=torch.bool)
        x[2, 1], mask[2, 1] = pad, False
        torch.manual_seed(0)
        wrapped = wrapper(kind, model, "pos: point -> y: vector")
        slopes.append(torch.autograd.grad(wrapped(x.requires_grad_(), mask)[mask].sum(), x)[0][mask])
    assert torch.allclose(*slopes, atol=1e-6)


@KINDS
def test_masks_and_batch_vectors_that_do_not_fit(kind):
    wrapped, x = wrapper(kind), cloud(3, 4)
    for mask, message in (
        (torch.ones(3, 5, dtype=torch.bool), r"bool of shape \[3, 4\] to go with field 'pos'"),
        (torch.ones(3, 4), "'mask' must be bool"),
        (torch.tensor([[True] * 4, [False] * 4, [True] * 4]), "mask of item 1 leaves no point"),
    ):
        with pytest.raises(BatchError, match=message):
            wrapped(x, mask=mask)
    flat = x.flatten(0, 1)
    for batch, message in (
        (torch.arange(10) // 4, "has 12 rows"),
        (torch.arange(12.0), "must be an int64 vector"),
        (torch.arange(12)[None] // 4, "must be an int64 vector"),
        (torch.arange(12) // 4 - 1, "negative graph number"),
        (torch.tensor([0] * 6 + [2] * 6), "Graph 1 of the batch is empty"),
    ):
        with pytest.raises(BatchError, match=message):
            wrapped(flat, batch=batch)
    with pytest.raises(BatchError, match=r"'pos' of shape \[3, 4, 3\] has a batch axis, where a 'batch' index"):
        wrapped(x, batch=torch.arange(3))
    with pytest.raises(BatchError, match="a 'batch' index or a 'mask', not both"):
        wrapped(flat, batch=torch.arange(12) // 4, mask=torch.ones(12, dtype=torch.bool))


@KINDS
def test_empty_clouds(kind):
    wrapped = wrapper(kind)
    with pytest.raises(BatchError, match="clouds with no points"):
        wrapped(torch.zeros(3, 0, 3))
    with pytest.raises(BatchError, match="clouds with no points"):
        wrapped(torch.zeros(0, 3))
    with pytest.raises(BatchError, match=r"The batch is empty: field 'pos' of shape .* has no clouds"):
        wrapped(torch.zeros(0, 4, 3))
    with pytest.raises(BatchError, match="The batch is empty"):
        wrapped(torch.zeros(0, 3), batch=torch.zeros(0, dtype=torch.int64))
    graphs = Batch.from_data_list(
        [Data(pos=cloud(4)), Data(pos=cloud(0))]
    )  # the batch vector does not know of the last
    with pytest.raises(BatchError, match="Graph 1 of the batch is empty"):
        wrapper(kind, lambda data: data.pos)(graphs)


@KINDS
def test_numbers_that_are_no_coordinates(kind):
    wrapped = wrapper(kind)
    with pytest.raises(BatchError, match=r"floating-point numbers, got torch\.int64: convert with \.float\(\)"):
        wrapped(torch.zeros(3, 4, 3, dtype=torch.int64))
    with pytest.raises(BatchError, match="must be a tensor, got list"):
        wrapped([[0.0, 0.0, 0.0]])
    with pytest.raises(BatchError, match=r"'pos' is a point: expected shape .* in 3-space, got \[3, 4, 2\]"):
        wrapped(torch.zeros(3, 4, 2))


@KINDS
def test_half_precision_is_widened_inside(kind):
    """Frames and averages in float32: what comes back differs from the input by its last digits alone."""
    for dtype in (torch.float16, torch.bfloat16):
        x = cloud(3, 4).to(dtype)
        result = wrapper(kind)(x)
        assert result.dtype == dtype
        assert torch.allclose(result.float(), x.float(), atol=8 * torch.finfo(dtype).eps)


@KINDS
def test_inputs_that_are_missing_or_disagree(kind):
    wrapped = wrapper(kind, lambda pos, vel: pos, "pos: point, vel: vector -> pos: point")
    with pytest.raises(SignatureError, match="cannot be called this way"):
        wrapped(cloud(3, 4))
    with pytest.raises(BatchError, match="'pos' and 'vel' disagree about the batch"):
        wrapped(cloud(3, 4), cloud(2, 4))
    with pytest.raises(SignatureError, match="'vel' is not among the arguments"):
        wrapper(kind, lambda pos, speed=None: pos, "pos: point, vel: vector -> pos: point")(cloud(3, 4))
    with pytest.raises(BatchError, match="signature names 'vel'"):
        wrapper(kind, lambda data: data.pos, "pos: point, vel: vector -> pos: point")(Data(pos=cloud(4)))


# outputs


@KINDS
@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda pos: pos[..., :2], ModelOutputError, r"'pos' is a point: expected shape \[\.\.\., 3\]"),
        (lambda pos: pos.long(), ModelOutputError, r"'pos' of .* holds torch\.int64, not floating-point numbers"),
        (lambda pos: pos.sum(0), ModelOutputError, "must keep the axis of the items first"),
        (lambda pos: (pos, pos), ModelOutputError, "returned 2 outputs; the signature's outputs are"),
        (lambda pos: {"y": pos}, ModelOutputError, "'pos' is missing"),
        (lambda pos: {"pos": pos, "y": pos}, ModelOutputError, "returns 'y', which the signature's outputs"),
        (lambda pos: {"pos": [1.0]}, ModelOutputError, "'pos' of .* is list, not a tensor"),
        (lambda pos: 3.0, ModelOutputError, "returned float"),
        (lambda pos: None, ModelOutputError, "returned NoneType"),
    ],
)
def test_outputs_that_do_not_fit(kind, model, error, message):
    with pytest.raises(error, match=message) as found:
        wrapper(kind, model)(cloud(3, 4))
    assert isinstance(found.value, GeoequivError)


def test_chunk_and_draws():
    for chunk in (0, -1, 1.5, "2"):
        with pytest.raises(GroupError, match="chunk must be a positive number"):
            ge.FrameAveraging(nn.Identity(), POINTS, chunk=chunk)
        with pytest.raises(GroupError, match="chunk must be a positive number"):
            ge.frame_averaging(POINTS, chunk=chunk)
    for count in (-2, 2.5, "2"):
        with pytest.raises(GroupError, match="num_samples must be a positive"):
            ge.GroupAveraging(nn.Identity(), POINTS, "SO(3)", num_samples=count)


@pytest.mark.parametrize("kind", ["frame", "minimal", "axial", "product", "draws"])
def test_a_point_without_an_axis_of_nodes(kind):
    with pytest.raises(BatchError, match=r"no axis of nodes.* A single point is a cloud of one: \[1, 3\]"):
        wrapper(kind)(torch.ones(3))
    assert wrapper(kind)(torch.ones(1, 3)).shape == (1, 3)


def test_what_is_no_model():
    with pytest.raises(SignatureError, match="A model is a module or a function; got None"):
        ge.FrameAveraging(None, POINTS)
    with pytest.raises(TypeError, match="can be decorated; got 3"):
        ge.frame_averaging(POINTS)(3)


def test_options_of_frames():
    made = ge.FrameAveraging(nn.Identity(), "x: node -> x: node", "S(5)", {"name": "sorting", "budget": 7})
    assert made.frame.budget == 7
    assert ge.FrameAveraging(nn.Identity(), POINTS, "T(3)*SO(2)@y", {"name": "weighted", "threshold": 0}).claims
    for frame, message in (
        ({"name": "sorting", "budjet": 7}, "Unknown option of frame 'sorting' 'budjet'. Did you mean 'budget'"),
        ({"name": "sort"}, "Unknown frame 'sort'. Did you mean 'sorting'"),
        ({}, "frame= takes a Frame or a name, got None"),
        (["sorting"], r"frame= takes a Frame or a name, got \['sorting'\]"),
        (ge.symmetrize.PCAFrame, r"got the class PCAFrame: build it \(PCAFrame\(group\)\)"),
        (dict, "got the class dict: it must be a subclass of geoequiv.symmetrize.Frame"),
    ):
        with pytest.raises(GroupError, match=message):
            ge.FrameAveraging(nn.Identity(), "x: node -> x: node", "S(5)", frame)
    with pytest.raises(GroupError, match="option of frame 'sorting' 'frame_from'"):
        ge.FrameAveraging(nn.Identity(), "x: node -> x: node", "S(5)", "sorting", frame_from=["x"])
