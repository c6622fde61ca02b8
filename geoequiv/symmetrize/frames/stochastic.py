"""One element of a frame at random while training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from geoequiv.errors import GroupError
from geoequiv.fields import Layout, Side
from geoequiv.groups import Element
from geoequiv.groups.product import factors_of
from geoequiv.ranges import ProperFraction
from geoequiv.sharding import item_draws, stream
from geoequiv.symmetrize.frames.coset import Coset
from geoequiv.symmetrize.frames.diagnosis import read_fields
from geoequiv.symmetrize.frames.frame import Frame
from geoequiv.symmetrize.frames.options import Degenerate


@dataclass(frozen=True)
class StochasticFrame(Frame):
    """One element of another frame per item, drawn by its weights while training; all of them in evaluation.

    Args:
        of: the frame drawn from: a name, ``"module:object"`` of your own, either with options, or a ``Frame``.
        full_at_evaluation: whether evaluation averages over the whole frame (exact) or draws one here too.
        generator: source of the draws; ``None`` is torch's global one.
        degenerate, tolerance, frame_from: options of the frame drawn from, where it takes them; ``None``: its own.

    Exactness: in expectation while training; as the frame drawn from in evaluation (unless told otherwise).

    Reference: Duval et al., "FAENet" (ICML 2023), §3.2, for principal axes.
    """

    of: str | dict[str, Any] | Frame = "pca"
    full_at_evaluation: bool = True
    generator: torch.Generator | None = None
    degenerate: Degenerate | None = None
    tolerance: ProperFraction | None = None
    frame_from: Sequence[str] | None = None

    def __post_init__(self) -> None:
        from geoequiv.symmetrize.frames.by_name import frame_by_name  # which builds this class by name

        if not isinstance(self.of, Frame) and len(factors_of(self.group)) > 1:
            raise GroupError(
                f"A stochastic frame by name is made for one group; {self.group} is a product: name it to "
                "FrameAveraging, which draws from the frame of one factor, or give of= a frame of the whole group."
            )
        given = {"degenerate": self.degenerate, "tolerance": self.tolerance, "frame_from": self.frame_from}
        of = frame_by_name(self.of, self.group, **{name: value for name, value in given.items() if value is not None})
        object.__setattr__(self, "of", of)

    @property
    def inner(self) -> Frame:
        """The frame drawn from."""
        assert isinstance(self.of, Frame)
        return self.of

    @property
    def is_exact(self) -> bool:
        return self.full_at_evaluation and self.inner.is_exact

    def check_inputs(self, side: Side) -> None:
        self.inner.check_inputs(side)

    def check_outputs(self, side: Side) -> None:
        self.inner.check_outputs(side)

    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        elements, weights = self.inner(fields, side, layout, training=training)
        if (not training and self.full_at_evaluation) or isinstance(elements, Coset):
            return elements, weights  # of a coset the model sees one element whatever its size
        source = stream(self.generator)
        chance = item_draws(lambda shape: torch.rand(shape, dtype=torch.float64, generator=source), layout.shape)
        chance = chance.to(elements.linear.device)
        if weights is None:
            drawn = (chance * len(elements)).long()
        else:  # the first element at which the sum of the weights exceeds the chance
            reached = weights.detach().double().cumsum(0)
            drawn = (reached <= chance * reached[-1]).sum(0)
        return picked(elements, drawn, layout), None

    def diagnose(self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None) -> Any:
        """The report of the frame drawn from (see ``PCAFrame.diagnose``)."""
        if not hasattr(self.inner, "diagnose"):
            raise GroupError(f"{type(self.inner).__name__} has no report about its frames.")
        return self.inner.diagnose(fields, side, layout)


def picked(elements: Element, drawn: Tensor, layout: Layout) -> Element:
    """One of the elements ``[F, *shape]`` for each item, by number ``[*shape]``: ``[1, *shape]``."""

    def pick(values: Tensor | None, axes: int) -> Tensor | None:
        if values is None:
            return None
        whole = values.expand(len(values), *layout.shape, *values.shape[values.ndim - axes :])
        index = drawn.reshape(1, *layout.shape, *(1,) * axes)
        return whole.gather(0, index.expand(1, *whole.shape[1:]))

    linear = pick(elements.linear, 2)
    assert linear is not None
    return Element(linear, pick(elements.translation, 1), pick(elements.permutation, 1))
