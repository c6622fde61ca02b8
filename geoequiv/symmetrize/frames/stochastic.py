"""One principal-axes frame at random while training."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.fields import Layout, Side
from geoequiv.groups import Element
from geoequiv.symmetrize.frames.diagnosis import read_fields
from geoequiv.symmetrize.frames.pca import PCAFrame


@dataclass(frozen=True)
class StochasticFrame(PCAFrame):
    """One PCA frame per item at random while training; all of them in evaluation.

    Args:
        full_at_evaluation: whether evaluation averages over the whole frame (exact) or draws one here too.
        generator: source of the draws; ``None`` is torch's global one.

    Exactness: in expectation while training; as ``PCAFrame`` in evaluation (unless told otherwise).

    Reference: Duval et al., "FAENet" (ICML 2023), §3.2.
    """

    full_at_evaluation: bool = True
    generator: torch.Generator | None = None

    @property
    def is_exact(self) -> bool:
        return self.full_at_evaluation and super().is_exact

    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        elements, weights = super().__call__(fields, side, layout, training=training)
        if not training and self.full_at_evaluation:
            return elements, weights
        chance = torch.rand(layout.shape, dtype=torch.float64, generator=self.generator).to(elements.linear.device)
        if weights is None:
            drawn = (chance * len(elements)).long()
        else:  # the first element at which the sum of the weights exceeds the chance
            reached = weights.detach().double().cumsum(0)
            drawn = (reached <= chance * reached[-1]).sum(0)
        index = drawn[None, ..., None, None].expand(1, *elements.linear.shape[1:])
        centre = None if elements.translation is None else elements.translation[:1]
        return Element(elements.linear.gather(0, index), centre), None
