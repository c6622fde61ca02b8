"""What a matching of hidden units says of them: correlations before and after, and the cycles of the permutation."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from geoequiv.alignment import Matching
from geoequiv.alignment.assignment import plain_streams


def units_of(matching: Matching) -> dict[str, Any]:
    """Mean correlations of matched units by stream, and how many units are in cycles of each length.

    A permutation that a group element of order n causes has cycles of lengths that divide n.
    """
    spec, known = matching.spec, matching.after
    layers = {
        name: {"before": matching.before[name], "after": known[name]} for name in known if name in matching.before
    }
    sizes = {name: spec[name].size for name in layers}
    total = sum(sizes.values())
    means = {
        when: sum(sizes[name] * layers[name][when] for name in layers) / total if total else None
        for when in ("before", "after")
    }
    permuted = {name for permutation in matching.permutations for name in permutation}
    lengths = Counter(
        length for stream in plain_streams(spec) if stream.name in permuted
        for length in cycle_lengths(matching.permutation(stream.name).tolist())
    )  # fmt: skip
    return {"correlation": means, "layers": layers,
            "cycles": {str(length): lengths[length] for length in sorted(lengths)}}  # fmt: skip


def cycle_lengths(permutation: Sequence[int]) -> list[int]:
    """For each unit, the length of its cycle.

    >>> cycle_lengths([1, 0, 2])
    [2, 2, 1]
    """
    lengths = [0] * len(permutation)
    for start in range(len(permutation)):
        if not lengths[start]:
            cycle, at = [start], permutation[start]
            while at != start:
                cycle.append(at)
                at = permutation[at]
            for each in cycle:
                lengths[each] = len(cycle)
    return lengths
