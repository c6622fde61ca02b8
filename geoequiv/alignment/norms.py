"""Fold norms into the weights around them, so that the residual stream can be rotated."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geoequiv.alignment.derive import Units, difference, in_double, outputs_of
from geoequiv.alignment.labels import NOT_MIXED
from geoequiv.alignment.traced import Inputs
from geoequiv.alignment.tracer import trace
from geoequiv.errors import AlignmentError


@dataclass(frozen=True)
class Folded:
    """A network whose norms only divide each token by its length.

    Args:
        model: a copy, with RMS norms without weights.
        norms: names of those that were folded.
        left: name → why it was left unchanged.
    """

    model: nn.Module
    norms: tuple[str, ...]
    left: Mapping[str, str]


def fold_norms(model: nn.Module, inputs: Inputs, tolerance: float = 1e-8) -> Folded:
    r"""Replace layer norms by RMS norms without weights, and fold the rest into the weights around them.

    .. math::
        W_\text{read}\Big(\gamma \odot \frac{x - \bar x}{\sigma(x)} + \beta\Big) + b
        = (W_\text{read} \operatorname{diag} \gamma)\, \frac{C x}{\operatorname{rms}(C x)} + (b + W_\text{read} \beta),
        \qquad C = 1 - \tfrac1d \mathbf 1 \mathbf 1^\top

    C is folded into all weights that write the residual stream and (where it changes nothing) into those that read the
    norm; γ and β are folded into the latter. The norm that is left commutes with every orthogonal map of the residual
    stream, which ``match_activations(…, mixes=True)`` then finds by Procrustes.

    Args:
        inputs: a small batch, to trace and to verify with.
        tolerance: largest relative difference of outputs, in float64.

    Returns:
        The copy, and the norms that were left: those of streams that are read by anything but norms and sums (post-norm
        networks), and those that are read by anything but linear maps.

    Raises:
        AlignmentError: the outputs changed: a norm is read in a way that the tracer missed.

    Exactness: verified to the tolerance in float64.
    Reference: Ashkboos et al. 2024 (SliceGPT), section 3.
    """
    double, doubled = in_double(model, inputs)
    before = outputs_of(double, doubled)
    kinds = (nn.LayerNorm, nn.RMSNorm)
    norms = {
        name: module
        for name, module in double.named_modules()
        if isinstance(module, kinds) and not (isinstance(module, nn.RMSNorm) and module.weight is None)
    }
    left: dict[str, str] = {}
    done: list[str] = []
    while norms:  # a norm that is left may keep others from being folded
        changes, bad = changes_of(double, doubled, norms)
        left |= bad
        for name in bad:
            del norms[name]
        if not bad:
            done = list(norms)
            for name in done:
                replace_norm(double, name)
            install(double, changes)
            break
    error = difference(before, outputs_of(double, doubled))
    if error > tolerance:
        raise AlignmentError(
            f"Folding the norms {', '.join(done)} changes the outputs by {error:.1e} of their norm: one of them is "
            "read other than by linear maps with a bias."
        )
    if not done:
        return Folded(copy.deepcopy(model), (), left)
    dtypes = {name: value.dtype for name, value in model.state_dict().items()}
    first = next((dtype for dtype in dtypes.values() if dtype.is_floating_point), torch.get_default_dtype())
    return Folded(double.to(first).train(model.training), tuple(done), left)


def changes_of(
    model: nn.Module, inputs: Inputs, norms: Mapping[str, nn.Module]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors of the folded network by name, and the norms that cannot be folded with the reason."""
    found = trace(model, inputs, cuts=list(norms))
    units, state = Units(found), dict(model.state_dict())
    bad: dict[str, str] = {}
    centred: dict[tuple[int, ...], list[tuple[str, int, list[list[int]]]]] = {}
    read: dict[str, list[tuple[str, int, list[list[int]]]]] = {}
    for name, norm in norms.items():
        cut = found.cuts[name]
        if cut is None:
            bad[name] = "it does not normalise the units of one stream"
            continue
        before, after = (units.root[labels.numpy()].tolist() for labels in cut)
        readers = places_of(units, after, -1)
        if readers is None or any(axis != 1 or state[tensor].ndim != 2 for tensor, axis, _ in readers):
            bad[name] = "something other than a linear map reads it"
            continue
        read[name] = readers
        if isinstance(norm, nn.LayerNorm):
            writers = places_of(units, before, 1)
            if writers is None:
                bad[name] = "something other than norms and sums reads its input"
                continue
            centred[tuple(sorted(before))] = writers
    if bad:
        return {}, bad
    changed: dict[str, Tensor] = {}
    for writers in centred.values():
        for tensor, axis, index in writers:
            for each in (tensor, *found.aliases.get(tensor, ())):
                value = changed.get(each, state[each]).movedim(axis, 0).clone()
                part = value[torch.tensor(index)]
                value[torch.tensor(index)] = part - part.mean(0, keepdim=True)
                changed[each] = value.movedim(0, axis)
    for name, readers in read.items():
        gain, shift = (getattr(norms[name], part, None) for part in ("weight", "bias"))
        for tensor, _, index in readers:
            weight = changed.get(tensor, state[tensor]).clone()
            columns = torch.tensor(index)  # [d, k]
            if shift is not None:
                bias = tensor.removesuffix("weight") + "bias"
                empty = weight.new_zeros(len(weight))
                added = (weight[:, columns] * shift.detach().unsqueeze(-1)).sum((1, 2))
                changed[bias] = changed.get(bias, state.get(bias, empty)) + added
            if gain is not None:
                weight[:, columns] = weight[:, columns] * gain.detach().unsqueeze(-1)
            if isinstance(norms[name], nn.LayerNorm):  # its input has mean 0
                weight[:, columns] = weight[:, columns] - weight[:, columns].mean(1, keepdim=True)
            for each in (tensor, *found.aliases.get(tensor, ())):
                changed[each] = weight
    return changed, {}


def places_of(units: Units, members: list[int], sign: int) -> list[tuple[str, int, list[list[int]]]] | None:
    """Tensor, axis and coordinates of each unit; None unless all of them are readers (−1), or all writers (1)."""
    if len(set(members)) < len(members) or any(units.fixed[unit] or units.limits[unit] & NOT_MIXED for unit in members):
        return None
    grouped: dict[int, list[list[int]]] = {}
    for row, unit in enumerate(members):
        for number, index, met in units.places[unit]:
            if met != sign:
                return None
            grouped.setdefault(number, [[] for _ in members])[row].append(index)
    if any(len({len(row) for row in rows}) > 1 for rows in grouped.values()):
        return None
    return [(*units.axes[number], rows) for number, rows in grouped.items()]


def replace_norm(model: nn.Module, name: str) -> None:
    """Replace a norm by an RMS norm without weights."""
    parent, _, own = name.rpartition(".")
    norm = model.get_submodule(name)
    assert isinstance(norm, nn.LayerNorm | nn.RMSNorm)
    bare = nn.RMSNorm(list(norm.normalized_shape), norm.eps, elementwise_affine=False)
    setattr(model.get_submodule(parent), own, bare)


def install(model: nn.Module, changes: Mapping[str, Tensor]) -> None:
    """Set tensors; linear maps without a bias get one.

    A wrapper's state dict has the keys of the model inside it, so the module of a tensor is found by identity.
    """
    state = model.state_dict(keep_vars=True)
    owners = {id(tensor): module for module in model.modules() for tensor in module.parameters(recurse=False)}
    for name, value in changes.items():
        if name not in state:
            owner = owners.get(id(state.get(name.removesuffix("bias") + "weight")))
            if getattr(owner, "bias", 0) is not None:
                raise AlignmentError(
                    f"The norm before '{name}' can only be folded into a linear map that takes a bias."
                )
            assert owner is not None
            owner.register_parameter("bias", nn.Parameter(value.clone()))
    with torch.no_grad():
        for name, value in model.state_dict(keep_vars=True).items():
            if name in changes:
                value.copy_(changes[name])
