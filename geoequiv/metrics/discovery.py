"""Which groups a model, or data, respects: discovered from a stated list of candidates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from geoequiv.errors import GeoequivError, SignatureError
from geoequiv.fields import Signature, read_inputs
from geoequiv.groups import Group
from geoequiv.groups import group as group_by_name
from geoequiv.metrics.data_symmetry import Relabel, data_symmetry_error
from geoequiv.metrics.equivariance import elements_to_try
from geoequiv.metrics.estimate import Estimate, as_plain, estimate
from geoequiv.metrics.generators import generators
from geoequiv.metrics.lie_derivative import Method, rotation_tensor
from geoequiv.metrics.measure import measure
from geoequiv.metrics.profiles import Profile, angle_profile
from geoequiv.metrics.tolerances import tolerance_of

#: Candidates by dimension, larger groups first: subgroups of a respected group are not measured.
CANDIDATES = {
    3: (
        "E(3)", "SE(3)", "O(3)", "SO(3)", "T(3)", "O(2)@x", "O(2)@y", "O(2)@z", "SO(2)@x", "SO(2)@y", "SO(2)@z",
        "Ih", "I", "Oh", "O", "Td", "Th", "T", "D2", "Ci", "Cs@x", "Cs@y", "Cs@z",
    ),
    2: ("E(2)", "SE(2)", "O(2)", "SO(2)", "T(2)", "D6@plane", "C6@plane", "D4@plane", "C4@plane", "C3@plane",
        "C2@plane", "flip"),
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """What was found about one group.

    Args:
        group: its name.
        respected: ``True``, ``False``, or ``None`` where data do not decide.
        error: mean relative error; ``None`` where it was not measured.
        worst: the largest relative error, likewise (models only).
        within: the larger group that is respected and holds this one, where that settled it.
    """

    group: str
    respected: bool | None
    error: Estimate | None = None
    worst: float | None = None
    within: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class BestAxis:
    """The axis that rotations break least.

    Args:
        axis: unit vector.
        local: root mean square of the Lie derivative about it over that of the outputs, per radian.
        profile: relative error against the angle of rotations about it.
        respected: whether that stays within the threshold.
    """

    axis: tuple[float, float, float]
    local: float
    profile: Profile
    respected: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Discovery:
    """Symmetry that was found.

    Args:
        candidates: all, in the order of the list.
        largest: names of the respected groups that lie in no other respected one.
        best_axis: models in 3-space that respect no SO(3) of the list: the axis found by optimisation.
        threshold: largest relative error that counts as respected.
        of: ``"model"`` or ``"data"``.
    """

    candidates: tuple[Candidate, ...]
    largest: tuple[str, ...]
    best_axis: BestAxis | None
    threshold: float
    of: str

    def __getitem__(self, name: str) -> Candidate:
        return next(candidate for candidate in self.candidates if candidate.group == name)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}


def discover_symmetry(
    model_or_targets: Callable[..., Any] | Mapping[str, Any],
    inputs: Any,
    signature: str | Signature,
    candidates: Sequence[str | Group] | None = None,
    *,
    dim: int = 3,
    num_samples: int = 4,
    threshold: float | None = None,
    relabel: Relabel | None = None,
    generator: torch.Generator | None = None,
    method: Method = "forward-mode",
    names: Mapping[str, str] | None = None,
) -> Discovery:
    r"""Which groups of a list a model respects, or the labels of data.

    A model respects a group if its largest relative error over the inputs and the draws is within the threshold. In
    3-space, where SO(3) is not respected, the axis of least error is found as well: the Lie derivative is linear in the
    generator, so that the axis n with the smallest mean square is the lowest eigenvector of
    :math:`Q_{ij} = \langle L_i f, L_j f \rangle`; rotations by finite angles about it then decide.

    Args:
        model_or_targets: a model, or the labels of the data by name.
        candidates: groups or names, larger ones first; ``None`` takes ``CANDIDATES`` of the dimension, as far as they
            can act on the fields and change one of them.
        num_samples: draws of a group with more than 8 elements; data: at least 16.
        threshold: ``None``: the tolerance of the outputs' dtype (models), 1e-4 (data with ``relabel``). Data without
            ``relabel`` is judged by its own noise floor (see ``data_symmetry_error``).
        relabel: data only: labels transformed inputs.
        method: how the Lie derivative is taken.
        names: roles of tensors without a type, as of ``equivariance_error``.

    Raises:
        GeoequivError: for an empty list of candidates. Else as ``equivariance_error``.

    Exactness: finite lists and draws: a symmetry that is broken only on a small part of a group can be missed.
    """
    inputs, signature = read_inputs(inputs, signature, model_or_targets, names)
    groups = default_candidates(signature, dim) if candidates is None else [group_by_name(each) for each in candidates]
    if not groups:
        raise GeoequivError("There is no candidate group that can act on the fields of this signature.")
    limit = threshold
    found: list[Candidate] = []
    respected: list[Group] = []
    for acting in groups:
        holder = next((larger for larger in respected if acting.is_subgroup_of(larger)), None)
        if holder is not None:
            found.append(Candidate(acting.name, True, within=holder.name))
            continue
        count = None if acting.is_finite and (acting.order or 99) <= 8 else num_samples
        if isinstance(model_or_targets, Mapping):
            count = None if count is None else max(count, 16)
            seen = data_symmetry_error(
                inputs, model_or_targets, signature, acting, relabel, num_samples=count, generator=generator,
                threshold=1e-4 if limit is None else limit,
            )  # fmt: skip
            verdict = {"respected": True, "broken": False, "undecided": None}[seen.verdict]
            found.append(Candidate(acting.name, verdict, seen.relative))
        else:
            measured = measure(model_or_targets, inputs, signature, elements_to_try(acting, count, generator))
            limit = tolerance_of(measured.dtype, limit)
            worst = float(measured.relative.max())
            error = estimate(measured.relative, all_elements=count is None)
            found.append(Candidate(acting.name, worst <= limit, error, worst))
        if found[-1].respected:
            respected.append(acting)
    by_name = {acting.name: acting for acting in respected}
    largest = tuple(
        name
        for name, acting in by_name.items()
        if not any(other is not acting and acting.is_subgroup_of(other) for other in respected)
    )
    limit = 1e-4 if limit is None else limit
    axis = None
    whole = group_by_name("SO(3)")
    of_data, found_whole = isinstance(model_or_targets, Mapping), any(map(whole.is_subgroup_of, respected))
    if dim == 3 and not of_data and can_act(signature, whole) and not found_whole:
        axis = best_axis(model_or_targets, inputs, signature, limit, method)
    return Discovery(tuple(found), largest, axis, limit, "data" if of_data else "model")


def best_axis(model: Any, inputs: Any, signature: Signature, threshold: float, method: Method) -> BestAxis:
    """The axis of the smallest Lie derivative, checked with rotations by finite angles about it."""
    q, size = rotation_tensor(model, inputs, signature, generators(group_by_name("SO(3)")), method)
    values, vectors = torch.linalg.eigh(q)
    axis = vectors[:, 0]
    axis = axis * torch.sign(axis[axis.abs().argmax()])
    axis = torch.where(axis.abs() < 1e-6, 0.0, axis)
    axis = axis / axis.norm()
    x, y, z = axis.tolist()
    local = (max(float(values[0]), 0.0) / size) ** 0.5 if size else 0.0
    profile = angle_profile(model, inputs, signature, axis=(x, y, z))
    return BestAxis((x, y, z), local, profile, max(profile.values) <= threshold)


def default_candidates(signature: Signature, dim: int) -> list[Group]:
    """The groups of ``CANDIDATES`` that can act on every field, and that change some field."""
    kinds = [*signature.inputs.values(), *signature.outputs.values()]
    points = any(kind.translates for kind in kinds)
    groups = [group_by_name(name) for name in CANDIDATES[dim]] if is_geometric(signature) else []
    return [each for each in groups if can_act(signature, each) and (points or not each.translates)]


def is_geometric(signature: Signature) -> bool:
    """Whether isometries change any field."""
    invariant = ("scalar", "label", "node", "adjacency")
    return any(kind.kind not in invariant for side in (signature.inputs, signature.outputs) for kind in side.values())


def can_act(signature: Signature, acting: Group) -> bool:
    """Whether the group can act on every field."""
    try:
        signature.check_group(acting)
    except SignatureError:
        return False
    return True
