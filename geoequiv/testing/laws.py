"""Laws of groups and of frames as tests, for users' own groups and frames."""

from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import Layout, Signature, act
from geoequiv.fields.graphs import graph_fields, is_graph
from geoequiv.groups import Element, Group, compose, inverse
from geoequiv.groups import group as group_by_name
from geoequiv.metrics import describe_element
from geoequiv.symmetrize import Frame


def assert_group_axioms(
    group: str | Group,
    num_samples: int = 8,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-9,
) -> None:
    """Raise AssertionError unless draws of a group keep the laws of one.

    Checked on M draws: they, their products, inverses and the identity belong to the group (``contains``); ``compose``
    is associative and has the identity and inverses; the list of a finite group (up to order 200) holds ``order``
    different elements, the identity first, and is closed under products.

    Args:
        group: a ``Group`` or its name.
        num_samples: M.
        generator: source of the draws; ``None`` draws with a fixed seed.
        tolerance: largest difference of an entry that still counts as equal.

    Exactness: a counterexample is a proof, the lack of one is not.
    """
    tested = group_by_name(group)
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    f, g, h = (tested.sample(num_samples, generator=generator) for _ in range(3))
    one = tested.identity(num_samples)
    for name, elements in (
        ("a draw", f), ("the product of two draws", compose(f, g)), ("the inverse of a draw", inverse(f)),
        ("the identity", one),
    ):  # fmt: skip
        inside = tested.contains(elements)
        if not bool(inside.all()):
            bad = int((~inside).nonzero()[0])
            raise AssertionError(f"{tested}: {name} does not belong to the group: {describe_element(elements[bad])}.")
    for law, a, b in (
        ("(f g) h = f (g h)", compose(compose(f, g), h), compose(f, compose(g, h))),
        ("f 1 = f", compose(f, one), f),
        ("1 f = f", compose(one, f), f),
        ("f f⁻¹ = 1", compose(f, inverse(f)), one),
        ("f⁻¹ f = 1", compose(inverse(f), f), one),
    ):
        gap = (coordinates(a, tested.nodes) - coordinates(b, tested.nodes)).abs().amax(-1)
        if float(gap.max()) > tolerance:
            bad = int(gap.argmax())
            raise AssertionError(f"{tested}: {law} fails by {float(gap[bad]):.1e} for f = {describe_element(f[bad])}.")
    if tested.is_finite and tested.order is not None and tested.order <= 200:
        check_list(tested, tolerance)


def check_list(tested: Group, tolerance: float) -> None:
    """Raise AssertionError unless the list of a finite group is one."""
    listed = tested.elements()
    if len(listed) != tested.order:
        raise AssertionError(f"{tested} lists {len(listed)} elements and says that its order is {tested.order}.")
    places = coordinates(listed, tested.nodes)
    first = coordinates(tested.identity(1), tested.nodes)
    if float((places[:1] - first).abs().max()) > tolerance:
        raise AssertionError(f"{tested}: the first element listed is {describe_element(listed[0])}, not the identity.")
    count = len(listed)
    products = compose(listed.reshape(count, 1), listed.reshape(1, count)).reshape(count * count)
    hits = (torch.cdist(coordinates(products, tested.nodes), places, p=float("inf")) < 1e3 * tolerance).sum(-1)
    if bool((hits != 1).any()):
        bad = int((hits != 1).nonzero()[0])
        raise AssertionError(
            f"{tested}: the product {describe_element(products[bad])} is listed {int(hits[bad])} times; it must "
            "be listed once."
        )


def assert_frame_laws(
    frame: Frame,
    inputs: Any,
    signature: str | Signature,
    num_samples: int = 4,
    generator: torch.Generator | None = None,
    tolerance: float = 1e-6,
) -> None:
    r"""Raise AssertionError unless a frame is an equivariant, normalised set of group elements.

    .. math:: F(g x) = g F(x) \quad \text{(as weighted sets)}, \qquad F(x) \subset G, \qquad \sum_i w_i = 1

    Args:
        frame: a ``Frame``, asked in evaluation mode.
        inputs: a dict of tensors (dense or ragged) or a PyG object; float64 is best.
        signature: whose inputs the frame reads.
        num_samples: group elements that the inputs are transformed by.
        generator: source of the draws; ``None`` draws with a fixed seed.
        tolerance: largest difference of an entry (a translation: relative to the largest coordinate) or of a weight
            that still counts as equal.

    Exactness: a frame that is only exact as an average (draws, quadrature) or takes an arbitrary member of a family on
    a symmetric cloud fails here, as it should.
    """
    side = Signature.parse(signature).inputs
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    here, weights = ask(frame, inputs, side)
    inside = frame.group.contains(here, tolerance)
    if not bool(inside.all()):
        place = (~inside).nonzero()[0].tolist()
        raise AssertionError(
            f"Element {place[0]} of the frame of item {place[1:]} is not in {frame.group}: "
            f"{describe_element(here[tuple(place)])}."
        )
    off = float((weights.sum(0) - 1).abs().max())
    if off > tolerance:
        raise AssertionError(f"The weights of a frame add up to one, these are off by {off:.1e}.")
    for g in (frame.group.sample(generator=generator) for _ in range(num_samples)):
        transformed = act(g, inputs, side)
        there, other_weights = ask(frame, transformed, side)
        a = coordinates(compose(g.reshape(1, *(1,) * (len(here.shape) - 1)), here), frame.group.nodes)
        b = coordinates(there, frame.group.nodes)
        scale = b.abs().amax().clamp_min(1.0)
        compare_sets(a.flatten(1, -2), b.flatten(1, -2), weights.flatten(1), other_weights.flatten(1),
                     float(tolerance * scale), tolerance, describe_element(g))  # fmt: skip


def ask(frame: Frame, inputs: Any, side: Any) -> tuple[Element, Tensor]:
    """Elements ``[F, *items]`` and weights ``[F, *items]`` of a frame, in float64."""
    fields = graph_fields(inputs) if is_graph(inputs) else inputs
    layout = Layout.of(fields, side, frame.group.dim)
    with torch.no_grad():
        elements, weights = frame(fields, side, layout)
    count = len(elements)
    elements = elements.to(torch.float64).expand(count, *layout.shape)
    if weights is None:
        weights = torch.full((count, *layout.shape), 1 / count, dtype=torch.float64)
    return elements, weights.double().expand(count, *layout.shape)


def compare_sets(a: Tensor, b: Tensor, u: Tensor, v: Tensor, near: float, tolerance: float, words: str) -> None:
    """Raise AssertionError unless ``[F, n, k]`` elements with weights ``[F, n]`` are the same weighted sets."""
    for item in range(a.shape[1]):
        points = torch.cat([a[:, item], b[:, item]])
        same = torch.cdist(points, points, p=float("inf")) <= near
        signed = torch.cat([u[:, item], -v[:, item]])
        off = (same.double() @ signed).abs()
        if float(off.max()) > tolerance:
            where = "g F(x)" if int(off.argmax()) < len(a) else "F(gx)"
            raise AssertionError(
                f"F(gx) = g F(x) fails on item {item} for g = {words}: an element of {where} has weight "
                f"{float(off.max()):.2g} more or less than in the other."
            )


def coordinates(g: Element, nodes: int | None) -> Tensor:
    """Numbers that tell elements apart, ``[..., k]`` float64."""
    translation = torch.zeros(*g.shape, g.dim, dtype=torch.float64) if g.translation is None else g.translation.double()
    parts = [g.linear.double().flatten(-2), translation.expand(*g.shape, -1)]
    if nodes is not None:
        labels = torch.arange(nodes).expand(*g.shape, nodes) if g.permutation is None else g.permutation
        parts.append(labels.double())
    return torch.cat(parts, -1)
