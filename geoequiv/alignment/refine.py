"""Learned matchings: soft permutations (Sinkhorn), and straight-through refinement of a hard one."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from geoequiv.alignment.assignment import assign, plain_streams
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.spec import PermutationSpec, StateDict
from geoequiv.alignment.weights import agreement, match_weights
from geoequiv.errors import AlignmentError

#: (model, inputs, targets) → a scalar to minimise; the model is called with named inputs
Loss = Callable[[Callable[..., Any], Any, Any], Tensor]
#: largest number of alternations between Sinkhorn matching and matching of blocks
MOST_ROUNDS = 4


def sinkhorn(logits: Tensor, rounds: int = 20) -> Tensor:
    """The doubly stochastic matrices of logits ``[..., n, n]``, by normalising rows and columns alternately.

    Exactness: columns sum to 1; rows converge to 1 with the rounds.
    Reference: Sinkhorn & Knopp 1967; Mena et al. 2018.
    """
    for _ in range(rounds):
        logits = logits - logits.logsumexp(-1, keepdim=True)
        logits = logits - logits.logsumexp(-2, keepdim=True)
    return logits.exp()


def soften(spec: PermutationSpec, matrices: dict[str, Tensor], state: StateDict) -> dict[str, Tensor]:
    """``apply`` with a matrix per stream in place of a permutation; differentiable in the matrices."""
    softened = dict(state)
    for name, matrix in matrices.items():
        for place in spec[name].places:
            tensor = softened[place.tensor].movedim(place.axis, 0)
            changed = torch.einsum("ij,jk...->ik...", matrix.to(tensor.dtype), tensor[place.index])
            tensor = tensor.index_put((place.index,), changed)
            softened[place.tensor] = tensor.movedim(0, place.axis)
    return softened


def match_sinkhorn(
    first: StateDict,
    second: StateDict,
    spec: PermutationSpec,
    *,
    steps: int = 200,
    lr: float = 0.3,
    temperature: float = 0.3,
    start: Matching | None = None,
) -> Matching:
    r"""Learn a doubly stochastic matrix per stream that minimises the distance of weights, then round by assignment.

    .. math:: \min_X \; \| \theta_A - S(X / \tau)(\theta_B) \|^2

    Args:
        first, second: state dicts of one architecture.
        steps, lr: of Adam on the logits X.
        temperature: τ, annealed to a tenth of it.
        start: a matching to start from; blocks of units (heads), which have no soft form here, keep their permutation
            in it. None starts all other streams from equal logits, and alternates with weight matching of blocks until
            these do not change.

    Raises:
        AlignmentError: different architectures.

    Exactness: a local optimum.
    Reference: after Peña et al. 2023 (Re-basin via implicit Sinkhorn differentiation), who differentiate implicitly.
    """
    spec.check(first)
    spec.check(second)
    plain = plain_streams(spec)
    found = start or Matching(spec, ())
    if found.factors or found.matrices:
        raise AlignmentError("Sinkhorn matching starts from a matching by permutations alone.")
    blocks = [stream.name for stream in spec.streams if spec.inside(stream.name)] if start is None else []
    for _ in range(MOST_ROUNDS):
        hard = softly_matched(first, found.apply(second), spec, steps, lr, temperature, own=start is not None)
        found = replace(found, permutations=(*found.permutations, hard))
        rest = match_weights(first, found.apply(second), spec, only=blocks)
        if all(
            bool((order == torch.arange(len(order))).all()) for each in rest.permutations for order in each.values()
        ):
            break
        found = replace(found, permutations=(*found.permutations, *rest.permutations))
    state = found.apply(second)
    return replace(found, before={s.name: agreement(s, first, second) for s in plain},
                   after={s.name: agreement(s, first, state) for s in plain})  # fmt: skip


def softly_matched(
    first: StateDict, second: StateDict, spec: PermutationSpec, steps: int, lr: float, temperature: float, own: bool
) -> dict[str, Tensor]:
    """One descent of ``match_sinkhorn``: stream → permutation; from equal logits, or from the identity (``own``)."""
    one, two = ({name: state[name].detach().double() for name in spec.shapes} for state in (first, second))
    alike: dict[int, list[str]] = {}  # streams of one size are batched
    for stream in plain_streams(spec):
        alike.setdefault(stream.size, []).append(stream.name)
    if not alike:
        return {}
    logits = {size: (torch.eye(size, dtype=torch.float64) * own).repeat(len(group), 1, 1).requires_grad_()
              for size, group in alike.items()}  # fmt: skip
    optimizer = torch.optim.Adam(logits.values(), lr=lr)
    for step in range(steps):
        heat = temperature * 0.1 ** (step / max(steps - 1, 1))
        matrices = {size: sinkhorn(value / heat).unbind(0) for size, value in logits.items()}
        soft = soften(spec, {name: matrix for size, group in alike.items()
                             for name, matrix in zip(group, matrices[size], strict=True)}, two)  # fmt: skip
        distance = torch.stack([
            ((soft[name] - value) ** 2).sum() / value.square().sum().clamp(min=1e-12) for name, value in one.items()
        ]).sum()  # fmt: skip
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
    return {name: assign(value) for size, group in alike.items()
            for name, value in zip(group, logits[size].detach(), strict=True)}  # fmt: skip


def refine_straight_through(
    model: nn.Module,
    second: StateDict,
    spec: PermutationSpec,
    loader: Iterable[tuple[Any, Any]],
    loss: Loss,
    *,
    start: Matching | None = None,
    steps: int = 50,
    lr: float = 1e-2,
) -> tuple[Matching, list[float]]:
    r"""Search for the matching whose midpoint has the smallest loss.

    The matching is parametrised by latent weights, initialised to the first network's: weight matching projects them to
    :math:`p(\theta_B)`, the loss is computed at :math:`\tfrac12(\theta_A + p(\theta_B))`, and its gradient is passed
    straight through to the latent weights.

    Args:
        model: the first network.
        second: the other's state dict.
        loader: pairs of inputs and targets; kept in memory.
        loss: (merged network, inputs, targets) → scalar.
        start: a matching to start from.
        steps, lr: of SGD with momentum 0.9.

    Returns:
        The best matching found, and the loss at every step.

    Raises:
        AlignmentError: an empty loader, or a start with factors or matrices.

    Exactness: never worse than the start on these batches.
    Reference: Ainsworth et al. 2023 (Git Re-Basin), algorithm 2.
    """
    batches = list(loader)
    if not batches:
        raise AlignmentError("Straight-through refinement needs data: the loader is empty.")
    begin = start or Matching(spec, ())
    if begin.factors or begin.matrices:
        raise AlignmentError("Straight-through refinement starts from a matching by permutations alone.")
    other = begin.apply(second)
    model = copy.deepcopy(model).eval()
    held = model.state_dict(keep_vars=True)
    here = {name: value.detach() for name, value in held.items()}
    latent = {name: value.detach().clone().requires_grad_() for name, value in held.items()
              if name in spec.shapes and isinstance(value, nn.Parameter)}  # fmt: skip
    owns = {id(value): name for name, value in (*model.named_parameters(), *model.named_buffers())}
    inside = {name: owns[id(value)] for name, value in held.items()}  # a wrapper's keys are those of the model inside
    optimizer = torch.optim.SGD(latent.values(), lr=lr, momentum=0.9)

    def merged_loss(matched: StateDict, through: bool) -> Tensor:
        midpoint = {name: torch.lerp(value, matched[name], 0.5) if value.is_floating_point() else value
                  for name, value in here.items()}  # fmt: skip
        if through:
            midpoint |= {name: midpoint[name] + 0.5 * (value - value.detach()) for name, value in latent.items()}
        midpoint = {inside[name]: value for name, value in midpoint.items()}
        total = [loss(lambda *args, **named: functional_call(model, midpoint, args, named), inputs, targets)
                 for inputs, targets in batches]  # fmt: skip
        return torch.stack(total).mean()

    with torch.no_grad():
        best, least = Matching(spec, ()), float(merged_loss(other, False))
    losses = [least]
    found = best
    for _ in range(steps):
        plain = {**here, **{name: value.detach() for name, value in latent.items()}}
        found = match_weights(plain, other, spec, start=found.permutations or None, max_rounds=3)
        value = merged_loss(found.apply(other), True)
        losses.append(float(value.detach()))
        if losses[-1] < least:
            best, least = found, losses[-1]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return replace(begin, permutations=(*begin.permutations, *best.permutations)), losses
