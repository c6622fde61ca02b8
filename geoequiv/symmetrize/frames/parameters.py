"""Frames that contain a frame with parameters, as modules, so that these are trained, saved and moved to a device."""

from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn

from geoequiv.errors import GroupError
from geoequiv.fields import Layout, Side
from geoequiv.groups import Element, Group
from geoequiv.symmetrize.frames.frame import Frame


@Frame.register
class ModuleFrame(nn.Module):
    """A frame whose parts have parameters, such as ``stochastic`` of ``learned``.

    Args:
        frame: a frozen frame, one of whose fields is ``part``.
        part: the frame in it that is a module.
    """

    def __init__(self, frame: Frame, part: nn.Module) -> None:
        super().__init__()
        self.whole = frame
        self.part = part

    @property
    def group(self) -> Group:
        """The group that averaging over the frame makes a model equivariant to."""
        return self.whole.group

    @property
    def is_exact(self) -> bool:
        """Whether evaluation is equivariant up to round-off."""
        return self.whole.is_exact

    def check_inputs(self, side: Side) -> None:
        """Raise SignatureError for inputs that the frame cannot be computed from."""
        self.whole.check_inputs(side)

    def check_outputs(self, side: Side) -> None:
        """Raise SignatureError for outputs that the frame cannot average exactly."""
        self.whole.check_outputs(side)

    def forward(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Tensor | None]:
        """Elements ``[F, *shape]`` and weights, as every ``Frame``."""
        return self.whole(fields, side, layout, training=training)


def with_parameters(frame: Frame) -> Frame:
    """The frame, as a module if one of its parts has parameters.

    Raises:
        GroupError: more than one part has some.
    """
    parts = modules_in(frame)
    if isinstance(frame, nn.Module) or not parts:
        return frame
    if len(parts) > 1:
        raise GroupError(f"A frame can have one learned part, {type(frame).__name__} has {len(parts)}.")
    return ModuleFrame(frame, parts[0])  # type: ignore[return-value]


def modules_in(frame: Any) -> list[nn.Module]:
    """The modules among a frame and the frames that it is made of."""
    if isinstance(frame, nn.Module):
        return [frame]
    if not is_dataclass(frame):
        return []
    found = (modules_in(getattr(frame, field.name)) for field in fields(frame))
    return [each for part in found for each in part]
