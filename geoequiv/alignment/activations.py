"""Activation matching: units that do the same on the same data."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment.assignment import assign, assign_blocks, block_streams, plain_streams
from geoequiv.alignment.labels import tensors_in
from geoequiv.alignment.matching import Matching
from geoequiv.alignment.permutation_spec import PermutationSpec, Stream
from geoequiv.alignment.tracer import Inputs, Tap, call
from geoequiv.alignment.weights import match_weights
from geoequiv.errors import AlignmentError

#: a unit whose variance is below this part of the largest one of its layer is dead
DEAD = 1e-12


@dataclass
class Moments:
    """Streamed sums of two networks' features at one tap, in float64, shifted by the first batch's means.

    Args:
        first, second: ``[F]`` sums of squares; ``cross``: ``[F, F]``; ``mean_first``, ``mean_second``: sums.
    """

    rows: int = 0
    shift: tuple[Tensor, Tensor] | None = None
    sums: list[Tensor] = field(default_factory=list)
    broken: Tensor | None = None

    def add(self, a: Tensor, b: Tensor) -> None:
        """One batch: features ``[F, …]`` of both networks."""
        if self.shift is None:
            self.shift = (a.nan_to_num(0, 0, 0).flatten(1).mean(1), b.nan_to_num(0, 0, 0).flatten(1).mean(1))
            self.broken = torch.zeros(len(a), dtype=torch.bool, device=a.device)
        parts = products(*(less(each, s) for each, s in zip((a, b), self.shift, strict=True)))
        if not all(bool(torch.isfinite(part).all()) for part in parts[:4]):
            self.broken = self.broken | ~(torch.isfinite(a) & torch.isfinite(b)).flatten(1).all(1)
            parts = products(*(less(each.nan_to_num(0, 0, 0), s) for each, s in zip((a, b), self.shift, strict=True)))
        self.sums = [s + p for s, p in zip(self.sums, parts, strict=True)] if self.sums else parts
        self.rows += a[0].numel()

    def covariance(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of the units at places ``[size, k]``: between the networks ``[size, size]``, and both variances."""
        total, first, second = 0.0, 0.0, 0.0
        mean_a, mean_b, square_a, square_b, cross = self.sums
        for place in index.T:
            a, b = mean_a[place], mean_b[place]
            total = total + cross[place][:, place] / self.rows - torch.outer(a, b) / self.rows**2
            first = first + square_a[place] / self.rows - (a / self.rows).square()
            second = second + square_b[place] / self.rows - (b / self.rows).square()
        return total, first, second

    def moment(self, index: Tensor) -> Tensor:
        """Mean products about 0, ``[size, size]``."""
        assert self.shift is not None
        mean_a, mean_b, _, _, cross = self.sums
        a, b = (part.double() for part in self.shift)
        whole = cross / self.rows + torch.outer(mean_a / self.rows, b) + torch.outer(a, mean_b / self.rows)
        whole = whole + torch.outer(a, b)
        return sum((whole[place][:, place] for place in index.T), torch.zeros(1, dtype=torch.float64))

    def energy(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squares about 0 of the units ``[size]``, in both networks."""
        assert self.shift is not None
        found = []
        for k in range(2):
            shift, mean, square = self.shift[k].double(), self.sums[k] / self.rows, self.sums[k + 2] / self.rows
            found.append((square + 2 * shift * mean + shift.square())[index].sum(-1))
        return found[0], found[1]


def less(values: Tensor, shift: Tensor) -> Tensor:
    """Features ``[F, …]`` less their shift, ``[F, rows]``, in one pass over them."""
    column = shift.reshape(-1, *(1,) * (values.ndim - 1))
    if values.ndim == 2 or values.stride(0) == 1:  # rows by features in memory: a product takes them as they are
        return values.flatten(1) - column.flatten(1)
    return torch.sub(values, column, out=values.new_empty(values.shape)).flatten(1)


def products(a: Tensor, b: Tensor) -> list[Tensor]:
    """Sums, sums of squares and of products over the rows of ``[F, rows]`` features, in float64 from here on."""
    squares = [torch.linalg.vector_norm(each, dim=1).double().square() for each in (a, b)]
    return [a.sum(1).double(), b.sum(1).double(), *squares, (a @ b.mT).double()]


@contextmanager
def listening(
    model: nn.Module, taps: Iterable[Tap], heard: dict[Tap, Tensor], versions: dict[Tap, int], copy: bool
) -> Iterator[None]:
    """Put what modules return, at the taps, into ``heard``: ``[F, …]``, as it stands or copied."""
    wanted: dict[str, list[Tap]] = {}
    for tap in taps:
        wanted.setdefault(tap.module, []).append(tap)
    counts: dict[str, int] = {}

    def hook(name: str) -> Any:
        def after(module: nn.Module, args: Any, output: Any) -> None:
            turn = counts[name] = counts.get(name, -1) + 1
            tensors = list(tensors_in(output))
            for tap in wanted[name]:
                if tap.call == turn:
                    values = tensors[tap.leaf]
                    heard[tap] = (values.clone() if copy else values).movedim(tap.axis, 0)
                    versions[tap] = heard[tap]._version

        return after

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(hook(name)) for name in wanted]
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes:
            part.training = mode


def hear(model: nn.Module, inputs: Inputs, taps: Iterable[Tap], copy: bool) -> dict[Tap, Tensor] | None:
    """What a network's modules return on a batch; None if it was not copied and has changed meanwhile."""
    heard: dict[Tap, Tensor] = {}
    versions: dict[Tap, int] = {}
    with torch.no_grad(), listening(model, taps, heard, versions, copy):
        call(model, inputs)
    return None if any(heard[tap]._version != version for tap, version in versions.items()) else heard


def observe(
    first: nn.Module, second: nn.Module, spec: PermutationSpec, batches: Iterable[Inputs]
) -> dict[Tap, Moments]:
    """Run both networks over the batches and stream their moments; memory does not grow with the data."""
    found: dict[Tap, Moments] = {tap: Moments() for tap, _ in spec.taps.values()}
    copy = False
    for inputs in batches:
        heard = [hear(model, inputs, found, copy) for model in (first, second)]
        if None in heard:  # a later layer writes in place into what was heard
            copy = True
            heard = [hear(model, inputs, found, copy) for model in (first, second)]
        one, two = heard
        assert one is not None
        assert two is not None
        for tap, moments in found.items():
            if tap not in one or one[tap].shape != two.get(tap, torch.empty(0)).shape:
                raise AlignmentError(f"Layer '{tap.module}' does not return the same shapes in both networks.")
            moments.add(one[tap], two[tap])
    return found


def match_activations(
    first: nn.Module,
    second: nn.Module,
    spec: PermutationSpec,
    batches: Iterable[Inputs],
    *,
    scales: bool = False,
    mixes: bool = False,
) -> Matching:
    r"""Match units by the correlation of their activations, over all batches and all nodes, pairs or pixels.

    .. math:: p = \arg\max_p \sum_i \operatorname{corr}\big(a_i,\, b_{p(i)}\big)

    One permutation per stream, from the last place where the stream can be seen whole. Heads are matched by the best
    that their insides can do.

    Args:
        first, second: networks of one architecture; ``spec`` is of both.
        batches: inputs, each as ``permutation_spec`` takes them.
        scales: also find factors for streams that bear them: the ratio of standard deviations where they scale, and
            the sign of the correlation where they flip.
        mixes: match streams that can be mixed by an orthogonal matrix (Procrustes: the polar factor of the mean of
            :math:`a\,b^\top`) instead of a permutation.

    Raises:
        AlignmentError: fewer samples than units, or networks of different architectures.

    Exactness: products in the networks' dtype, sums in float64. Dead units and units that are not finite correlate
    with nothing; the matching counts them.
    Reference: Li et al. 2016 (convergent learning); Bökman & Kahl 2023, who stream it in float64 over all positions.
    """
    spec.check(first.state_dict())
    spec.check(second.state_dict())
    moments = observe(first, second, spec, batches)
    permutation: dict[str, Tensor] = {}
    factors: dict[str, Tensor] = {}
    matrices: dict[str, Tensor] = {}
    scores: dict[str, Tensor] = {}
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    dead: dict[str, int] = {}
    broken: dict[str, int] = {}

    def correlation(streams: list[Stream]) -> tuple[Tensor, Tensor]:
        """Of all units of these streams ``[n, n]``, and the ratios of their standard deviations ``[n, n]``."""
        names = [stream.name for stream in streams]
        tap, _ = spec.taps[names[0]]
        index = torch.cat([spec.taps[name][1] for name in names])
        seen = moments[tap]
        if seen.rows < len(index):
            raise AlignmentError(
                f"{seen.rows} samples cannot rank the {len(index)} units of '{names[0]}': give more data (at least as "
                "many rows as units, counting items, nodes and pixels)."
            )
        covariance, one, two = seen.covariance(index)
        assert seen.broken is not None
        sick = seen.broken[index].any(-1)
        still = [part <= DEAD * part[~sick].max().clamp(min=1e-300) if bool((~sick).any()) else sick
                 for part in (one, two)]  # fmt: skip
        scaled = covariance / (one.sqrt().unsqueeze(1) * two.sqrt()).clamp(min=1e-300)
        scaled[still[0] | sick] = 0.0
        scaled[:, still[1] | sick] = 0.0
        for name, bad, quiet in zip(names, sick.split([s.size for s in streams]),
                                    (still[0] | still[1]).split([s.size for s in streams]), strict=True):  # fmt: skip
            broken[name], dead[name] = int(bad.sum()), int((quiet & ~bad).sum())
            ones = scaled.diagonal()
            before[name] = float(ones.mean())
        ratio = (one.sqrt().unsqueeze(1) / two.sqrt().clamp(min=1e-300)).nan_to_num(1.0)
        return scaled.clamp(-1, 1), ratio

    for stream in plain_streams(spec):
        if stream.name not in spec.taps:
            continue
        score, ratio = correlation([stream])
        scores[stream.name] = score
        if mixes and stream.mixes:
            tap, index = spec.taps[stream.name]
            left, _, right = torch.linalg.svd(moments[tap].moment(index))
            matrices[stream.name] = left @ right
            continue
        signs = score.sign() if scales and stream.flips else torch.ones_like(score)
        order = permutation[stream.name] = assign(score * signs)
        chosen = (torch.arange(stream.size), order)
        after[stream.name] = float((score * signs)[chosen].mean())
        if scales and (stream.scales or stream.flips):
            factor = signs[chosen] if stream.flips else torch.ones(stream.size, dtype=torch.float64)
            factor = torch.where(factor == 0, 1.0, factor)
            if stream.scales:
                alive = score[chosen] != 0
                factor = factor * torch.where(alive, ratio[chosen], 1.0)
            factors[stream.name] = factor
    for block in block_streams(spec):
        if any(stream.name not in spec.taps for stream in spec.inside(block.name)):
            continue
        if mixes and all(stream.mixes for stream in spec.inside(block.name)):
            permutation[block.name], turns = rotate_blocks(spec, block, moments)
            matrices |= turns
            continue
        permutation |= assign_blocks(spec, block, lambda kind: correlation(kind)[0])
    hidden = tuple(stream.name for stream in plain_streams(spec) if stream.name not in spec.taps)
    hidden += tuple(block.name for block in block_streams(spec) if block.name not in permutation)
    rows = min((seen.rows for seen in moments.values()), default=0)
    found = Matching(spec, (permutation,), factors, matrices, before, after, dead, broken, scores, hidden, rows)
    if not hidden:
        return found
    rest = match_weights(first.state_dict(), found.apply(second.state_dict()), spec, only=hidden)
    return replace(found, permutations=(permutation, *rest.permutations), before=before | rest.before,
                   after=after | rest.after)  # fmt: skip


def rotate_blocks(
    spec: PermutationSpec, block: Stream, moments: dict[Tap, Moments]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Exchange blocks (heads), and turn the units inside them by orthogonal matrices.

    Returns:
        The permutation of the blocks, and stream inside → matrix, to be applied after it.

    Exactness: every pair of blocks is turned best (Procrustes); the blocks are assigned by how well that goes.
    """
    score = torch.zeros(block.size, block.size, dtype=torch.float64)
    crosses = []
    for kind in spec.kinds(block.name):
        tap = spec.taps[kind[0].name][0]
        index = torch.cat([spec.taps[stream.name][1] for stream in kind])
        size = kind[0].size
        cross = moments[tap].moment(index).unflatten(0, (-1, size)).unflatten(2, (-1, size)).transpose(1, 2)
        one, two = (part.unflatten(0, (-1, size)).sum(-1) for part in moments[tap].energy(index))
        overlap = torch.linalg.matrix_norm(cross, "nuc")  # [blocks, blocks]
        score += overlap / (one.unsqueeze(1) * two).sqrt().clamp(min=1e-300)
        crosses.append(cross)
    order = assign(score)
    turns = {}
    for kind, cross in zip(spec.kinds(block.name), crosses, strict=True):
        for number, stream in enumerate(kind):
            left, _, right = torch.linalg.svd(cross[number, order[number]])
            turns[stream.name] = left @ right
    return order, turns
