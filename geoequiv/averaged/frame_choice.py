"""Which elements of its frames an averaged architecture takes: all, or in training one that is drawn."""

from typing import Literal

from geoequiv.errors import SignatureError, unknown
from geoequiv.symmetrize.frames import Frame, StochasticFrame

FrameChoice = Literal["pca", "stochastic"]
CHOICES = ("pca", "stochastic")


def chosen(frame: Frame, choice: FrameChoice, architecture: str) -> Frame:
    """The frame itself for "pca"; for "stochastic" one of its elements in training, and all in evaluation.

    Raises:
        SignatureError: another choice; names the architecture.
    """
    if choice not in CHOICES:
        raise SignatureError(unknown(f"frame of {architecture}", choice, CHOICES))
    return StochasticFrame(frame.group, frame) if choice == "stochastic" else frame
