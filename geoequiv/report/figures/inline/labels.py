"""Places the labels of a scatter plot so that none covers another, a marker or the frame."""

import math
from collections import defaultdict
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


_CELL = 24.0


class Boxes:
    """Boxes by the cells of a grid that they lie in: what overlaps one is looked for beside it only."""

    def __init__(self) -> None:
        """No boxes yet."""
        self._cells: dict[tuple[int, int], list[tuple[int, Box]]] = defaultdict(list)

    def add(self, index: int, box: Box) -> None:
        """Put a box in, under a number."""
        for cell in _cells(box):
            self._cells[cell].append((index, box))

    def remove(self, index: int, box: Box) -> None:
        """Take the box with this number out."""
        for cell in _cells(box):
            self._cells[cell].remove((index, box))

    def free(self, box: Box, index: int) -> bool:
        """Whether a box overlaps none but that with this number."""
        return not any(
            other != index and box.overlap(there)
            for cell in _cells(box)
            if cell in self._cells
            for other, there in self._cells[cell]
        )


def place(anchors: Sequence[tuple[float, float]], names: Sequence[str], frame: Box, size: float) -> list[Box | None]:
    """Boxes for the labels of the anchors; None where no free place is near.

    Greedy over candidate places around each anchor, nearest first, then a few sweeps in which every
    label chooses again among the others. Deterministic; the cost of a label depends on what is near it, not on n.

    Args:
        anchors: marker centres in pixels, length n.
        names: label texts, length n; an empty text gets None.
        frame: the area that labels stay in.
        size: font size in pixels.
    """
    markers = Boxes()
    for index, (x, y) in enumerate(anchors):
        markers.add(index, Box(x - 6, y - 6, x + 6, y + 6))
    candidates = {}
    for index, name in enumerate(names):
        boxes = _candidates(anchors[index], width(name, size), size) if name else []
        clear = [box for box in boxes if box.inside(frame) and markers.free(box, index)]
        if clear:
            candidates[index] = clear
    chosen: list[Box | None] = [None] * len(names)
    labels = Boxes()
    for _ in range(_SWEEPS):
        for index, boxes in candidates.items():
            former = chosen[index]
            if former is not None:
                labels.remove(index, former.grown(_GAP))
            found = next((box for box in boxes if labels.free(box, index)), None)
            if found is not None:
                labels.add(index, found.grown(_GAP))
            chosen[index] = found
    return chosen


def _cells(box: Box) -> list[tuple[int, int]]:
    across = range(math.floor(box.left / _CELL), math.floor(box.right / _CELL) + 1)
    down = range(math.floor(box.top / _CELL), math.floor(box.bottom / _CELL) + 1)
    return [(x, y) for x in across for y in down]


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
