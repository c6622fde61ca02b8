"""The size of a batch's fields, item by item."""

from collections.abc import Mapping
from math import prod

from torch import Tensor

from geoequiv.fields.layout import Layout
from geoequiv.fields.signature import Side


def item_squares(fields: Mapping[str, Tensor], side: Side, layout: Layout, mask: Tensor | None = None) -> Tensor:
    r"""Sum of the squares of all fields of each item, over all nodes that count, ``[items]``, in the fields' dtype.

    .. math:: s_b = \sum_\text{fields} \sum_{i \in b} \| y_i \|^2

    Args:
        fields: name → tensor of the batch; at least one.
        side: their types, which tell values per graph from values per node where the shapes do not.
        layout: of the batch.
        mask: dense only, ``[*shape, nodes]``: nodes that count; ``None`` takes the layout's.

    Raises:
        BatchError: ragged: a field whose rows are neither nodes, nor edges, nor graphs.
    """
    items, lead = prod(layout.shape), len(layout.shape)
    mask = layout.mask if mask is None else mask
    total: Tensor | None = None
    for name, value in fields.items():
        squares = value.square()
        if layout.batch is not None:
            rows = squares.flatten(1).sum(-1) if squares.ndim > 1 else squares
            index = layout.rows(value, 0, name, side[name])
            part = rows if index is None else rows.new_zeros(items).index_add(0, index, rows)
        else:
            if mask is not None and layout.has_node_axis(value, name, side[name]):
                squares = squares * mask.reshape(*mask.shape, *(1,) * (squares.ndim - lead - 1))
            part = squares.reshape(items, -1).sum(-1)
        total = part if total is None else total + part
    assert total is not None, "a signature has an output"
    return total
