"""Of all networks that differ by scaling and mixing hidden units: the one with the least weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geoequiv.alignment.spec import PermutationSpec, StateDict, Stream, mix, scale

#: a stream whose weights reach some direction of its units by less than this part of the largest has no minimum
SPAN = 1e-10


@dataclass(frozen=True, eq=False)
class Gauge:
    """How a network was transformed to the one with the least weights.

    Args:
        state: the least network, in float64.
        factors: stream → ``[size]``, what its units were multiplied by.
        matrices: stream → ``[size, size]``, what its units were mixed by; missing streams were left unchanged.
    """

    state: Mapping[str, Tensor]
    factors: Mapping[str, Tensor] = field(default_factory=dict)
    matrices: Mapping[str, Tensor] = field(default_factory=dict)


def finite(weights: Tensor) -> Tensor:
    """In float64 on the CPU; what is not finite counts as 0."""
    return weights.detach().double().cpu().nan_to_num(0.0, 0.0, 0.0)


def squares(stream: Stream, state: StateDict, sign: int) -> Tensor:
    """Gram matrix of the weights that write the units (sign 1) or read them (−1), ``[size, size]``."""
    total = torch.zeros(stream.size, stream.size, dtype=torch.float64)
    for place in stream.places:
        if place.sign == sign:
            rows = finite(state[place.tensor]).movedim(place.axis, 0)[place.index].flatten(1)
            total = total + rows @ rows.mT
    return total


def lengths(stream: Stream, state: StateDict, sign: int) -> Tensor:
    """Squared norms of the weights that write each unit (sign 1) or read it (−1), ``[size]``."""
    total = torch.zeros(stream.size, dtype=torch.float64)
    for place in stream.places:
        if place.sign == sign:
            total += finite(state[place.tensor]).movedim(place.axis, 0)[place.index].flatten(1).square().sum(1)
    return total


def matrix_power(matrix: Tensor, power: float) -> Tensor:
    """A power of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh((matrix + matrix.mT) / 2)
    return (vectors * values.clamp(min=0) ** power) @ vectors.mT


def spans(matrix: Tensor) -> bool:
    """Whether weights with this Gram matrix span all units."""
    values = torch.linalg.eigvalsh(matrix)
    return bool(values[-1] > 0 and values[0] > SPAN * values[-1])


def least(
    spec: PermutationSpec, state: StateDict, *, scales: bool = True, mixes: bool = True, rounds: int = 100,
    only: Mapping[str, Tensor] | None = None,
) -> Gauge:  # fmt: skip
    r"""Scale and mix the units of streams that allow it, so that the sum of squares of all weights is least.

    .. math::
        M \Sigma_\text{write} M^\top = M^{-\top} \Sigma_\text{read} M^{-1}, \qquad
        M^2 = \Sigma_\text{write}^{-1/2} \big(\Sigma_\text{write}^{1/2} \Sigma_\text{read}
            \Sigma_\text{write}^{1/2}\big)^{1/2} \Sigma_\text{write}^{-1/2}

    one stream after the other. The least networks of two networks that differ by mixing differ by rotations alone;
    those
    of two that differ by positive factors are equal: what is left to find is orthogonal.

    Args:
        scales, mixes: whether to scale, whether to mix.
        rounds: largest number of passes over all streams.
        only: stream → which units ``[size]`` are scaled; None for all of all streams.

    Exactness: the minimum, which is unique up to rotations, to round-off. A stream whose writers or readers do not span
    its units has no minimum and is left as it is. A unit that nothing reads, or nothing writes, has none either: then
    the weights that it has are scaled to length 1.
    Reference: Kempf & Ness 1979; for one layer the balanced weights of Du, Hu & Lee 2018.
    """
    current = {name: value.detach().double() if value.is_floating_point() else value for name, value in state.items()}
    factors: dict[str, Tensor] = {}
    matrices: dict[str, Tensor] = {}
    mixed = [stream for stream in spec.streams if mixes and stream.mixes]
    scaled = [
        stream for stream in spec.streams
        if scales and stream.scales and not (mixes and stream.mixes) and (only is None or stream.name in only)
    ]  # fmt: skip
    for _ in range(rounds):
        change = 0.0
        for stream in scaled:
            write, read = (lengths(stream, current, sign) for sign in (1, -1))
            factor = torch.where(read > 0, read, 1.0) ** 0.25 / torch.where(write > 0, write, 1.0) ** 0.25
            factor = torch.where((read > 0) == (write > 0), factor, factor.square())
            factor = factor if only is None else torch.where(only[stream.name].cpu(), factor, 1.0)
            current = scale(spec, {stream.name: factor}, current)
            factors[stream.name] = factors.get(stream.name, torch.ones(stream.size, dtype=torch.float64)) * factor
            change = max(change, float((factor - 1).abs().max()))
        for stream in mixed:
            write, read = (squares(stream, current, sign) for sign in (1, -1))
            if not (spans(write) and spans(read)):
                continue
            half, back = matrix_power(write, 0.5), matrix_power(write, -0.5)
            matrix = matrix_power(back @ matrix_power(half @ read @ half, 0.5) @ back, 0.5)
            current = mix(spec, {stream.name: matrix}, current)
            matrices[stream.name] = matrix @ matrices.get(stream.name, torch.eye(stream.size, dtype=torch.float64))
            change = max(change, float((matrix - torch.eye(stream.size)).abs().max()))
        if change < 1e-12:
            break
    return Gauge(current, factors, matrices)


def between(first: Gauge, second: Gauge, name: str, other: str, rotation: Tensor) -> Tensor:
    """The matrix that takes a stream of the second network to the first, from the rotation of their least ones."""
    matrix = rotation
    if other in second.matrices:
        matrix = matrix @ second.matrices[other]
    if name in first.matrices:
        matrix = torch.linalg.solve(first.matrices[name], matrix)
    return matrix
