r"""Products of steerable features with the spherical harmonics of pairs, summed over senders.

A path (k1, l2, k3) couples a feature of kind k1 with harmonics of degree l2 to kind k3. Its coefficients and harmonics
make one small matrix per pair that no channel enters, :math:`K_{ij}[m_3, m_1] = \sum_{m_2} C_{m_1 m_2 m_3}
Y_{l_2 m_2}(\hat r_{ij})`. It is made once per forward pass and shared by all layers, and the sum over senders and
components is one matrix product per receiver.
"""

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError
from geoequiv.models.layers.clebsch_gordan import Couplings, Harmonics, Triple, smooth_direction
from geoequiv.models.layers.cloud import Cloud, smooth_norm
from geoequiv.models.layers.pairs import AllPairs, Pairs
from geoequiv.models.layers.steerable import SCALAR, Channels, Kind, Steerable, SteerableAdapter, label, mixing, natural

Path = tuple[Kind, int, Kind]
#: ``[..., N, 2l3+1, (N−1)·(2l1+1)]`` per receiver (dense) or ``[E, 2l3+1, 2l1+1]`` per edge, by degrees
Kernels = dict[Triple, Tensor]


def paths_between(inputs: Channels, outputs: Channels, l_max: int, parity: bool) -> list[Path]:
    """All couplings of these kinds through harmonics up to ``l_max`` that a rotation (and a reflection) allows."""
    return [
        (first, degree, last)
        for first in inputs
        for degree in range(l_max + 1)
        for last in outputs
        if abs(first[0] - degree) <= last[0] <= first[0] + degree
        and first[1] * natural(degree, parity)[1] == last[1]
    ]  # fmt: skip


def kinds_by_layer(adapter: SteerableAdapter, hidden: Channels, depth: int, l_max: int) -> list[list[Kind]]:
    """Kinds before the first and after each of ``depth`` convolutions: those that exist by then and that are of use.

    Raises:
        SignatureError: if an output cannot be reached in so many convolutions.
    """
    reached = [[kind for kind in hidden if kind in adapter.inputs]]
    for _ in range(depth):
        found = {last for _, _, last in paths_between(hidden_of(reached[-1]), hidden, l_max, adapter.parity)}
        reached.append([kind for kind in hidden if kind in found or kind in reached[-1]])
    for kind in adapter.outputs:
        if kind not in reached[-1]:
            raise SignatureError(
                f"{depth} layers cannot make an output of irrep {label(kind)} from the inputs of "
                f"'{adapter.signature}'; take a larger depth."
            )
    useful = [[kind for kind in reached[-1] if kind in adapter.outputs or kind == SCALAR]]
    for kinds in reversed(reached[:-1]):
        last = hidden_of(useful[0])
        leading = {first for first, _, _ in paths_between(hidden_of(kinds), last, l_max, adapter.parity)}
        useful.insert(0, [kind for kind in kinds if kind in leading or kind in last])
    return useful


def hidden_of(kinds: list[Kind], width: int = 1) -> Channels:
    """``width`` channels of each kind."""
    return dict.fromkeys(kinds, width)


def triples_of(*paths: list[Path]) -> tuple[Triple, ...]:
    """The degrees that occur in some lists of paths, each once."""
    return tuple(dict.fromkeys((first[0], degree, last[0]) for each in paths for first, degree, last in each))


def shares(pairs: Pairs, like: Tensor, mean: bool) -> Tensor | float:
    """What each pair counts in a sum (or mean) over senders: ``[..., N, N−1, 1]`` (or ``[E, 1]``), 0 for padding."""
    if isinstance(pairs, AllPairs):
        if pairs.mask is None:
            return 1 / max(pairs.nodes - 1, 1) if mean else 1.0
        counts = pairs.sender(pairs.mask.unsqueeze(-1).to(like.dtype))
        if not mean:
            return counts
        others = pairs.mask.sum(-1, keepdim=True) - pairs.mask.long()
        return counts / others.clamp(min=1)[..., None, None]
    if not mean:
        return 1.0
    degree = torch.bincount(pairs.receivers, minlength=pairs.nodes)
    return (1 / degree.clamp(min=1)[pairs.receivers].to(like.dtype)).unsqueeze(-1)


def kernels_of(pairs: Pairs, couplings: Couplings, harmonics: Tensor) -> Kernels:
    """The kernels of all pairs.

    Args:
        pairs: over which features are sent.
        couplings: of the degrees that are wanted.
        harmonics: ``[..., N, N−1, (l_max + 1)²]`` or ``[E, (l_max + 1)²]``, times what each pair counts.
    """
    kernels = couplings(harmonics)
    if isinstance(pairs, AllPairs):
        for triple, block in kernels.items():
            rows, columns = block.shape[-2:]
            aligned = block.movedim(-2, -3)  # [..., N, 2l3+1, N−1, 2l1+1]
            kernels[triple] = aligned.reshape(*aligned.shape[:-3], rows, (pairs.nodes - 1) * columns)
    return kernels


def sent(pairs: Pairs, values: Tensor) -> Tensor:
    """Features of j for each pair: ``[..., N, 2l+1, C]`` → ``[..., N, N−1, 2l+1, C]`` (or ``[E, 2l+1, C]``)."""
    return pairs.sender(values.flatten(-2)).unflatten(-1, tuple(values.shape[-2:]))


def collect(pairs: Pairs, kernel: Tensor, values: Tensor) -> Tensor:
    r""":math:`\sum_j K_{ij} z_{ij}`: ``[..., N, N−1, 2l1+1, C]`` (or ``[E, 2l1+1, C]``) → ``[..., N, 2l3+1, C]``."""
    if isinstance(pairs, AllPairs):
        return kernel @ values.flatten(-3, -2)
    return pairs.sum((kernel @ values).flatten(-2)).unflatten(-1, (kernel.shape[-2], values.shape[-1]))


def pair_geometry(pairs: Pairs, start: Tensor, harmonics: Harmonics, couplings: Couplings, *, mean: bool) -> Kernels:
    """The kernels of the directions between points.

    Args:
        pairs: over which features are sent.
        start: ``[..., N, 3]``.
        harmonics: up to the degree that the couplings need.
        couplings: of the degrees that are wanted.
        mean: whether kernels sum to a mean over senders.
    """
    difference = pairs.difference(start)
    angular = harmonics(smooth_direction(difference)) * shares(pairs, difference, mean)
    return kernels_of(pairs, couplings, angular)


def pair_scalars(cloud: Cloud, pairs: Pairs) -> Tensor:
    """Products of scalars, distances of points and relations of pairs: ``[..., N, N−1, ·]`` or ``[E, ·]``.

    As many as ``SignatureAdapter.pair_invariants``. Distances are not squared: a radial function fits them more easily.
    """
    flat = cloud.points.flatten(-2)
    distances = smooth_norm(pairs.difference(flat).unflatten(-1, cloud.points.shape[-2:]), 1e-8)
    scalars = [pairs.receiver(cloud.scalars) * pairs.sender(cloud.scalars), distances]
    if isinstance(pairs, AllPairs) and cloud.relations.numel():
        scalars.append(pairs.between(cloud.relations))
    return torch.cat(scalars, dim=-1)


def softmax_over_senders(pairs: Pairs, logits: Tensor) -> Tensor:
    """Softmax over j: ``[..., N, N−1, H]`` (or ``[E, H]``) → the same; padding gets 0 unless there is nothing else."""
    if isinstance(pairs, AllPairs):
        if pairs.mask is not None:
            hidden = ~pairs.sender(pairs.mask.unsqueeze(-1))
            logits = logits.masked_fill(hidden, torch.finfo(logits.dtype).min)
        return logits.softmax(dim=-2)
    index = pairs.receivers.unsqueeze(-1).expand_as(logits)
    highest = logits.new_zeros(pairs.nodes, logits.shape[-1])
    highest = highest.scatter_reduce(0, index, logits.detach(), "amax", include_self=False)
    weights = (logits - pairs.receiver(highest)).exp()
    return weights / pairs.receiver(pairs.sum(weights))


class RadialWeights(nn.Sequential):
    r"""A learned function of the invariants of a pair, one weight per path and channel.

    Args:
        invariants: features of a pair.
        width: hidden features.
        outputs: weights; of variance 1 at the start where the invariants are of order 1.
    """

    def __init__(self, invariants: int, width: int, outputs: int) -> None:
        last = nn.Linear(width, outputs, bias=False)
        nn.init.normal_(last.weight, std=(4 / width) ** 0.5)  # SiLU of order-1 values has a variance near 1/4
        super().__init__(nn.Linear(invariants, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), last)


class PairConvolution(nn.Module):
    r"""The convolution of a tensor field network, channel by channel (``uvu``), then a linear map of the paths.

    .. math::
        m_i^{p} = \sum_{j} w^{p}_{ij} \odot \bigl(h_j^{k_1} \otimes Y_{l_2}(\hat r_{ij})\bigr)^{k_3}, \qquad
        o_i^{k_3} = \sum_{p \to k_3} m_i^{p} W^{p}

    Args:
        inputs: channels by kind, the same number C of each.
        outputs: channels by kind; those that no path reaches are left out of the result.
        l_max: highest degree of the harmonics.
        parity: whether features have parities (O(3)) or not (SO(3)).
        scale: factor on the initial weights of the linear map, which are those of ``nn.Linear`` for the factor 1.
    """

    def __init__(self, inputs: Channels, outputs: Channels, l_max: int, parity: bool, *, scale: float = 1.0) -> None:
        super().__init__()
        (width,) = set(inputs.values())
        self.width, self.paths = width, paths_between(inputs, outputs, l_max, parity)
        self.sources = list(dict.fromkeys(first for first, _, _ in self.paths))
        self.weights = len(self.paths) * width
        into = {kind: sum(last == kind for _, _, last in self.paths) for kind in outputs}
        self.outputs = {kind: count for kind, count in outputs.items() if into[kind]}
        self.mix = nn.ParameterList(mixing(into[kind] * width, count, scale) for kind, count in self.outputs.items())

    def forward(self, pairs: Pairs, kernels: Kernels, nodes: Steerable, weights: Tensor) -> Steerable:
        """Features of nodes and ``[..., N, N−1, weights]`` (or ``[E, weights]``) → features of nodes."""
        sends = {kind: sent(pairs, nodes[kind]) for kind in self.sources}
        each = weights.unflatten(-1, (len(self.paths), 1, self.width)).unbind(-3)
        gathered: dict[Kind, list[Tensor]] = {kind: [] for kind in self.outputs}
        for (first, degree, last), weight in zip(self.paths, each, strict=True):
            kernel = kernels[first[0], degree, last[0]]
            gathered[last].append(collect(pairs, kernel, sends[first] * weight))
        return {kind: torch.cat(gathered[kind], dim=-1) @ mix for kind, mix in zip(self.outputs, self.mix, strict=True)}
