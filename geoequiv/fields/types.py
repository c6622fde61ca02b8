"""How one field transforms: the field types and their representations of isometries and relabellings."""

import re
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from geoequiv.errors import BatchError, SignatureError, shortened, unknown
from geoequiv.fields.pixels import GRID_GROUPS, permute_pixels
from geoequiv.fields.relabel import relabel
from geoequiv.groups import Element, Group
from geoequiv.groups.representations import irreps_matrix

#: kind → number of space indices
RANKS = {
    "scalar": 0, "pseudoscalar": 0, "vector": 1, "pseudovector": 1, "point": 1, "tensor": 2, "irreps": 1,
    "vector up to sign": 1, "label": 0, "node": 0, "adjacency": 0, "image": 0,
}  # fmt: skip
#: the type of outputs whose sign does not matter
UNSIGNED = "vector up to sign"
#: e3nn's spherical harmonics end there
LARGEST_DEGREE = 12
#: digits of a multiplicity or degree: more channels than any memory holds
DIGITS = 7
NAMES = [kind for kind in RANKS if kind != "irreps"]
PER = re.compile(r"\s+per\s+(node|edge|graph)\s*$")
#: what follows a type whose values mean the same with the other sign
UP_TO_SIGN = re.compile(r"\s+up\s+to\s+sign\s*$")
#: what the rows of a field are
Rows = Literal["node", "edge", "graph"]
IRREPS = re.compile(r"\s*(\d+\s*x\s*)?\d+[eo](\s*\+\s*(\d+\s*x\s*)?\d+[eo])*\s*")


@dataclass(frozen=True)
class FieldType:
    r"""How a field transforms under an isometry (R, t) of d-space, a relabelling p of n nodes, or both at once.

    ============== ================= =========================================
    kind           trailing shape    action
    ============== ================= =========================================
    scalar         ``[k]`` or none   :math:`s`
    pseudoscalar   ``[k]`` or none   :math:`\det(R)\, s`
    vector         ``[d]``           :math:`R v`
    pseudovector   ``[d]``           :math:`\det(R)\, R v`
    point          ``[d]``           :math:`R x + t`
    tensor         ``[d, d]``        :math:`R T R^\top`
    vector up to   ``[d]``           :math:`\pm R v`: v and −v mean the same,
    sign                             as the normals of a surface without sides
    irreps         ``[dim]``         :math:`D(R)\, f` (e3nn's basis; d = 3)
    label          ``[k]``           fixed: it names a position, as "left"
    node           ``[n, k]``        :math:`y_{p(i)} = x_i`
    adjacency      ``[n, n]``        :math:`Y_{p(i)p(j)} = X_{ij}`
    image          ``[C, H, W]``     permuted pixels; rotations by 90°, reflections
    ============== ================= =========================================

    **Relabelling.** The types above ``label`` live on nodes or on items: a field with an axis between the batch axes
    and its trailing shape has one value per node and is relabelled along that axis, any other belongs to the item and
    stays. A scalar has a free channel axis, so that ``[*batch, n]`` could be either: it is one number per node, unless
    n is the declared multiplicity (``scalar*5`` under S(5)). ``energy: scalar per graph`` says it: such a field has one
    value per cloud, whatever its shape, and models sum over nodes to give it; ``shift: vector per edge`` has one for
    each edge of a ragged batch. Isometries leave ``node`` and ``adjacency`` alone, relabellings leave ``image`` and
    ``label`` alone: where left and right are swapped, the node that was on the left takes the position labelled
    "right". To a network, labels are scalars. In ragged batches the rows are relabelled within each graph.

    Args:
        kind: one of the above. ``vector up to sign`` is for outputs: averages and errors take it as the projector
            :math:`v v^\top / \|v\|` (see ``fields.unsigned``).
        multiplicity: copies; ``vector*4`` is ``[4, d]``, or flat ``[4·d]``; ``scalar*8`` is ``[8]``; ``adjacency*4`` is
            ``[n, n, 4]``. ``node*8`` and ``image*3`` state k and C, which are free without.
        irreps: for kind ``irreps``, the e3nn string.
        rows: what has one value each: "node", "edge" or "graph" (written ``… per edge``). ``None``, where the signature
            does not say: nodes, or whole clouds where there are as many values as clouds.
    """

    kind: str
    multiplicity: int = 1
    irreps: str | None = None
    rows: Rows | None = None

    @classmethod
    def parse(cls, text: str) -> "FieldType":
        """``"point"``, ``"vector*4"``, ``"2x0e+1x1o"``, ``"scalar per graph"`` …

        Raises:
            SignatureError: for an unknown type, with the nearest one, or for nodes per graph.
        """
        stripped = text.strip().strip("\"'")
        per = PER.search(stripped)
        rows = None if per is None else cast(Rows, per[1])
        written = PER.sub("", stripped).strip().strip("\"'").strip()
        if any(len(number) > DIGITS for number in re.findall(r"\d+", written)):
            raise SignatureError(f"'{shortened(written)}': numbers in a field type have at most {DIGITS} digits.")
        if IRREPS.fullmatch(written):
            from e3nn.o3 import Irreps

            irreps = Irreps(written)
            if irreps.lmax > LARGEST_DEGREE:
                raise SignatureError(f"'{written}': irreps go up to l = {LARGEST_DEGREE}.")
            return cls("irreps", 1, str(irreps), rows)
        kind, star, count = (part.strip() for part in UP_TO_SIGN.sub("", written).partition("*"))
        kind += " up to sign" if UP_TO_SIGN.search(written) else ""
        if kind not in NAMES:
            raise SignatureError(unknown("field type", kind, NAMES) + " Or an e3nn irreps string such as '2x0e+1x1o'.")
        if star and not re.fullmatch(r"[1-9]\d*", count):
            raise SignatureError(f"The multiplicity in '{written}' must be a positive number, got '{count}'.")
        if rows not in (None, "node") and kind in ("node", "adjacency"):
            raise SignatureError(f"'{text.strip()}': a {kind} field has one value per node by its meaning.")
        return cls(kind, int(count) if star else 1, None, rows)

    def __str__(self) -> str:
        copies = "" if self.multiplicity == 1 else f"*{self.multiplicity}"
        kind, up_to_sign, _ = self.kind.partition(" up to sign")
        return (self.irreps or kind + copies + up_to_sign) + (f" per {self.rows}" if self.rows else "")

    @property
    def per_graph(self) -> bool:
        """Whether a cloud has one value."""
        return self.rows == "graph"

    @property
    def per_edge(self) -> bool:
        """Whether each edge has one value."""
        return self.rows == "edge"

    @property
    def rank(self) -> int:
        """Number of axes of length d that carry the representation (0 for all types without one)."""
        return RANKS[self.kind]

    @property
    def translates(self) -> bool:
        """Whether translations act on it."""
        return self.kind == "point"

    @property
    def is_scalar(self) -> bool:
        """Whether no rotation changes it (a pseudoscalar changes sign under improper elements)."""
        return self.kind in ("scalar", "pseudoscalar", "label")

    def size(self, dim: int = 3) -> int:
        """Number of components per node (per pair, per pixel) in d-space."""
        if self.irreps is not None:
            from e3nn.o3 import Irreps

            return Irreps(self.irreps).dim
        return self.multiplicity * dim**self.rank

    def trailing(self, values: Tensor, dim: int, name: str) -> int:
        """Number of trailing axes of ``values`` that belong to the type, its copies included.

        Raises:
            BatchError: if the trailing shape is not that of the type.
        """
        if self.is_scalar:
            return 0
        shape = tuple(values.shape)
        if self.rank == 0:
            return self._own_axes(shape, name)
        if self.irreps is not None:
            allowed: list[tuple[int, ...]] = [(self.size(),)]
        else:
            core = (dim,) * self.rank
            allowed = [core] if self.multiplicity == 1 else [(self.multiplicity, *core), (self.size(dim),)]
        for core in allowed:
            if shape[len(shape) - len(core) :] == core:
                return len(core)
        wanted = " or ".join(str(["...", *core]).replace("'", "") for core in allowed)
        raise BatchError(f"Field '{name}' is a {self}: expected shape {wanted} in {dim}-space, got {list(shape)}.")

    def _own_axes(self, shape: tuple[int, ...], name: str) -> int:
        """``trailing`` of node, adjacency and image; the (first) node axis does not count."""
        k = self.multiplicity
        if self.kind == "node":
            fits, wanted, axes = len(shape) > 1 and k in (1, shape[-1]), f"n, {k if k > 1 else 'k'}", 1
        elif self.kind == "image":
            fits, wanted, axes = len(shape) > 2 and k in (1, shape[-3]), f"{k if k > 1 else 'C'}, H, W", 3
        else:
            axes = 1 if k == 1 else 2
            square = len(shape) > axes and shape[-axes - 1] == shape[-axes]
            fits, wanted = square and k in (1, shape[-1]), "n, n" if k == 1 else f"n, n, {k}"
        if not fits:
            article = "a" if self.kind == "node" else "an"
            raise BatchError(f"Field '{name}' is {article} {self}: expected shape [..., {wanted}], got {list(shape)}.")
        return axes

    def lead(self, values: Tensor, dim: int, name: str) -> tuple[int, ...]:
        """Lengths of the batch axes and, last, of the node axis; what is per graph counts as a cloud of one node."""
        lead = tuple(values.shape)[: values.ndim - self.trailing(values, dim, name)]
        return (*lead, 1) if self.kind == "image" or self.per_graph else lead

    def node_axes(self, values: Tensor, items: int, nodes: int, dim: int, name: str) -> tuple[int, ...]:
        """The axes that a relabelling of ``nodes`` nodes permutes, after ``items`` batch axes (see the class).

        Raises:
            BatchError: if such an axis has another length, or is missing where the type has to have one.
        """
        after = values.ndim - items
        axes: tuple[int, ...]
        if self.kind in ("image", "label") or self.rows in ("graph", "edge") or after <= 0:
            axes = ()
        elif self.is_scalar:
            alone = after == 1 and (values.shape[items] != nodes or self.multiplicity == nodes)
            axes = () if alone else (items,)
        else:
            axis = values.ndim - self.trailing(values, dim, name) - 1
            axes = () if axis < items else (axis, axis + 1) if self.kind == "adjacency" else (axis,)
        if not axes and self.kind in ("node", "adjacency"):
            raise BatchError(f"Field '{name}' of shape {list(values.shape)} has no node axis after {items} batch axes.")
        if axes and values.shape[axes[0]] != nodes:
            raise BatchError(
                f"Field '{name}' of shape {list(values.shape)} has {values.shape[axes[0]]} nodes (axis {axes[0]}); "
                f"the group relabels {nodes}."
            )
        return axes

    def check_group(self, group: Group, name: str) -> None:
        """Raise SignatureError if the group cannot act on this type."""
        if self.kind == "image" and not group.permutes_pixels:
            raise SignatureError(
                f"Field '{name}': {GRID_GROUPS}; {group} acts on {group.dim}-space and does not map pixels to pixels."
            )
        if self.irreps is not None and group.dim != 3:
            raise SignatureError(f"Field '{name}': irreps {self} live in 3-space; {group} acts on {group.dim}-space.")

    def act(self, element: Element, values: Tensor, name: str = "field", items: int | None = None) -> Tensor:
        """ρ(g) on the values of this type.

        Args:
            element: batch shape ``S``; cast to the values' dtype (irreps: once their matrices are formed, in float64).
            values: ``[*S, ..., *trailing]``; axes of ``element`` of length 1 broadcast.
            name: for messages.
            items: number of leading axes of ``values`` that tell items (and copies of them) apart, for relabelling;
                ``None`` takes the number of axes of S.

        Returns:
            Tensor of the values' shape. Exactness: round-off.
        """
        if element.permutation is not None:
            items = len(element.shape) if items is None else items
            for axis in self.node_axes(values, items, element.permutation.shape[-1], element.dim, name):
                values = relabel(values, element.permutation, axis)
        if self.kind in ("scalar", "label"):
            return values
        trailing = self.trailing(values, element.dim, name)
        lead = len(element.shape)
        if values.ndim - trailing < lead:
            raise BatchError(
                f"Field '{name}' of shape {list(values.shape)} has no room for group elements of batch shape "
                f"{list(element.shape)} before its {trailing} trailing axes."
            )
        if self.kind == "image":
            return permute_pixels(element, values, name)
        if self.rank == 0 and not self.is_scalar:
            return values
        if self.irreps is not None:
            matrix = irreps_matrix(self.irreps, element.linear).to(values)
            return rows_times(values, matrix, lead)
        element = element.to(values)
        if self.kind == "pseudoscalar":
            return values * element.det.reshape(element.shape + (1,) * (values.ndim - lead))
        core = (element.dim,) * self.rank
        whole = values.reshape(*values.shape[: values.ndim - trailing], -1, *core)  # copies side by side
        result = rows_times(whole, element.linear, lead)
        if self.kind == "tensor":
            result = rows_times(result.mT, element.linear, lead).mT
        elif self.kind == "pseudovector":
            result = result * element.det.reshape(element.shape + (1,) * (result.ndim - lead))
        elif self.kind == "point" and element.translation is not None:
            shape = element.shape + (1,) * (result.ndim - lead - 1) + (element.dim,)
            result = result + element.translation.reshape(shape)
        return result.reshape(*result.shape[: result.ndim - self.rank - 1], *values.shape[values.ndim - trailing :])


def rows_times(values: Tensor, matrix: Tensor, lead: int) -> Tensor:
    """``values @ matrixᵀ`` with the matrix's ``lead`` batch axes aligned to the leading axes of ``values``.

    Args:
        values: ``[*S, ..., a]``; ``matrix``: ``[*S, b, a]``; lengths of 1 in either S broadcast.

    Returns:
        ``[*S, ..., b]``, by one (batched) matrix product.
    """
    while lead and matrix.shape[lead - 1] == 1:  # one matrix for the whole axis: a larger, faster product
        lead -= 1
        matrix = matrix.squeeze(lead)
    if lead == 0:
        return values @ matrix.mT
    flat = values.reshape(*values.shape[:lead], -1, values.shape[-1])
    product = torch.matmul(flat, matrix.mT)
    return product.reshape(*product.shape[:lead], *values.shape[lead:-1], matrix.shape[-2])
