"""The frame of S(n): the orders of the nodes of a graph, or of a set, that make it look least."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from geoequiv.errors import BatchError, GroupError, unknown
from geoequiv.fields import Layout, Side, item_text
from geoequiv.fields.layout import check_nodes
from geoequiv.groups import Element
from geoequiv.groups.permutation import PermutationGroup
from geoequiv.ranges import PositiveInt, ProperFraction
from geoequiv.symmetrize.frames.coset import Coset
from geoequiv.symmetrize.frames.diagnosis import read_fields
from geoequiv.symmetrize.frames.frame import Frame
from geoequiv.symmetrize.frames.mapped import is_mapped
from geoequiv.symmetrize.frames.options import Degenerate, check_degenerate, check_tolerance
from geoequiv.symmetrize.frames.refinement import is_discrete, refine
from geoequiv.symmetrize.frames.search import Found, search
from geoequiv.symmetrize.frames.structure import Structure

ON_BUDGET = ("error", "sample")


@dataclass(frozen=True, eq=False)
class SortingReport:
    """How the nodes of the graphs of a batch were ordered.

    Args:
        cells: number of cells after colour refinement, ``[*shape]``; n where it tells all nodes apart.
        automorphisms: number of relabellings that leave the item as it is, ``[*shape]`` float64: the number of
            elements of its frame. NaN where the order was drawn.
        orbits: number of orbits of nodes under them, ``[*shape]``.
        sampled: whether the search exceeded the budget and the order was drawn, ``[*shape]``.
    """

    cells: Tensor
    automorphisms: Tensor
    orbits: Tensor
    sampled: Tensor


@dataclass(frozen=True)
class SortingFrame(Frame):
    r"""The relabellings that bring a graph into its canonical order.

    .. math:: F(x) = \{ g \in S_n : g^{-1} x = c(x) \} = \mathrm{Aut}(x)\, g_0, \qquad
              \Phi(x) = P_{\mathrm{Aut}(x)}\, \rho(g_0)\, f(c(x))

    Nodes are sorted by everything that the inputs say about them: their own values in the order of the signature,
    entries on the diagonal, degrees, and then colour refinement (1-WL with edge weights). Where that leaves cells of
    several nodes, they are split by individualization and refinement: the order from which the adjacency is
    lexicographically least. All such orders show the model the same input, so that it is called once whatever the
    symmetry is, and its outputs are averaged over the graph's automorphisms in closed form, over orbits of nodes and of
    pairs of nodes.

    Inputs that take part: ``node`` and ``adjacency`` fields, and those of any other type with a value per node
    (numbers, positions, vectors: S(n) leaves their components alone, so that these tell nodes apart as well); in ragged
    batches ``edge_index`` and all that is given per edge. The mask takes part, what is masked out does not.

    Cost: n² log n per graph and round of refinement; graphs that refinement does not decide are searched together,
    level by level. Nodes that can change places while all others stay (hydrogens of a methyl group, isolated nodes, all
    of K_n) cost nothing; other symmetries as many rows as there are automorphisms modulo these. A graph may exceed any
    budget: strongly regular ones with n > 64, say.

    Args:
        group: S(n).
        degenerate: what to do about graphs with automorphisms: ``"orbit"`` averages over them as above, ``"error"``
            raises, ``"ignore"`` orders equivalent nodes as they are given, which is not equivariant.
        tolerance: relative to the largest absolute value of a field: values that so small steps join count as equal.
            ``None`` is 0: relabelling permutes numbers and changes none, so that the frame is exact without. Where
            equal values have come out of different sums, as coordinates that a frame around this one has rotated, give
            their round-off; equivariance then holds as far as the model does not tell such values apart.
        budget: largest number of open choices in the search of one graph.
        on_budget: ``"error"`` raises BatchError beyond it; ``"sample"`` draws: one branch at random from there on,
            anew at every call.
        generator: source of these draws; ``None`` is torch's global one.

    Exactness: bit for bit in the order, round-off in the averages over orbits. With ``on_budget="sample"``, graphs
    beyond the budget are averaged in expectation only (over random branches of the search). Models must not depend on
    the order of edges in ``edge_index``. Locally constant in x, so that gradients go through the model alone; where
    values change places in size the order changes, and the result jumps. At a graph with automorphisms gradients are
    those of the average over them all. ``torch.func.grad`` and ``torch.compile`` (with graph breaks) work through it,
    ``vmap`` does not: the search looks at values.

    Reference: McKay & Piperno, "Practical graph isomorphism, II" (2014), for the search; Puny et al. (ICLR 2022), §3.2,
    for frames of graphs.
    """

    degenerate: Degenerate = "orbit"
    tolerance: ProperFraction | None = None
    budget: PositiveInt = 5040
    on_budget: Literal["error", "sample"] = "error"
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.group, PermutationGroup):
            raise GroupError(
                f"Sorting frames are made for S(n); got {self.group}. For a product wrap twice: S(n) around the model "
                "first (with a tolerance), the isometries around that."
            )
        check_degenerate(self.degenerate)
        if self.on_budget not in ON_BUDGET:
            raise GroupError(unknown("value of on_budget", self.on_budget, ON_BUDGET))
        check_tolerance(self.tolerance)
        if self.budget < 1:
            raise GroupError(f"budget must be a positive number of open choices, got {self.budget}.")

    @property
    def is_exact(self) -> bool:
        return self.degenerate != "ignore" and self.on_budget == "error"

    def refined(self, fields: Mapping[str, Any], side: Side, layout: Layout) -> Structure:
        """Colours of nodes after refinement, and of pairs."""
        assert self.group.nodes is not None
        check_nodes(self.group.identity(), layout)
        found = Structure.of(fields, side, layout, self.group.nodes, self.group.dim, self.tolerance or 0.0)
        undecided = (~is_discrete(found.nodes)).nonzero().squeeze(1)
        if len(undecided) == 0:
            return found
        finer, _ = refine(found.nodes[undecided], found.pairs, undecided)
        return replace(found, nodes=found.nodes.index_put((undecided,), finer))

    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        if is_mapped(fields):
            raise BatchError("Sorting frames look at values, which vmap hides: pass the whole batch, as [B, n, n].")
        with torch.no_grad():
            structure = self.refined(fields, side, layout)
            found = None if self.degenerate == "ignore" else self.searched(structure)
            order = structure.nodes.argsort(dim=-1, stable=True) if found is None else found.order
        reference = fields[next(iter(side))]
        linear = torch.eye(self.group.dim, dtype=reference.dtype, device=reference.device)
        linear = linear.expand(1, *layout.shape, *linear.shape)
        order = order.reshape(1, *layout.shape, -1)
        if found is None or bool((found.automorphisms == 1).all()):
            return Element(linear, None, order), None
        n = order.shape[-1]
        if self.degenerate == "error":
            raise BatchError(self.symmetric(found.automorphisms, layout))
        pairs = found.pairs.reshape(*layout.shape, n, n)
        return Coset(linear, None, order, found.nodes.reshape(*layout.shape, n), pairs), None

    def searched(self, structure: Structure) -> Found:
        """Orders and orbits of all graphs of a batch, by search those that refinement leaves undecided."""
        count, n = structure.nodes.shape
        device = structure.nodes.device
        places = torch.arange(n, device=device)
        whole = Found(
            structure.nodes.argsort(-1),
            places.expand(count, n).contiguous(),
            (places.unsqueeze(-1) * n + places).expand(count, n, n).contiguous(),
            torch.ones(count, dtype=torch.float64, device=device),
            torch.zeros(count, dtype=torch.bool, device=device),
        )
        undecided = (~is_discrete(structure.nodes)).nonzero().squeeze(1)
        if len(undecided) == 0:
            return whole
        some = search(structure.nodes[undecided], structure.pairs[undecided], self.budget, self.generator)
        if self.on_budget == "error" and bool(some.over.any()):
            raise BatchError(
                f"Graph {int(undecided[some.over][0])} of the batch leaves more than {self.budget} open "
                "choices. Raise SortingFrame's budget, draw one of them with on_budget='sample', or give inputs that "
                "tell its nodes apart."
            )
        parts = ("order", "nodes", "pairs", "automorphisms", "over")
        return Found(*(getattr(whole, part).index_put((undecided,), getattr(some, part)) for part in parts))

    def symmetric(self, automorphisms: Tensor, layout: Layout) -> str:
        """Which item has how many automorphisms."""
        first = int((automorphisms != 1).nonzero()[0])
        item = item_text((automorphisms != 1).reshape(layout.shape).nonzero()[0].tolist())
        count = float(automorphisms[first])
        what = "more open choices than the budget of the search" if math.isnan(count) else f"{count:.15g} automorphisms"
        return (
            f"The graph of {item} has {what}: no order of its nodes is distinguished. degenerate='orbit' averages "
            "over them."
        )

    def diagnose(self, fields: Any, side: str | Side, layout: Layout | None = None) -> SortingReport:
        """Cells, automorphisms and orbits of each item.

        Args:
            fields: a dict of tensors, a PyG object, or the first input alone.
            side: types of the inputs, or their string.
        """
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        with torch.no_grad():
            structure = self.refined(fields, side, layout)
            found = self.searched(structure)
        shape = layout.shape
        return SortingReport(
            distinct(structure.nodes).reshape(shape),
            found.automorphisms.reshape(shape),
            distinct(found.nodes).reshape(shape),
            found.over.reshape(shape),
        )


def distinct(labels: Tensor) -> Tensor:
    """Number of different labels in each row, ``[B, n]`` to ``[B]``."""
    return 1 + (labels.sort(-1).values.diff(dim=-1) != 0).sum(-1)
