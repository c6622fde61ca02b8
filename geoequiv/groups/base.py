"""What every group can do."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch

from geoequiv.errors import GroupError
from geoequiv.groups.element import Element, identity

LONG_ORDER = 10**18  # larger ones are written as powers of ten in messages


@dataclass(frozen=True)
class Group(ABC):
    """A group of isometries of d-space and of relabellings of nodes: an immutable value that holds no tensors.

    Args:
        name: how it is written in a signature, a YAML file or on the leaderboard; ``group(name)`` gives it back.
        dim: dimension d of the space acted on.
    """

    name: str
    dim: int

    @property
    def order(self) -> int | None:
        """Number of elements; ``None`` where it is infinite."""
        return None

    @property
    def order_text(self) -> str:
        """Number of elements for messages: "infinitely many", "40320", "about 10^16325"."""
        if self.order is None:
            return "infinitely many"
        return str(self.order) if self.order < LONG_ORDER else f"about 10^{math.log10(self.order):.0f}"

    @property
    def is_finite(self) -> bool:
        """Whether ``elements()`` can list it."""
        return self.order is not None

    @property
    def translates(self) -> bool:
        """Whether it contains all translations (then it is not compact)."""
        return False

    @property
    def nodes(self) -> int | None:
        """Number n of nodes that its elements relabel; ``None`` where they relabel none."""
        return None

    @property
    def acts_on_space(self) -> bool:
        """Whether the group does anything but relabel nodes."""
        return True

    @property
    def permutes_pixels(self) -> bool:
        """Whether it acts on images: every element maps the square pixel grid of the plane (x, y) to itself."""
        return False

    @property
    def linear_part(self) -> "Group":
        """The group without its translations: O(3) for E(3), itself for a group that fixes the origin."""
        return self

    @property
    @abstractmethod
    def is_proper(self) -> bool:
        """Whether every element keeps handedness (determinant +1)."""

    def sample(
        self,
        *shape: int,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Element:
        """Independent draws from the Haar measure (translations: see ``EuclideanGroup``).

        Args:
            shape: batch shape of the result; ``sample()`` is one element.
            generator: source of randomness; ``None`` is torch's global one. It must live on the CPU: drawing there
                makes a draw the same whatever the device.
            dtype: of the linear part and the translation; they are drawn in float64.
        """
        return self._draw(shape, generator).to(device=device, dtype=dtype)

    @abstractmethod
    def _draw(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Element:
        """Independent draws with this batch shape, in float64 on the CPU."""

    def contains(self, g: Element, tolerance: float = 1e-6) -> torch.Tensor:
        """Which of the elements belong to the group, ``[...]`` bool.

        Args:
            tolerance: largest difference of a matrix entry (or, where the group fixes the origin, of a component of
                the translation) that still counts as equal.
        """
        inside = self._holds(g, tolerance)
        return inside if self.nodes is not None else inside & fixes_nodes(g)

    @abstractmethod
    def _holds(self, g: Element, tolerance: float) -> torch.Tensor:
        """``contains``; a group that relabels no nodes leaves the permutation out of account."""

    def elements(self) -> Element:
        """All elements, batch shape ``[order]``, the identity first.

        Raises:
            GroupError: if the group is infinite.
        """
        raise GroupError(f"{self.name} is infinite: it has no list of elements. Draw some with .sample(n).")

    def is_subgroup_of(self, other: "Group") -> bool:
        r"""Whether every element lies in another group (as it is: conjugates of subgroups do not count).

        Exactness: all elements of a finite group up to 10 000 are looked up. Of any other, 64 Haar draws with a fixed
        seed: if H is no subgroup of G, then H ∩ G is a closed subgroup of H of index two or more, so that a draw falls
        into it with a probability of at most 1/2 and all of them with at most 2⁻⁶⁴.
        """
        if self.dim != other.dim:
            return False
        if self.is_finite and self.order is not None and self.order <= 10_000:
            return bool(other.contains(self.elements()).all())
        return bool(other.contains(self.sample(64, generator=torch.Generator().manual_seed(0))).all())

    def identity(self, *shape: int) -> Element:
        """The identity element."""
        return identity(self.dim, *shape, nodes=self.nodes)

    def __str__(self) -> str:
        return self.name


def is_orthogonal(g: Element, tolerance: float) -> torch.Tensor:
    """Whether ``RRᵀ = 1`` within the tolerance (largest entry), ``[...]`` bool."""
    eye = torch.eye(g.dim, dtype=g.linear.dtype, device=g.linear.device)
    return (g.linear @ g.linear.mT - eye).abs().amax((-1, -2)) <= tolerance


def fixes_origin(g: Element, tolerance: float) -> torch.Tensor:
    """Whether the translation vanishes within the tolerance, ``[...]`` bool."""
    if g.translation is None:
        return torch.ones(g.shape, dtype=torch.bool, device=g.linear.device)
    return g.translation.abs().amax(-1) <= tolerance


def fixes_nodes(g: Element) -> torch.Tensor:
    """Whether no node is relabelled, ``[...]`` bool."""
    if g.permutation is None:
        return torch.ones(g.shape, dtype=torch.bool, device=g.linear.device)
    return (g.permutation == torch.arange(g.permutation.shape[-1], device=g.permutation.device)).all(-1)
