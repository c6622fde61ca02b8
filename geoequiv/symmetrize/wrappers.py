"""A model averaged over a group, or over the frames of its input."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from geoequiv.fields import Signature
from geoequiv.groups import Group, group
from geoequiv.ranges import PositiveInt, ProperFraction
from geoequiv.symmetrize.frames import GroupFrame
from geoequiv.symmetrize.frames.by_name import FrameSpec, frame_by_name
from geoequiv.symmetrize.frames.options import Degenerate
from geoequiv.symmetrize.symmetrizer import Symmetrizer


class GroupAveraging(Symmetrizer):
    r"""A model averaged over a group.

    .. math:: \Phi(x) = \mathbb{E}_{g \in G}\, \rho_\text{out}(g)\, f(\rho_\text{in}(g)^{-1} x)

    Translations are averaged in closed form by centring: the model sees the cloud about its centroid, and points get
    the centroid back.

    Args:
        model: any module or function.
        signature: a ``Signature`` or its string.
        group: a group or its name.
        num_samples: ``None`` averages over all elements of a finite group. A number draws that many independent
            elements at every call, anew and shared by the items of the batch.
        chunk: largest number of group elements in one call of the model; ``None``: by the number of points.
        generator: source of the draws; ``None`` is torch's global one.
        quadrature: instead of draws, a rule with fixed elements and weights that is exact up to this degree (see
            ``geoequiv.groups.quadrature``): 12 elements of SO(3) for degree 2, 24 for 3, 60 for 5, 182 for 6.
        subgroup: a finite subgroup such as ``"O"``, to reduce the variance of the draws: each of the ``num_samples``
            draws is multiplied by all of its elements, so that M draws cost M · order calls.
        names: roles of tensors without a type (see ``Symmetrizer``).

    Raises:
        GroupError: an infinite group without ``num_samples`` or ``quadrature``, or a combination that makes no sense.

    Exactness: round-off over finite groups (and T(d)). With ``num_samples = M`` equivariant in expectation, with a
    standard error that falls like 1/√M; with a ``subgroup`` besides exactly equivariant to that subgroup, and the
    error is that of the parts of the integrand that the subgroup does not average out. With ``quadrature = L``
    round-off where the integrand ``ρ_out(g) f(ρ_in(g)⁻¹ x)`` has at most degree L in g, such as a model that is a
    polynomial of degree L - 1 with vector outputs; a small error that falls with L for smooth models.

    Reference: Yarotsky, "Universal approximations of invariant maps by neural networks" (2018), eq. 2.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        signature: str | Signature,
        group: str | Group,
        num_samples: PositiveInt | None = None,
        chunk: int | None = None,
        generator: torch.Generator | None = None,
        quadrature: int | None = None,
        subgroup: str | Group | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        frame = GroupFrame(as_group(group), num_samples, generator, quadrature, subgroup)
        super().__init__(model, signature, frame, chunk, names)


class FrameAveraging(Symmetrizer):
    r"""A model averaged over an equivariant set of frames of its input.

    .. math:: \Phi(x) = \frac{1}{|F(x)|} \sum_{g \in F(x)} \rho_\text{out}(g)\, f(\rho_\text{in}(g)^{-1} x),
              \qquad F(g x) = g F(x)

    Args:
        model: any module or function.
        signature: a ``Signature`` or its string; at least one input is a ``point`` (or a ``vector``, for groups
            without translations).
        group: O(3), SO(3), E(3), SE(3), or the same in the plane; S(n) for ``"sorting"``.
        frame: ``"pca"``: principal axes, 2^d frames (2^(d-1) proper ones for SO and SE); ``"stochastic"``: one of
            those at random per item while training, all of them in evaluation; ``"minimal"``: one for a cloud
            without symmetry; ``"learned"``: one, by a network that trains along; ``"weighted"``: tens, but continuous
            in x; ``"sorting"``: of graphs and sets, the orders of their nodes. Your own is written
            ``"module:Class"``. Options go along as ``{"name": "sorting", "budget": 10_000}``, and
            ``{"name": "stochastic", "of": "minimal"}`` draws from any other frame. A ``Frame`` is taken as it is.
        chunk: largest number of frames in one call of the model; ``None``: by the number of points.
        degenerate: option of the frame, where it has it: what to do about clouds whose covariance does not tell their
            axes (symmetric molecules, collinear or coincident points): ``"orbit"`` completes the frame to
            the orbit that exactness takes, ``"error"`` raises, ``"ignore"`` accepts it. ``None``: the frame's default,
            ``"orbit"`` for all built-in ones.
        tolerance: option of the frame, where it has it: relative; what counts as equal there (see ``PCAFrame``).
            ``None``: √(round-off).
        frame_from: option of the frame, where it has it: names of the inputs that the frame is built from, such as
            ``["pos", "vel", "charge"]``. The first gives it, the others and scalars as labels decide between what it
            leaves open (see ``PCAFrame``). ``None``: the first point input.
        names: roles of tensors without a type (see ``Symmetrizer``).

    Exactness: round-off, for every cloud; with ``degenerate="ignore"`` only where eigenvalues are distinct;
    ``stochastic`` in training: in expectation. Discontinuous in x where eigenvalues cross.

    Reference: Puny et al., "Frame averaging for invariant and equivariant network design" (ICLR 2022), §3.1.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        signature: str | Signature,
        group: str | Group = "E(3)",
        frame: FrameSpec = "pca",
        chunk: int | None = None,
        degenerate: Degenerate | None = None,
        tolerance: ProperFraction | None = None,
        frame_from: Sequence[str] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        options = given(degenerate=degenerate, tolerance=tolerance, frame_from=frame_from)
        super().__init__(model, signature, frame_by_name(frame, as_group(group), **options), chunk, names)


def as_group(name: str | Group) -> Group:
    """A group by name (constructor arguments called ``group`` hide the function)."""
    return group(name)


def given(**options: Any) -> dict[str, Any]:
    """The options of a frame that were given; the others are left to the frame."""
    return {name: value for name, value in options.items() if value is not None}
