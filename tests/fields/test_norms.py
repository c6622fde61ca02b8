"""The size of fields per item: padding counts for nothing, and values per graph are not taken for nodes."""

import pytest
import torch

from geoequiv.errors import BatchError
from geoequiv.fields import Layout, Signature, check_finite, item_squares

POINTS, WHOLE = Signature.parse("x: vector -> x: vector"), Signature.parse("x: point -> y: vector per graph")
MASK = torch.tensor([[True, True, False], [True, False, False]])
ONES = torch.ones(2, 3, 3)


def test_dense_masked_and_ragged_clouds_agree():
    layout = Layout.of({"x": ONES, "mask": MASK}, POINTS.inputs)
    assert item_squares({"x": ONES}, POINTS.outputs, layout).tolist() == [6, 3]
    assert item_squares({"x": ONES}, POINTS.outputs, layout, ~MASK).tolist() == [3, 6]
    ragged = Layout.of({"x": ONES[MASK], "batch": torch.tensor([1, 1, 0])}, POINTS.inputs)
    assert item_squares({"x": ONES[MASK]}, POINTS.outputs, ragged).tolist() == [3, 6]
    both = Signature.parse("x: vector -> x: vector, z: vector")
    assert item_squares({"x": ONES, "z": 2 * ONES}, both.outputs, layout).tolist() == [30, 15]


def test_values_per_graph_are_told_by_their_type_where_the_shape_does_not():
    """A vector of each cloud, [2, 3], has the shape of the mask of clouds of three nodes."""
    layout = Layout.of({"x": ONES, "mask": MASK}, WHOLE.inputs)
    assert item_squares({"y": torch.ones(2, 3)}, WHOLE.outputs, layout).tolist() == [3, 3]
    of_nodes = Signature.parse("x: point -> y: scalar")
    assert item_squares({"y": torch.ones(2, 3)}, of_nodes.outputs, layout).tolist() == [2, 1]
    crossed = Layout.of({"x": torch.ones(2, 3), "batch": torch.tensor([1, 0])}, WHOLE.inputs)  # as many nodes as graphs
    y = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    assert item_squares({"y": y}, WHOLE.outputs, crossed).tolist() == [1, 4]
    assert item_squares({"y": y}, Signature.parse("x: point -> y: vector per node").outputs, crossed).tolist() == [4, 1]
    with pytest.raises(BatchError, match=r"as many rows as this batch has nodes and graphs.* 'y: vector per node' or"):
        item_squares({"y": y}, Signature.parse("x: point -> y: vector").outputs, crossed)


def test_rows_that_fit_nothing_are_named():
    layout = Layout.of({"x": torch.ones(3, 3), "batch": torch.tensor([0, 0, 1])}, WHOLE.inputs)
    with pytest.raises(BatchError, match="'y' has 3 rows, expected one for each of 2 graphs"):
        item_squares({"y": torch.ones(3, 3)}, WHOLE.outputs, layout)


def test_a_value_per_graph_that_is_not_finite_is_not_taken_for_padding():
    signature = Signature.parse("x: point, field: vector per graph -> x: point")
    fields = {"x": ONES, "field": torch.ones(2, 3), "mask": MASK}
    layout = Layout.of(fields, signature.inputs)
    check_finite(fields, signature.inputs, layout)
    check_finite({**fields, "x": ONES.masked_fill(~MASK[..., None], float("nan"))}, signature.inputs, layout)
    fields["field"][1, 2] = float("inf")
    with pytest.raises(BatchError, match="'field' is not finite in item 1"):
        check_finite(fields, signature.inputs, layout)
