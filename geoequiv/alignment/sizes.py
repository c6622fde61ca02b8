"""Sizes of units: what those of a second network are multiplied by to have the sizes of a first."""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from geoequiv.alignment.gauge import Gauge
from geoequiv.alignment.spec import Permutation, PermutationSpec, Stream
from geoequiv.alignment.steps import permuted


def sizes_of(
    first: Gauge,
    second: Gauge,
    permutations: Sequence[Permutation],
    spec: PermutationSpec,
    only: Collection[str] | None = None,
) -> dict[str, Tensor]:
    """What the units of the second network are multiplied by after these permutations: the ratio of the two gauges."""
    values: dict[str, Tensor] = dict(second.factors)
    for permutation in permutations:
        values = permuted(values, permutation, spec)
    names = {name for name in first.factors if only is None or name in only or outer(spec[name]) in only}
    return {name: values[name] / first.factors[name] for name in first.factors if name in names}


def outer(stream: Stream) -> str:
    """The stream of blocks that holds a stream; its own name where none does."""
    return stream.name if stream.block is None else stream.block[0]


def with_sizes(factors: Mapping[str, Tensor], sizes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Factors ``[flips, size]`` or ``[size]`` with their magnitudes, which are in the first row, multiplied."""
    found = dict(factors)
    for name, size in sizes.items():
        rows = found.get(name, torch.ones(1, len(size), dtype=torch.float64))
        rows = rows if rows.ndim == 2 else rows.unsqueeze(0)
        found[name] = torch.cat([(rows[0] * size).unsqueeze(0), rows[1:]])
    return found
