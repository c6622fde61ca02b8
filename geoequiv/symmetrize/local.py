"""Averaging where a node is: a layer averaged over the frames of each node's neighbourhood."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from geoequiv.errors import GroupError, SignatureError
from geoequiv.fields import Side, Signature, layout_of, read_inputs
from geoequiv.groups import Group
from geoequiv.ranges import PositiveInt, ProperFraction
from geoequiv.sharding import sharded
from geoequiv.symmetrize.frames.by_name import FrameSpec, frame_by_name
from geoequiv.symmetrize.frames.frame import cloud_name
from geoequiv.symmetrize.frames.options import Degenerate
from geoequiv.symmetrize.frames.parameters import with_parameters
from geoequiv.symmetrize.neighbourhoods import nearest_nodes
from geoequiv.symmetrize.symmetrizer import check, symmetrize
from geoequiv.symmetrize.wrappers import as_group, given


class LocalFrameAveraging(nn.Module):
    r"""A layer averaged, at each node, over the frames of that node's neighbourhood.

    .. math:: \Phi(x)_i = \frac{1}{|F(x_{N(i)})|} \sum_{g \in F(x_{N(i)})} \rho_\text{out}(g)\,
              f(\rho_\text{in}(g)^{-1} x_{N(i)}), \qquad N(i) = \text{the } k \text{ nodes nearest to } i

    The neighbourhoods are a batch of small clouds, nearest node first: the layer takes ``[M, k, …]`` and returns one
    value for each, ``[M, …]``. Its outputs become values at the nodes:

    >>> import torch, geoequiv as ge
    >>> torch.manual_seed(0); layer = nn.Sequential(nn.Flatten(), nn.Linear(5 * 3, 4 * 3))  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> local = ge.LocalFrameAveraging(layer, "pos: point -> v: vector*4 per graph", "SO(3)", neighbours=5)
    >>> local(pos=torch.randn(2, 30, 3)).shape
    torch.Size([2, 30, 12])
    >>> str(local.node_signature)
    'pos: point -> v: vector*4'

    Args:
        layer: any module or function of neighbourhoods.
        signature: of the layer: inputs per node, outputs per graph.
        group: O(3), SO(3), E(3) or SE(3), or the same in the plane. Neighbourhoods are the same under E and O; with
            translations the layer sees them about their centroid.
        neighbours: k, the node itself included.
        frame: as in ``FrameAveraging``, ``"pca"`` or ``"stochastic"`` (one element for each neighbourhood in training).
        chunk: largest number of frame elements in one call of the layer.
        degenerate, tolerance, frame_from: options of the frame (see ``FrameAveraging``).

    Raises:
        SignatureError: an output that is not per graph, an input that is not per node, or no point to be near to.
        BatchError: a cloud with fewer than k nodes.

    Exactness: round-off, for degenerate neighbourhoods too (flat, collinear, coincident, symmetric: their frames are
    orbits, see ``PCAFrame``), as long as it is determined which nodes are near: where two nodes are equally far at the
    k-th place, or in the order that the layer sees, an arbitrary one comes first. Discontinuous there, and where
    eigenvalues of a neighbourhood cross.

    Reference: Puny et al. 2022, section 4.1, whose FA-Local-PointNet averages over the frames of 20 neighbours.
    """

    def __init__(
        self,
        layer: Callable[..., Any],
        signature: str | Signature,
        group: str | Group = "E(3)",
        neighbours: PositiveInt = 20,
        frame: FrameSpec = "pca",
        chunk: int | None = None,
        degenerate: Degenerate | None = None,
        tolerance: ProperFraction | None = None,
        frame_from: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(neighbours, int) or neighbours < 1:
            raise GroupError(f"neighbours must be a positive number of nodes, got {neighbours!r}.")
        self.layer, self.neighbours, self.chunk = layer, neighbours, chunk
        self.signature = Signature.parse(signature)
        options = given(degenerate=degenerate, tolerance=tolerance, frame_from=frame_from)
        self.frame = with_parameters(frame_by_name(frame, as_group(group), **options))
        check(self.signature, self.frame, chunk)
        self.cloud = cloud_name(self.signature.inputs, self.frame.group)
        for name, kind in self.signature.inputs.items():
            if kind.rows not in (None, "node") or kind.kind in ("adjacency", "image"):
                raise SignatureError(f"A layer of neighbourhoods takes fields of nodes; input '{name}' is {kind}.")
        for name, kind in self.signature.outputs.items():
            if not kind.per_graph:
                raise SignatureError(
                    f"A layer of neighbourhoods gives each one value: output '{name}' must be '{kind} per graph'."
                )

    @property
    def group(self) -> Group:
        """The group that the averaged layer is equivariant to."""
        return self.frame.group

    @property
    def claims(self) -> str | None:
        """Name of that group if the average is exact, else ``None``."""
        return self.frame.group.name if self.frame.is_exact else None

    @property
    def node_signature(self) -> Signature:
        """The signature of this module: the layer's, with a value of each output at each node."""
        outputs = ((name, replace(kind, rows=None)) for name, kind in self.signature.outputs.items())
        return Signature(self.signature.inputs, Side(tuple(outputs)))

    def forward(self, fields: Mapping[str, Any] | None = None, /, **named: Any) -> Any:
        """Fields of the nodes by name (or as one dict), with ``mask`` or ``batch`` → what the layer returns, at nodes.

        Dense ``[*shape, N, …]`` or ragged ``[n, …]``; 0 at padding.
        """
        inputs, _ = read_inputs({**(fields or {}), **named}, self.signature)
        layout = layout_of(inputs, self.signature, self.group.dim, self.group.acts_on_space)
        near = nearest_nodes(inputs[self.cloud], layout, self.neighbours)
        lead = 1 if layout.is_ragged else len(layout.shape) + 1
        gathered = {name: inputs[name].flatten(0, lead - 1)[near] for name in self.signature.inputs}
        with sharded(None):  # its items are neighbourhoods
            found = symmetrize(
                self.layer, self.signature, self.frame, (), gathered, training=self.training, chunk=self.chunk
            )
        rows = inputs[self.cloud].shape[:lead]

        def spread(value: Any) -> Any:
            return at_nodes(value, rows, layout.mask) if isinstance(value, Tensor) and value.ndim else value

        return tree_map(spread, found)


def at_nodes(values: Tensor, rows: torch.Size, mask: Tensor | None) -> Tensor:
    """Values of the real nodes ``[M, …]`` at their places ``[*rows, …]``, 0 elsewhere."""
    if mask is None:
        return values.reshape(*rows, *values.shape[1:])
    return values.new_zeros(*rows, *values.shape[1:]).index_put((mask.expand(rows),), values)
