"""Parameters of walkers: body, pace, path and style, drawn at random, rotated and reflected."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
#: name of a quantity → its value for each walker, ``[W]``
Style = dict[str, Array]

GRAVITY = 9.81  # m/s², along −y
DEGREE = np.pi / 180

#: what is drawn, uniformly and independently: metres, seconds, radians; factors have no unit
RANGES: Mapping[str, tuple[float, float]] = {
    # body: its height, and what departs from the proportions of `gait.BONES`
    "height": (1.55, 1.95),
    "leg_factor": (0.95, 1.05),
    "arm_factor": (0.93, 1.07),
    "shoulder_factor": (0.92, 1.08),
    "hip_factor": (0.9, 1.1),
    # path: where it is at time 0 (uniform in a disk), where it goes, and how the path bends
    "radius": (0.0, 1.0),
    "bearing": (-np.pi, np.pi),
    "heading": (-np.pi, np.pi),
    "curvature": (-0.2, 0.2),
    # pace: speed over √(g · leg), stride over that of the mean walker, and where in its stride it is at time 0
    "relative_speed": (0.3, 0.55),
    "stride_factor": (0.92, 1.08),
    "phase": (0.0, 1.0),
    # feet: share of the stride on the ground, how far ahead they land (in strides), and how they roll
    "duty": (0.58, 0.64),
    "lead": (0.24, 0.28),
    "step_width": (0.07, 0.14),
    "toe_out": (2 * DEGREE, 12 * DEGREE),
    "strike_pitch": (10 * DEGREE, 20 * DEGREE),
    "lift_pitch": (36 * DEGREE, 52 * DEGREE),
    "clearance": (0.04, 0.07),
    # trunk
    "reach": (0.98, 0.995),
    "bounce": (0.012, 0.022),
    "sway": (0.01, 0.03),
    "hip_yaw": (2 * DEGREE, 8 * DEGREE),
    "hip_drop": (1 * DEGREE, 5 * DEGREE),
    "chest_yaw": (2 * DEGREE, 9 * DEGREE),
    "lean": (-1 * DEGREE, 10 * DEGREE),
    "nod": (-6 * DEGREE, 10 * DEGREE),
    # arms; the left one swings more where the asymmetry is positive
    "arm_swing": (8 * DEGREE, 32 * DEGREE),
    "arm_asymmetry": (-0.25, 0.25),
    "arm_rest": (-6 * DEGREE, 6 * DEGREE),
    "arm_spread": (4 * DEGREE, 14 * DEGREE),
    "elbow": (8 * DEGREE, 30 * DEGREE),
    "elbow_swing": (4 * DEGREE, 25 * DEGREE),
}
START_RADIUS = 2.0  # metres
#: what changes its sign under a reflection
ODD = ("bearing", "heading", "curvature", "arm_asymmetry")


def draw(rng: np.random.Generator, walkers: int) -> Style:
    """Styles of so many walkers; the first of them are the same however many are drawn."""
    low, high = np.array(list(RANGES.values())).T
    table = low + (high - low) * rng.random((walkers, len(RANGES)))
    style = dict(zip(RANGES, table.T.copy(), strict=True))
    style["radius"] = START_RADIUS * np.sqrt(style["radius"])
    return style


def rotated(style: Style, angle: Array | float) -> Style:
    """The same walkers, rotated about the upright axis through the origin, by ``angle`` ``[W]``."""
    return {**style, "heading": style["heading"] + angle, "bearing": style["bearing"] + angle}


def mirrored(style: Style) -> Style:
    """The same walkers under the reflection x ↦ −x: left is right, and the other foot is first."""
    flipped = {name: -style[name] for name in ODD}
    return {**style, **flipped, "phase": style["phase"] + 0.5}
