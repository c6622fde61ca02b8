r"""The projective geometric algebra G(3,0,1): its bilinear products as tables.

A multivector has 16 components: the eight of Cl(3), then the same ones times :math:`e_0`, where :math:`e_0^2 = 0`:

    ===== ====== ========= ============== ====== ======= =============== ======
    index 0      1–3       4–6            7      8       9–15
    blade 1      e1 e2 e3  e23 e31 e12    e123   e0      e0·e1 … e0·e123
    ===== ====== ========= ============== ====== ======= =============== ======

Tensors hold components first and tokens last, ``[16, ..., channels, tokens]``: a component is then one slab of memory,
and a product is a vectorised operation on slabs for each of its terms.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

#: blades of Cl(3) as factors, in the order of the components
SPATIAL = ((), (1,), (2,), (3,), (2, 3), (3, 1), (1, 2), (1, 2, 3))
#: grade of each component of Cl(3); those that e0 is multiplied to are one grade higher
GRADES = tuple(len(blade) for blade in SPATIAL)
BLADES = SPATIAL + tuple((0, *blade) for blade in SPATIAL)
INDEX = {tuple(sorted(blade)): component for component, blade in enumerate(BLADES)}
TERMS = 8  # that are summed as slabs, before the sums are put together

Product = dict[tuple[int, int], tuple[int, int]]  # (left, right) → (result, sign)


def sorted_blade(factors: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Sign and sorted factors of a product of basis vectors; sign 0 if e0 is in it twice."""
    sign, rest = 1, list(factors)
    for end in range(len(rest) - 1, 0, -1):
        for at in range(end):
            if rest[at] > rest[at + 1]:
                rest[at], rest[at + 1] = rest[at + 1], rest[at]
                sign = -sign
    kept: list[int] = []
    for factor in rest:
        if kept and kept[-1] == factor:
            kept.pop()
            sign = 0 if factor == 0 else sign
        else:
            kept.append(factor)
    return sign, tuple(kept)


def blade_product(left: int, right: int) -> tuple[int, int]:
    """Component and sign of a product of two basis blades; sign 0 if it vanishes."""
    sign, blade = sorted_blade(BLADES[left] + BLADES[right])
    return INDEX[blade], sign * sorted_blade(BLADES[INDEX[blade]])[0]


def geometric_product() -> Product:
    """The 192 terms of the geometric product."""
    every = {(a, b): blade_product(a, b) for a in range(16) for b in range(16)}
    return {pair: term for pair, term in every.items() if term[1]}


def join() -> Product:
    r"""The 81 terms of :math:`x \vee y = J^{-1}(J x \wedge J y)`, where :math:`E \wedge J E = e_{0123}`."""
    dual = {}
    for component, blade in enumerate(BLADES):
        other = INDEX[tuple(sorted({0, 1, 2, 3} - set(blade)))]
        dual[component] = (other, blade_product(component, other)[1])
    back = {other: (component, sign) for component, (other, sign) in dual.items()}
    terms = {}
    for a, (left, sign_a) in dual.items():
        for b, (right, sign_b) in dual.items():
            if not set(BLADES[left]) & set(BLADES[right]):
                wedge, sign = blade_product(left, right)
                component, sign_back = back[wedge]
                terms[a, b] = (component, sign * sign_a * sign_b * sign_back)
    return terms


@dataclass(frozen=True)
class Table:
    """A bilinear map as gathers of slabs: sums of ``TERMS`` products each, then sums of those sums.

    Args:
        left: ``[TERMS · sums]``, the left factor of each product.
        right: the same of the right one, among the right factors, their negatives (from 16) and zero (32).
        components: ``[16, sums]``, the component of each sum, one-hot.
    """

    left: Tensor
    right: Tensor
    components: Tensor

    @classmethod
    def of(cls, terms: list[tuple[int, int, int, int]]) -> "Table":
        """From (left, right, result, sign)."""
        left, right, components = [], [], []
        for component in range(16):
            mine = [(a, b + 16 * (sign < 0)) for a, b, result, sign in terms if result == component]
            for start in range(0, len(mine), TERMS):
                some = mine[start : start + TERMS]
                some += [(0, 32)] * (TERMS - len(some))
                left.append([a for a, _ in some])
                right.append([b for _, b in some])
                components.append(component)
        ones = torch.zeros(16, len(components))
        ones[torch.tensor(components), torch.arange(len(components))] = 1.0
        return cls(torch.tensor(left).T.flatten(), torch.tensor(right).T.flatten(), ones)

    def to(self, device: torch.device) -> "Table":
        """The same on another device."""
        return Table(self.left.to(device), self.right.to(device), self.components.to(device))

    def __call__(self, left: Tensor, right: Tensor) -> Tensor:
        """``[16, ...]`` and ``[16, ...]``, which broadcast → ``[16, ...]``."""
        signed = torch.cat([right, -right, torch.zeros_like(right[:1])])
        products = left.index_select(0, self.left) * signed.index_select(0, self.right)
        sums = products.unflatten(0, (TERMS, -1)).sum(0)
        return (self.components.to(sums) @ sums.flatten(1)).unflatten(1, sums.shape[1:])


Terms = tuple[tuple[int, int, int, int], ...]  # (left, right, result, sign)


@cache
def terms(name: str) -> tuple[Terms, Terms, Terms]:
    """The product ("geometric" or "join") and its transposes: (result, right) → left, (left, result) → right."""
    product = {"geometric": geometric_product, "join": join}[name]()
    plain = tuple((a, b, component, sign) for (a, b), (component, sign) in product.items())
    return plain, tuple((p, b, a, sign) for a, b, p, sign in plain), tuple((a, p, b, sign) for a, b, p, sign in plain)


@cache
def table(name: str, which: int, device: torch.device) -> Table:
    """One of the `terms` as a table."""
    with torch.inference_mode(False):
        return Table.of(list(terms(name)[which])).to(device)


def term_by_term(left: Tensor, right: Tensor, some: Terms, into: Tensor) -> None:
    """Add the terms to ``into``, one fused multiply-add on slabs each: no intermediates, the fastest on a CPU."""
    lefts, rights, results = left.unbind(0), right.unbind(0), into.unbind(0)
    for a, b, component, sign in some:
        results[component].addcmul_(lefts[a], rights[b], value=sign)


def products(left: Tensor, right: Tensor, names: tuple[str, ...], which: int) -> Tensor:
    """`bilinear` without derivatives: term by term on a CPU, by tables on a GPU, where 192 launches are expensive."""
    banks = zip(names, left.unbind(1), right.unbind(1), strict=True)
    if left.device.type != "cpu":
        return torch.stack([table(name, which, left.device)(a, b) for name, a, b in banks], dim=1)
    result = left.new_zeros(torch.broadcast_shapes(left.shape, right.shape))
    for (name, a, b), into in zip(banks, result.unbind(1), strict=True):
        term_by_term(a, b, terms(name)[which], into)
    return result


class Bilinear(torch.autograd.Function):
    """`products` whose derivatives are its transposes: keeps the two factors and no products."""

    generate_vmap_rule = True

    @staticmethod
    def forward(left: Tensor, right: Tensor, names: tuple[str, ...], which: int) -> Tensor:
        return products(left, right, names, which)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        left, right, ctx.names, ctx.which = inputs
        ctx.save_for_backward(left, right)
        ctx.save_for_forward(left, right)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        left, right = ctx.saved_tensors
        # the three are T(left, right) → result, T(result, right) → left, T(left, result) → right
        of_left, of_right = {
            0: ((grad, right, 1), (left, grad, 2)),
            1: ((grad, right, 0), (grad, left, 2)),
            2: ((right, grad, 1), (left, grad, 0)),
        }[ctx.which]
        wanted = []
        for (first, second, which), factor, needed in zip(
            (of_left, of_right), (left, right), ctx.needs_input_grad[:2], strict=True
        ):
            found = bilinear(first, second, ctx.names, which) if needed else None
            wanted.append(None if found is None else found.sum_to_size(factor.shape))
        return wanted[0], wanted[1], None, None

    @staticmethod
    def jvp(ctx: Any, left: Tensor | None, right: Tensor | None, *_: None) -> Tensor:
        was_left, was_right = ctx.saved_tensors
        parts = [] if left is None else [bilinear(left, was_right, ctx.names, ctx.which)]
        parts += [] if right is None else [bilinear(was_left, right, ctx.names, ctx.which)]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]


#: what a compiled graph takes: its compiler fuses the gathers and derives the transposes
PLAIN = {name: Table.of(list(terms(name)[0])) for name in ("geometric", "join")}


def bilinear(left: Tensor, right: Tensor, names: tuple[str, ...], which: int = 0) -> Tensor:
    """Products of multivectors, or their transposes.

    Args:
        left: ``[16, banks, ...]``.
        right: ``[16, banks, ...]``, broadcasts with ``left`` after the second axis.
        names: of each bank, "geometric" or "join".
        which: 0 the product, 1 its transpose towards the left factor, 2 towards the right one.
    """
    if torch.compiler.is_compiling() and which == 0:  # Dynamo refuses functions with a forward derivative of their own
        banks = zip(names, left.unbind(1), right.unbind(1), strict=True)
        return torch.stack([PLAIN[name].to(left.device)(a, b) for name, a, b in banks], dim=1)
    result: Tensor = Bilinear.apply(left, right, names, which)
    return result
