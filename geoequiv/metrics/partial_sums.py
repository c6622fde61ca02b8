"""Sums over group elements that also give the mean without a part of them, for the jackknife."""

from collections.abc import Mapping

from torch import Tensor

#: Parts that the elements are dealt into.
PARTS = 8


class PartialSums:
    """Sums of named tensors over ``count`` group elements, dealt into at most ``PARTS`` parts.

    Sums are kept in float64: outputs may have an offset that is large beside their errors.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.parts: list[dict[str, Tensor]] = [{} for _ in range(min(PARTS, count))]

    def add(self, index: int, name: str, values: Tensor) -> None:
        """Add what the element ``index`` gives."""
        part = self.parts[index % len(self.parts)]
        wide = values.double()
        part[name] = part[name] + wide if name in part else wide

    def mean(self) -> dict[str, Tensor]:
        """Mean over all elements."""
        return {name: value / self.count for name, value in self.total().items()}

    def means_without(self) -> list[dict[str, Tensor]]:
        """Mean over all elements but the k-th part, for each k; empty for one element."""
        total, number = self.total(), len(self.parts)
        sizes = [len(range(k, self.count, number)) for k in range(number)]
        return [
            {name: (total[name] - part[name]) / (self.count - size) for name in total}
            for part, size in zip(self.parts, sizes, strict=True)
            if self.count > size
        ]

    def total(self) -> Mapping[str, Tensor]:
        """Sum over all elements."""
        first, *others = self.parts
        return {name: sum((part[name] for part in others), value) for name, value in first.items()}
