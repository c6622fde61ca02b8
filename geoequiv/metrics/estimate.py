"""Numbers with their standard errors, and where those come from."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    r"""A mean over items and group elements, with a standard error for each of the two.

    .. math:: \text{se}^2 = \text{se}_\text{items}^2 + \text{se}_\text{elements}^2

    Args:
        value: the mean.
        items: standard error from having seen these n items only (the spread of the items' means over √n); ``None``
            with one item.
        elements: standard error from having drawn M group elements only (the spread of the elements' means over √M);
            0 where all elements of a finite group were taken, ``None`` with one draw.

    Exactness: both parts hold the residual spread σ²/(nM) once, so that ``se`` counts it twice: never too small in
    expectation.
    """

    value: float
    items: float | None
    elements: float | None

    @property
    def se(self) -> float | None:
        """Both sources together; ``None`` where neither is known."""
        known = [part for part in (self.items, self.elements) if part is not None]
        return math.hypot(*known) if known else None

    def as_dict(self) -> dict[str, Any]:
        """``value``, ``se``, ``se_items``, ``se_elements``, for JSON."""
        return {"value": self.value, "se": self.se, "se_items": self.items, "se_elements": self.elements}

    def __str__(self) -> str:
        return f"{self.value:.2e}" if self.se is None else f"{self.value:.2e} ± {self.se:.0e}"


def spread(means: Tensor) -> float | None:
    """Standard error of the mean of independent values ``[k]``; ``None`` for one value."""
    return float(means.std() / math.sqrt(len(means))) if len(means) > 1 else None


def estimate(values: Tensor, *, all_elements: bool) -> Estimate:
    """Mean of ``[M, n]`` values with the standard errors of both axes.

    Args:
        values: one row per group element, one column per item.
        all_elements: whether the rows are all elements of a finite group, which leaves no error from drawing.
    """
    return Estimate(float(values.mean()), spread(values.mean(0)), 0.0 if all_elements else spread(values.mean(1)))


def jackknife(whole: Tensor, without: Tensor, *, all_elements: bool) -> Estimate:
    r"""Mean of per-item values of a statistic that is not a mean over elements, such as the distance to an average.

    .. math:: \text{se}_\text{elements}^2 = \frac{K - 1}{K} \sum_k (s_{-k} - \bar s)^2

    Args:
        whole: ``[n]``, from all elements.
        without: ``[K, n]``, from all elements but the k-th part of them.
    """
    parts = without.mean(-1)
    count = len(parts)
    drawn = float(((count - 1) * parts.var(correction=0)).sqrt()) if count > 1 else None
    return Estimate(float(whole.mean()), spread(whole), 0.0 if all_elements else drawn)


def as_plain(value: Any) -> Any:
    """A frozen value of this room as JSON-able data: estimates by ``as_dict``, tuples as lists."""
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if isinstance(value, dict):
        return {key: as_plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(entry) for entry in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value
