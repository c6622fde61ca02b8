"""Elements of a group of isometries and relabellings: frozen values with a batch shape."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import GroupError


@dataclass(frozen=True, eq=False)
class Element:
    r"""A batch of isometries of d-space, of relabellings of n nodes, or of both at once.

    .. math:: x \mapsto x R^\top + t \qquad \text{(row vectors, active)}, \qquad
              \text{node } i \text{ becomes node } p(i): \; (g x)_{p(i)} = R x_i + t

    Args:
        linear: orthogonal matrices R, ``[..., d, d]``.
        translation: t, ``[..., d]``, in the unit of the coordinates; ``None`` stands for zero.
        permutation: p, ``[..., n]`` int64: entry i is the position that node i is permuted *to* (so rows are gathered
            with the inverse, ``y = x[p⁻¹]``); ``None`` relabels nothing.

    Laws (property-tested): ``compose`` is associative, applies its second argument first, and
    ``compose(g, inverse(g))`` is the identity.
    """

    linear: Tensor
    translation: Tensor | None = None
    permutation: Tensor | None = None

    def __post_init__(self) -> None:
        if self.linear.ndim < 2 or self.linear.shape[-1] != self.linear.shape[-2]:
            raise GroupError(f"linear part must be [..., d, d], got shape {list(self.linear.shape)}.")
        if self.translation is not None and self.translation.shape != self.linear.shape[:-1]:
            raise GroupError(
                f"translation must be {list(self.linear.shape[:-1])} to go with a linear part of shape "
                f"{list(self.linear.shape)}, got {list(self.translation.shape)}."
            )
        if self.permutation is not None and (
            self.permutation.shape[:-1] != self.shape or self.permutation.dtype != torch.int64
        ):
            raise GroupError(
                f"permutation must be int64 {[*self.shape, 'n']} to go with a linear part of shape "
                f"{list(self.linear.shape)}, got {self.permutation.dtype} {list(self.permutation.shape)}."
            )

    @property
    def shape(self) -> torch.Size:
        """Batch shape."""
        return self.linear.shape[:-2]

    @property
    def dim(self) -> int:
        """Dimension d of the space acted on."""
        return self.linear.shape[-1]

    @property
    def nodes(self) -> int | None:
        """Number n of nodes relabelled; ``None`` where there is no permutation."""
        return None if self.permutation is None else self.permutation.shape[-1]

    @property
    def det(self) -> Tensor:
        """Sign of the determinant of the linear part, ``[...]``: +1 for proper elements, -1 for improper ones."""
        return torch.linalg.det(self.linear).sign()

    def _each(self, change: Callable[[Tensor, int], Tensor]) -> "Element":
        """Another view of every part, by ``change(part, number of its trailing axes)``."""
        parts = ((self.linear, 2), (self.translation, 1), (self.permutation, 1))
        linear, *others = (None if part is None else change(part, axes) for part, axes in parts)
        assert linear is not None
        return Element(linear, *others)

    def __getitem__(self, index: Any) -> "Element":
        """Select along the batch shape; ``index`` must leave the trailing matrix axes alone."""
        return self._each(lambda part, _: part[index])

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a single group element has no length")
        return self.shape[0]

    def reshape(self, *shape: int) -> "Element":
        """The same elements under another batch shape."""
        return self._each(lambda part, axes: part.reshape(*shape, *part.shape[part.ndim - axes :]))

    def expand(self, *shape: int) -> "Element":
        """Broadcast (without copying) to a batch shape."""
        return self._each(lambda part, axes: part.expand(*shape, *part.shape[part.ndim - axes :]))

    def to(self, *args: Any, **kwargs: Any) -> "Element":
        """Cast, or copy to a device, as ``Tensor.to``; the permutation follows but stays int64."""
        linear = self.linear.to(*args, **kwargs)
        translation = None if self.translation is None else self.translation.to(*args, **kwargs)
        return Element(linear, translation, None if self.permutation is None else self.permutation.to(linear.device))

    def __matmul__(self, other: "Element") -> "Element":
        return compose(self, other)


def compose(g: Element, h: Element) -> Element:
    r"""The element that applies ``h`` first, then ``g``; batch shapes broadcast.

    .. math:: R = R_g R_h, \qquad t = R_g t_h + t_g, \qquad p(i) = p_g(p_h(i))

    Raises:
        GroupError: if both relabel nodes, but not the same number.
    """
    linear = g.linear @ h.linear
    permutation = composed_permutation(g, h, linear.shape[:-2])
    if g.translation is None and h.translation is None:
        return Element(linear, None, permutation)
    translation = torch.zeros(linear.shape[:-1], dtype=linear.dtype, device=linear.device)
    if h.translation is not None:
        translation = translation + (g.linear @ h.translation.unsqueeze(-1)).squeeze(-1)
    if g.translation is not None:
        translation = translation + g.translation
    return Element(linear, translation, permutation)


def composed_permutation(g: Element, h: Element, shape: torch.Size) -> Tensor | None:
    """``i ↦ p_g(p_h(i))`` with this batch shape."""
    if g.permutation is None or h.permutation is None:
        only = h.permutation if g.permutation is None else g.permutation
        return None if only is None else only.expand(*shape, -1)
    if g.nodes != h.nodes:
        raise GroupError(f"One element relabels {g.nodes} nodes and the other {h.nodes}: they cannot be composed.")
    return torch.gather(g.permutation.expand(*shape, -1), -1, h.permutation.expand(*shape, -1))


def inverse(g: Element) -> Element:
    """The inverse: ``R⁻¹ = Rᵀ``, ``t ↦ -Rᵀt``, ``p⁻¹``."""
    translation = None if g.translation is None else -(g.linear.mT @ g.translation.unsqueeze(-1)).squeeze(-1)
    return Element(g.linear.mT, translation, None if g.permutation is None else g.permutation.argsort(-1))


def identity(dim: int, *shape: int, nodes: int | None = None, dtype: torch.dtype = torch.float64) -> Element:
    """The identity of d-space (and of n = ``nodes`` nodes) with a batch shape."""
    labels = None if nodes is None else torch.arange(nodes).expand(*shape, nodes)
    return Element(torch.eye(dim, dtype=dtype).expand(*shape, dim, dim), None, labels)
