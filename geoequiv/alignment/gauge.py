"""One network of all those that scaling and mixing units gives: the one with the least weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoequiv.alignment.permutation_spec import PermutationSpec, StateDict, Stream, mix, scale

#: a stream whose weights do not span its units to this part of the largest direction has no least network
SPAN = 1e-10


@dataclass(frozen=True, eq=False)
class Gauge:
    """How a network was brought to its least weights.

    Args:
        state: the least network, in float64.
        factors: stream → ``[size]``, what its units were multiplied by.
        matrices: stream → ``[size, size]``, what its units were mixed by; streams that are missing stayed.
    """

    state: Mapping[str, Tensor]
    factors: Mapping[str, Tensor] = field(default_factory=dict)
    matrices: Mapping[str, Tensor] = field(default_factory=dict)


def finite(weights: Tensor) -> Tensor:
    """In float64 on the CPU; what is not finite counts as 0."""
    return weights.detach().double().cpu().nan_to_num(0.0, 0.0, 0.0)


def squares(stream: Stream, state: StateDict, sign: int) -> Tensor:
    """Products of the weights that write the units (sign 1), or that read them (−1), ``[size, size]``."""
    total = torch.zeros(stream.size, stream.size, dtype=torch.float64)
    for place in stream.places:
        if place.sign == sign:
            rows = finite(state[place.tensor]).movedim(place.axis, 0)[place.index].flatten(1)
            total = total + rows @ rows.mT
    return total


def root(matrix: Tensor, power: float) -> Tensor:
    """A power of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return (vectors * values.clamp(min=0) ** power) @ vectors.mT


def spans(matrix: Tensor) -> bool:
    """Whether a product of weights reaches all units."""
    values = torch.linalg.eigvalsh(matrix)
    return bool(values[-1] > 0 and values[0] > SPAN * values[-1])


def least(
    spec: PermutationSpec, state: StateDict, *, scales: bool = True, mixes: bool = True, rounds: int = 100
) -> Gauge:
    r"""Scale and mix the units of streams that bear it, so that the sum of squares of all weights is least.

    .. math::
        M \Sigma_\text{write} M^\top = M^{-\top} \Sigma_\text{read} M^{-1}, \qquad
        M^2 = \Sigma_\text{write}^{-1/2} \big(\Sigma_\text{write}^{1/2} \Sigma_\text{read}
            \Sigma_\text{write}^{1/2}\big)^{1/2} \Sigma_\text{write}^{-1/2}

    stream by stream, in turn. Two networks that differ by mixing have least networks that differ by rotations alone,
    and two that differ by positive factors have the same: what is left to find is orthogonal.

    Args:
        scales, mixes: which of the two.
        rounds: over all streams, at most.

    Exactness: the minimum, which is unique but for rotations, to round-off. A stream whose writers or readers do not
    span its units has none and stays as it is.
    Reference: Kempf & Ness 1979; for one layer the balanced weights of Du, Hu & Lee 2018.
    """
    current = {name: value.detach().double() if value.is_floating_point() else value for name, value in state.items()}
    factors: dict[str, Tensor] = {}
    matrices: dict[str, Tensor] = {}
    mixed = [stream for stream in spec.streams if mixes and stream.mixes]
    scaled = [stream for stream in spec.streams if scales and stream.scales and not (mixes and stream.mixes)]
    for _ in range(rounds):
        moved = 0.0
        for stream in scaled:
            write, read = (squares(stream, current, sign).diagonal() for sign in (1, -1))
            alive = (write > 0) & (read > 0)
            factor = torch.where(alive, (read / write.clamp(min=1e-300)) ** 0.25, 1.0)
            current = scale(spec, {stream.name: factor}, current)
            factors[stream.name] = factors.get(stream.name, torch.ones(stream.size, dtype=torch.float64)) * factor
            moved = max(moved, float((factor - 1).abs().max()))
        for stream in mixed:
            write, read = (squares(stream, current, sign) for sign in (1, -1))
            if not (spans(write) and spans(read)):
                continue
            half, back = root(write, 0.5), root(write, -0.5)
            matrix = root(back @ root(half @ read @ half, 0.5) @ back, 0.5)
            current = mix(spec, {stream.name: matrix}, current)
            matrices[stream.name] = matrix @ matrices.get(stream.name, torch.eye(stream.size, dtype=torch.float64))
            moved = max(moved, float((matrix - torch.eye(stream.size)).abs().max()))
        if moved < 1e-12:
            break
    return Gauge(current, factors, matrices)


def between(first: Gauge, second: Gauge, name: str, other: str, turn: Tensor) -> Tensor:
    """The matrix that takes a stream of the second network to one of the first, by a rotation of their least ones."""
    matrix = turn
    if other in second.matrices:
        matrix = matrix @ second.matrices[other]
    if name in first.matrices:
        matrix = torch.linalg.solve(first.matrices[name], matrix)
    return matrix
