"""Test-time averaging: the model is trained as it is, and averaged only when it is evaluated."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from geoequiv.fields import Signature
from geoequiv.groups import Group
from geoequiv.ranges import PositiveInt
from geoequiv.symmetrize.wrappers import GroupAveraging


class TestTimeAveraging(GroupAveraging):
    r"""A model that is averaged over a group in evaluation mode, and called as it is while training.

    .. math:: \Phi(x) = \frac1M \sum_i \rho_\text{out}(g_i)\, f(\rho_\text{in}(g_i)^{-1} x) \quad
              \text{in evaluation}, \qquad \Phi(x) = f(x) \quad \text{in training}

    The baseline of learned symmetry that costs nothing to train and M calls to use; validation during a training is in
    evaluation mode as well.

    Args:
        model: any module or function.
        signature: a ``Signature`` or its string.
        group: a group or its name.
        num_samples: M draws per call; ``None`` averages over all elements of a finite group.
        training: the objective in a suite: the task's (``"none"``), or ``"augmentation"`` over the group. Nothing in
            the module depends on it.
        chunk: largest number of group elements in one call of the model; ``None``: by the number of points.
        generator: source of the draws; ``None`` is torch's global one.
        names: roles of tensors without a type (see ``Symmetrizer``).

    Exactness: as ``GroupAveraging``, in evaluation mode; none in training mode.
    """

    __test__ = False  # not for pytest to collect

    def __init__(
        self,
        model: Callable[..., Any],
        signature: str | Signature,
        group: str | Group,
        num_samples: PositiveInt | None = None,
        training: Literal["none", "augmentation"] = "none",
        chunk: int | None = None,
        generator: torch.Generator | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(model, signature, group, num_samples, chunk, generator, names=names)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs) if self.training else super().forward(*args, **kwargs)
