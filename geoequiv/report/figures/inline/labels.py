"""Places the labels of a scatter plot so that none covers another, a marker or the frame."""

from collections.abc import Sequence
from dataclasses import dataclass

from geoequiv.report.figures.inline.svg import width


@dataclass(frozen=True)
class Box:
    """An upright rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """Area shared with another box."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide * high if wide > 0 and high > 0 else 0.0

    def grown(self, by: float) -> "Box":
        """The box with a margin to its left and right."""
        return Box(self.left - by, self.top, self.right + by, self.bottom)

    def inside(self, other: "Box") -> bool:
        """Whether this box lies within another."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


_DIRECTIONS = ((1, 0), (-1, 0), (1, -1), (1, 1), (-1, -1), (-1, 1), (0, -1), (0, 1))
_DISTANCES = (9.0, 16.0, 26.0, 38.0, 52.0)
_SWEEPS = 4
_GAP = 3.0


def place(anchors: Sequence[tuple[float, float]], names: Sequence[str], frame: Box, size: float) -> list[Box | None]:
    """Boxes for the labels of the anchors; None where no free place is near.

    Greedy over candidate places around each anchor, nearest first, then a few sweeps in which every
    label chooses again among the others. Deterministic.

    Args:
        anchors: marker centres in pixels, length n.
        names: label texts, length n; an empty text gets None.
        frame: the area that labels stay in.
        size: font size in pixels.
    """
    markers = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in anchors]
    chosen: list[Box | None] = [None] * len(names)
    for _ in range(_SWEEPS):
        for index, name in enumerate(names):
            if not name:
                continue
            others = [box.grown(_GAP) for other, box in enumerate(chosen) if box is not None and other != index]
            candidates = _candidates(anchors[index], width(name, size), size)
            free = (
                box
                for box in candidates
                if box.inside(frame)
                and not any(box.overlap(other) for other in others)
                and not any(box.overlap(m) for other, m in enumerate(markers) if other != index)
            )
            chosen[index] = next(free, None)
    return chosen


def _candidates(anchor: tuple[float, float], wide: float, size: float) -> list[Box]:
    x, y = anchor
    high = size * 1.25
    boxes = []
    for distance in _DISTANCES:
        for dx, dy in _DIRECTIONS:
            reach = distance if dx == 0 or dy == 0 else distance * 0.75
            centre_x = x + dx * (reach + wide / 2)
            centre_y = y + dy * (reach + (high / 2 if dx == 0 else 0))
            boxes.append(Box(centre_x - wide / 2, centre_y - high / 2, centre_x + wide / 2, centre_y + high / 2))
    return boxes
