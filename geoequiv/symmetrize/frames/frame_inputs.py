"""Which inputs a frame is built from, and what for."""

from collections.abc import Sequence
from dataclasses import dataclass

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import Side
from geoequiv.groups import Group
from geoequiv.symmetrize.frames.frame import cloud_name

DIRECTIONS = ("point", "vector", "pseudovector")


@dataclass(frozen=True)
class FrameInputs:
    """The inputs of a frame by their part in it.

    Args:
        cloud: the field whose principal axes (or pairs) make the frame: a point or vector of each node.
        centre: the points whose centroid is subtracted; ``None`` where the group does not translate.
        further: directions that, in this order, choose between frames that the cloud leaves equivalent.
        labels: scalars of the nodes; nodes with different ones are not interchangeable.
        rest: all other directions of the inputs, used where the stabilizer is continuous.
    """

    cloud: str
    centre: str | None
    further: tuple[str, ...]
    labels: tuple[str, ...]
    rest: tuple[str, ...]

    @classmethod
    def of(cls, side: Side, group: Group, frame_from: Sequence[str] | None) -> "FrameInputs":
        """Read it off the types.

        Args:
            frame_from: names of inputs; ``None`` stands for the first point input (the first vector, where the group
                does not translate and there is no point) alone.

        Raises:
            SignatureError: a name that is no input, a type that tells no directions, or nothing to build from.
        """
        if frame_from is None:
            cloud = cloud_name(side, group)
            named: tuple[str, ...] = (cloud,)
        else:
            named = tuple(frame_from)
            check_names(named, side)
            found = [n for n in named if side[n].kind in ("point", "vector") and is_cloud(side, n)]
            if not found:
                raise SignatureError(
                    f"frame_from={list(named)} names no point or vector input (one per node): scalars and "
                    f"pseudovectors only choose between frames that a cloud leaves equivalent. The inputs are ({side})."
                )
            cloud = found[0]
        centre = None
        if group.translates:
            points = [n for n in named if side[n].translates and is_cloud(side, n)]
            centre = points[0] if points else cloud_name(side, group)
        further = tuple(n for n in named if n != cloud and side[n].kind in DIRECTIONS)
        labels = tuple(n for n in named if side[n].kind == "scalar")
        return cls(cloud, centre, further, labels, tuple(n for n in side.of_kind(*DIRECTIONS) if n not in named))

    @property
    def has_further(self) -> bool:
        """Whether directions or labels besides the cloud were named."""
        return bool(self.further or self.labels)


def is_cloud(side: Side, name: str) -> bool:
    """Whether each node has one."""
    return side[name].multiplicity == 1 and side[name].rows in (None, "node")


def check_names(names: tuple[str, ...], side: Side) -> None:
    """Raise SignatureError unless these are inputs, each named once, of types that a frame can use."""
    for name in names:
        if name not in side:
            raise SignatureError("frame_from: " + unknown("input", name, side))
        if side[name].kind not in (*DIRECTIONS, "scalar"):
            raise SignatureError(
                f"frame_from names '{name}', of type {side[name]}: frames are built from points, vectors and "
                "pseudovectors, with scalars to tell nodes apart."
            )
        if side[name].kind == "scalar" and side[name].rows in ("graph", "edge"):
            raise SignatureError(
                f"frame_from names '{name}', a {side[name]}: only a scalar of each node tells nodes apart."
            )
    if len(set(names)) < len(names):
        raise SignatureError(f"frame_from={list(names)} names an input twice.")
