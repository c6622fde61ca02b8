"""Steerable features: conversion from and to named fields, linear maps and gates.

A feature of degree l is ``[..., 2l+1, C]``, components before channels, so that a linear map is a plain matrix product.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import FieldType, Signature
from geoequiv.models.layers.clebsch_gordan import Constant, matrix_part
from geoequiv.models.layers.cloud import GEOMETRIC, Cloud, SignatureAdapter, smooth_norm

#: degree and parity, as (1, -1) for vectors; without parity (SO(3)) everything is even
Kind = tuple[int, int]
Channels = dict[Kind, int]
Steerable = dict[Kind, Tensor]

SCALAR: Kind = (0, 1)
#: factor on the initial weights of the last layer: outputs start near the input points
HEAD_SCALE = 0.01
READABLE = (*GEOMETRIC, "pseudoscalar", "pseudovector", "tensor", "irreps")
PARTS: dict[str, list[Kind]] = {
    "scalar": [(0, 1)], "pseudoscalar": [(0, -1)], "point": [(1, -1)], "vector": [(1, -1)], "pseudovector": [(1, 1)],
    "tensor": [(0, 1), (1, 1), (2, 1)],
}  # fmt: skip


def natural(degree: int, parity: bool) -> Kind:
    """The kind of the spherical harmonics of a degree: odd degrees are odd, or even without parities."""
    return degree, (-1) ** degree if parity else 1


def parts_of(field: FieldType, parity: bool) -> list[tuple[Kind, int]]:
    """Kinds and multiplicities that a field is made of, in the order of its components."""
    if field.irreps is None:
        return [((degree, sign if parity else 1), field.multiplicity) for degree, sign in PARTS[field.kind]]
    from e3nn.o3 import Irreps

    return [((irrep.l, irrep.p if parity else 1), copies) for copies, irrep in Irreps(field.irreps)]


class SteerableAdapter(SignatureAdapter):
    r"""Reads named fields of any type into steerable features, writes them back.

    A node starts from its scalars, the norms of its vectors (a constant where there is neither), its vectors and
    further points relative to the first, and all other fields by their irreps; if ``centred``, also from its
    position relative to the centroid of its cloud.

    Args:
        signature: the task's, or its text, with at least one input point.
        architecture: its name, for messages.
        parity: whether features have parities (O(3)) or not (SO(3)).
        centred: whether :math:`x_i - \bar x` is a node feature.
        node_scalars: whether nodes start from their scalars.

    Raises:
        SignatureError: for fields without irreps (images, adjacencies), or without an input point.
    """

    def __init__(
        self, signature: Signature | str, *, architecture: str, parity: bool, centred: bool, node_scalars: bool = True
    ) -> None:
        super().__init__(signature, kinds=READABLE, architecture=architecture, needs_point=True)
        self.parity, self.centred, self.node_scalars = parity, centred, node_scalars
        further = {name: field for name, field in self.signature.inputs.items() if field.kind not in GEOMETRIC}
        self.further = [(field, parts_of(field, parity)) for field in further.values()]
        self.written = [(field, parts_of(field, parity)) for field in self.signature.outputs.values()]
        self.inputs: Channels = {SCALAR: max(node_scalars * self.scalars + self.directions, 1)}
        if self.directions + centred:
            vector = natural(1, parity)
            self.inputs[vector] = self.inputs.get(vector, 0) + self.directions + centred
        for _, parts in self.further:
            add(self.inputs, parts)
        self.matrix_parts = [matrix_part(degree) for degree in range(3)]
        self.outputs: Channels = {}
        for _, parts in self.written:
            add(self.outputs, parts)

    def hidden(self, width: int, l_max: int) -> Channels:
        """Channels between input and output: ``width`` of each degree, of both parities where a field needs it.

        Degrees go up to ``l_max``, or to the highest of a field where that is higher.
        """
        kinds = [*self.inputs, *self.outputs]
        l_max = max([l_max, *(degree for degree, _ in kinds)])
        hidden = [natural(degree, self.parity) for degree in range(l_max + 1)]
        if any(kind not in hidden for kind in kinds):
            hidden = [(degree, sign) for degree in range(l_max + 1) for sign in (1, -1)]
        return dict.fromkeys(hidden, width)

    def features(self, cloud: Cloud, start: Tensor, directions: Tensor) -> Steerable:
        """Initial features of a node (see the class); ``start`` and ``directions`` from ``SignatureAdapter.start``."""
        scalars = smooth_norm(directions)
        if self.node_scalars:
            scalars = torch.cat([cloud.scalars, scalars], dim=-1)
        if not scalars.shape[-1]:
            scalars = torch.ones_like(start[..., :1])
        found: dict[Kind, list[Tensor]] = {SCALAR: [scalars.unsqueeze(-2)]}
        if self.centred:
            centre = cloud.pooled(start if cloud.mask is None else start * cloud.mask.unsqueeze(-1), mean=True)
            centre = centre.unsqueeze(-2) if cloud.batch is None else centre[cloud.batch]
            directions = torch.cat([directions, (start - centre).unsqueeze(-2)], dim=-2)
        if self.directions + self.centred:
            found.setdefault(natural(1, self.parity), []).append(directions.mT)
        used = 0
        for field, parts in self.further:
            values = cloud.other[..., used : used + field.size()]
            used += field.size()
            for kind, part in split(field, parts, values, self.matrix_parts):
                found.setdefault(kind, []).append(part)
        return {kind: torch.cat(parts, dim=-1) for kind, parts in found.items()}

    def write_steerable(self, cloud: Cloud, features: Steerable) -> Tensor | dict[str, Tensor]:
        """Channels of ``outputs`` → named outputs; a point is the input point plus its feature."""
        used = dict.fromkeys(features, 0)
        columns = []
        for field, parts in self.written:
            pieces = []
            for kind, copies in parts:
                pieces.append(features[kind][..., used[kind] : used[kind] + copies])
                used[kind] += copies
            columns.append(join(field, parts, pieces, self.matrix_parts))
        return self.write_flat(cloud, torch.cat(columns, dim=-1))


def add(channels: Channels, parts: list[tuple[Kind, int]]) -> None:
    """Count parts into channels."""
    for kind, copies in parts:
        channels[kind] = channels.get(kind, 0) + copies


def split(
    field: FieldType, parts: list[tuple[Kind, int]], values: Tensor, of_matrices: list[Constant]
) -> list[tuple[Kind, Tensor]]:
    """The parts of a field ``[..., size]``, each ``[..., 2l+1, copies]``; ``of_matrices`` by degree."""
    if field.kind == "tensor":
        flat = values.unflatten(-1, (field.multiplicity, 9))
        return [(kind, (flat @ of_matrices[kind[0]].like(flat)).mT) for kind, _ in parts]
    sizes = [copies * (2 * kind[0] + 1) for kind, copies in parts]
    return [
        (kind, part.unflatten(-1, (copies, 2 * kind[0] + 1)).mT)
        for (kind, copies), part in zip(parts, values.split(sizes, dim=-1), strict=True)
    ]


def join(field: FieldType, parts: list[tuple[Kind, int]], pieces: list[Tensor], of_matrices: list[Constant]) -> Tensor:
    """The inverse of ``split``: ``[..., size]``."""
    if field.kind == "tensor":
        degrees = zip(parts, pieces, strict=True)
        matrices = [piece.mT @ of_matrices[kind[0]].like(piece).mT for (kind, _), piece in degrees]
        return torch.stack(matrices).sum(0).flatten(-2)
    return torch.cat([piece.mT.flatten(-2) for piece in pieces], dim=-1)


class SteerableLinear(nn.Module):
    r"""Mixes channels of one kind: :math:`h_l W_l`, and a bias for true scalars.

    Args:
        inputs: channels by kind.
        outputs: channels by kind; kinds that have no input come out as 0 (scalars: as the bias).
        bias: whether scalars have one.
        scale: factor on the initial weights, :math:`U(\pm 1 / \sqrt{C})` as those of ``nn.Linear``.
    """

    def __init__(self, inputs: Channels, outputs: Channels, *, bias: bool = True, scale: float = 1.0) -> None:
        super().__init__()
        self.inputs, self.outputs = dict(inputs), dict(outputs)
        self.weight = nn.ParameterDict(
            {label(kind): mixing(inputs[kind], outputs[kind], scale) for kind in outputs if inputs.get(kind)}
        )
        self.bias = nn.Parameter(torch.zeros(outputs[SCALAR])) if bias and outputs.get(SCALAR) else None

    def forward(self, features: Steerable) -> Steerable:
        """``[..., 2l+1, C]`` by kind → the same with the channels of ``outputs``; absent kinds are left out."""
        mixed = {
            kind: features[kind] @ self.weight[label(kind)]
            for kind in self.outputs
            if label(kind) in self.weight and kind in features
        }
        if self.bias is not None and SCALAR in mixed:
            mixed[SCALAR] = mixed[SCALAR] + self.bias
        return mixed


def label(kind: Kind) -> str:
    """``"1o"`` for (1, −1)."""
    return f"{kind[0]}{'e' if kind[1] == 1 else 'o'}"


def mixing(inputs: int, outputs: int, scale: float = 1.0) -> nn.Parameter:
    """A weight ``[inputs, outputs]``, initially as that of ``nn.Linear`` times ``scale``."""
    bound = scale * inputs**-0.5
    return nn.Parameter(torch.empty(inputs, outputs).uniform_(-bound, bound))


def gated(channels: Channels) -> Channels:
    """What a gate needs to give ``channels``: one more scalar for each channel that is no true scalar."""
    gates = sum(count for kind, count in channels.items() if kind != SCALAR)
    return {**channels, SCALAR: channels[SCALAR] + gates}


#: 1 / √(E f(z)²) for a standard normal z, as e3nn's normalize2mom
SILU_GAIN, SIGMOID_GAIN = 1.6765324703310909, 1.8462285453386054


def gate(features: Mapping[Kind, Tensor], channels: Channels) -> Steerable:
    """SiLU on scalars; all other kinds times the sigmoid of a scalar of their own.

    Args:
        features: with the channels of ``gated(channels)``; kinds may be missing, their gates are then unused.
        channels: what is to come out.

    Returns:
        Features with ``channels``, whose variance is 1 where that of the input is (e3nn's ``Gate``).
    """
    others = [kind for kind in channels if kind != SCALAR]
    scalars, *gates = features[SCALAR].split([channels[SCALAR], *(channels[kind] for kind in others)], dim=-1)
    result = {SCALAR: SILU_GAIN * F.silu(scalars)}
    for kind, opening in zip(others, gates, strict=True):
        if kind in features:
            result[kind] = features[kind] * (SIGMOID_GAIN * opening.sigmoid())
    return result


class Activation(nn.Module):
    r"""The nonlinearity of steerable features after a linear map.

    ``"gate"``: see ``gate``. ``"norm"``: SiLU on scalars, :math:`h\,\sigma(\|h\| + b)` on all other kinds, the norm
    taken over the components of each channel.

    Args:
        name: "gate" or "norm".
        channels: what is to come out.

    Raises:
        SignatureError: for another name.
    """

    def __init__(self, name: str, channels: Channels) -> None:
        super().__init__()
        if name not in ("gate", "norm"):
            raise SignatureError(unknown("nonlinearity", name, ["gate", "norm"]))
        self.name, self.channels = name, dict(channels)
        self.needs = gated(channels) if name == "gate" else self.channels  # what must go in
        biased = [kind for kind in channels if kind != SCALAR and name == "norm"]
        self.bias = nn.ParameterDict({label(kind): nn.Parameter(torch.zeros(channels[kind])) for kind in biased})

    def forward(self, features: Steerable) -> Steerable:
        """Features with the channels ``needs`` → features with ``channels``."""
        if self.name == "gate":
            return gate(features, self.channels)
        result = {SCALAR: SILU_GAIN * F.silu(features[SCALAR])}
        for kind in self.channels:
            if kind != SCALAR:
                norm = smooth_norm(features[kind].mT).unsqueeze(-2)
                result[kind] = features[kind] * (norm + self.bias[label(kind)]).sigmoid()
        return result


def plus(first: Mapping[Kind, Tensor], second: Mapping[Kind, Tensor]) -> Steerable:
    """Sum by kind; a kind that one of the two lacks is that of the other."""
    summed = dict(first)
    for kind, values in second.items():
        summed[kind] = summed[kind] + values if kind in summed else values
    return summed
