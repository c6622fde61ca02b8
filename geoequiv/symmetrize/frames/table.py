"""The table of frames, which can be listed without loading torch."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from geoequiv.importing import import_object

if TYPE_CHECKING:
    from geoequiv.symmetrize.frames.frame import Frame

#: name → where it is defined
FRAME_PATHS = {
    "pca": "geoequiv.symmetrize.frames.pca:PCAFrame",
    "stochastic": "geoequiv.symmetrize.frames.stochastic:StochasticFrame",
    "minimal": "geoequiv.symmetrize.frames.minimal:MinimalFrame",
    "weighted": "geoequiv.symmetrize.frames.weighted:WeightedFrame",
    "learned": "geoequiv.symmetrize.frames.learned:LearnedFrame",
    "sorting": "geoequiv.symmetrize.frames.sorting:SortingFrame",
}


class FrameTable(Mapping[str, "Callable[..., Frame]"]):
    """Name → class of the frame, imported when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        return import_object("frame", FRAME_PATHS[name])

    def __iter__(self) -> Iterator[str]:
        return iter(FRAME_PATHS)

    def __len__(self) -> int:
        return len(FRAME_PATHS)


FRAMES = FrameTable()
