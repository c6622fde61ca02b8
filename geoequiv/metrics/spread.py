"""The scale of outputs in relative errors: what is invariant counts with its spread over items, not with its offset."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from geoequiv.fields import FieldType, Layout, Side

#: Types that no isometry changes.
INVARIANT = ("scalar", "label", "node", "adjacency")
#: A spread below this many units of round-off of the values is not resolved.
RESOLVED = 10.0


def spread_factors(outputs: Sequence[Mapping[str, Tensor]], side: Side, layouts: Sequence[Layout]) -> dict[str, float]:
    r"""Spread over size of the invariant part of each output, for the scale of relative errors.

    .. math:: \phi = \sqrt{\operatorname{mean} \|y - \bar y\|^2 \,/\, \operatorname{mean} \|y\|^2} \le 1

    An energy of −4·10⁵ that varies by 5 has φ ≈ 10⁻⁵: an error of 5 is large, though small beside the energy. Means are
    over the items; values on nodes of dense clouds without a mask are compared node by node, others with all nodes.

    Args:
        outputs: by name, of each part of a batch.
        side: their types.
        layouts: of the parts.

    Returns:
        φ of the outputs that have an invariant part; 1 for a single item, and where the spread is below round-off.
    """
    factors = {}
    for name, kind in side.items():
        rows = [rows_of(invariant_part(kind, part[name], name), name, kind, layout)
                for part, layout in zip(outputs, layouts, strict=True) if has_invariants(kind)]  # fmt: skip
        if not rows:
            continue
        if len({row.shape[1:] for row in rows}) > 1:  # clouds of different size in the parts
            rows = [row.reshape(-1, 1) for row in rows]
        values = torch.cat(rows)
        size = float(values.square().mean().sqrt())
        spread = float((values - values.mean(0)).square().mean().sqrt())
        eps = torch.finfo(outputs[0][name].dtype).eps
        factors[name] = spread / size if len(values) > 1 and spread > RESOLVED * eps * size else 1.0
    return factors


def scale_invariants(outputs: Mapping[str, Tensor], side: Side, factors: Mapping[str, float]) -> dict[str, Tensor]:
    """Outputs whose invariant parts are multiplied by their factors."""
    scaled = dict(outputs)
    for name, factor in factors.items():
        if factor != 1.0:
            wide = outputs[name].double()
            scaled[name] = wide - (1.0 - factor) * invariant_part(side[name], wide, name)
    return scaled


def has_invariants(kind: FieldType) -> bool:
    """Whether a field has a part that no isometry changes."""
    if kind.irreps is not None:
        from e3nn.o3 import Irreps

        return any(irrep.l == 0 and irrep.p == 1 for _, irrep in Irreps(kind.irreps))
    return kind.kind in (*INVARIANT, "tensor")


def invariant_part(kind: FieldType, values: Tensor, name: str) -> Tensor:
    """Projection of a field that has one to its invariant part: scalars, traces, 0e."""
    if kind.irreps is not None:
        from e3nn.o3 import Irreps

        kept = [float(irrep.l == 0 and irrep.p == 1) for copies, irrep in Irreps(kind.irreps)
                for _ in range(copies * irrep.dim)]  # fmt: skip
        return values * values.new_tensor(kept)
    if kind.kind != "tensor":
        return values
    dim = 2 if values.shape[-1] in (2, 4 * kind.multiplicity) else 3
    lead = values.ndim - kind.trailing(values, dim, name)
    matrices = values.reshape(*values.shape[:lead], -1, dim, dim)
    trace = matrices.diagonal(dim1=-2, dim2=-1).mean(-1)
    return (trace[..., None, None] * torch.eye(dim, dtype=values.dtype, device=values.device)).reshape(values.shape)


def rows_of(values: Tensor, name: str, kind: FieldType, layout: Layout) -> Tensor:
    """Values ``[rows, columns]`` in float64, of which rows are compared: items, or nodes that count."""
    values = values.double()
    if layout.is_ragged:
        return values.reshape(len(values), -1)
    lead, mask = len(layout.shape), layout.mask
    if mask is not None and layout.has_node_axis(values, name, kind):
        return values[mask].reshape(int(mask.sum()), -1)
    if lead == 0 and values.ndim > 1:  # a single cloud: its nodes
        return values.reshape(len(values), -1)
    items = int(torch.tensor(layout.shape).prod()) if lead else 1
    return values.reshape(items, -1)
