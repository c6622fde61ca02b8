r"""Where the feet of a walker are: footprints on the ground, a foot that rolls over them, and its swing in between.

A stride is one period of the phase x. The heel lands at x = 0 and the foot rolls about it until the sole is flat; from
`FLAT` on ball and toes rest. From `LIFT` · duty on the heel rises and the foot rotates about its resting ball; at
x = duty it leaves the ground. What rests does not slide: it is computed from the footprint, which does not move.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoequiv.tasks.simulation.gait_style import GRAVITY, Array, Style

FLAT = 0.09  # phase at which the sole is flat
LIFT = 0.62  # when the heel rises, as a share of the time on the ground
LEG = 0.49  # thigh and shank over height
ANKLE, BALL = 0.041, 0.012  # heights of the joints above the ground, over body height
FOOT, HEEL, TOES = 0.075, 0.028, 0.037  # ankle to ball, heel behind the ankle, ball to end of toes: over body height


@dataclass(frozen=True, eq=False)
class Pace:
    """Stride of each walker.

    Args:
        speed: ``[W]``, m/s.
        stride: ``[W]``, metres per stride: 2.3 legs × (v²/(g · leg))^0.3, times the walker's own factor.
        rate: ``[W]``, strides per second.
    """

    speed: Array
    stride: Array
    rate: Array


def pace(style: Style) -> Pace:
    """Speed and stride; longer legs take longer and fewer steps (R. McN. Alexander 1976, for the exponent)."""
    leg = LEG * style["height"] * style["leg_factor"]
    speed = style["relative_speed"] * np.sqrt(GRAVITY * leg)
    stride = 2.3 * leg * style["relative_speed"] ** 0.6 * style["stride_factor"]
    return Pace(speed, stride, speed / stride)


def path(style: Style, length: Array) -> tuple[Array, Array]:
    """Place ``[W, …, 2]`` (x and z) and heading ``[W, …]`` at so many metres of the walkers' way, an arc of a circle.

    Heading 0 is along z; positive curvature bends towards x.
    """
    start = spread(style["radius"], length)
    bearing = spread(style["bearing"], length)
    bend = spread(style["curvature"], length) * length
    along = spread(style["heading"], length) + bend / 2
    chord = length * np.sinc(bend / (2 * np.pi))
    x = start * np.sin(bearing) + chord * np.sin(along)
    z = start * np.cos(bearing) + chord * np.cos(along)
    return np.stack([x, z], axis=-1), along + bend / 2


def phases(style: Style, time: Array, side: int) -> Array:
    """Strides that the leg on one side (+1 left, −1 right) has begun, and its phase: ``[W, T]``."""
    return style["phase"][:, None] + pace(style).rate[:, None] * time + (0.5 if side < 0 else 0.0)


@dataclass(frozen=True, eq=False)
class Foot:
    """Joints of one foot, ``[W, T, 3]``, and when they rest on the ground, ``[W, T]`` bool."""

    ankle: Array
    ball: Array
    toe: Array
    resting: NDArray[np.bool_]


def foot(style: Style, time: Array, side: int) -> Foot:
    """One foot of each walker at times ``[T]`` (seconds)."""
    count = phases(style, time, side)
    stride, x = np.floor(count), count - np.floor(count)
    duty, height = spread(style["duty"], x), spread(style["height"], x)
    swing = np.clip((x - duty) / (1 - duty), 0.0, 1.0)
    landed = (x < duty)[..., None]
    pitch = pitch_of(style, x)
    rolled = landing(height, np.maximum(pitch, 0.0))
    here, yaw = footprint(style, stride, side)
    there, next_yaw = footprint(style, stride + 1, side)
    yaw = yaw + (next_yaw - yaw) * smooth(swing)
    standing = in_world(here, yaw, rolled)
    # In the air: a cubic from the place it leaves, at rest, to that of landing, with the speed of the roll there
    strike = spread(style["strike_pitch"], x)
    final = landing(height, strike)
    speed = tangent(height, strike) * strike_rate(style, x)[..., None] * (1 - duty)[..., None]
    first = in_world(here, footprint(style, stride, side)[1], landing(height, np.zeros_like(x)))
    last = in_world(there, next_yaw, final)
    ending = in_world(np.zeros_like(there), next_yaw, speed)
    u = swing[..., None]
    flying = first + (last - first) * smooth(u) + ending * (u**3 - u**2)
    flying[..., 1] += spread(style["clearance"], x) * 16 * (swing * (1 - swing)) ** 2
    ball = np.where(landed, standing, flying)
    resting = (x >= FLAT) & (x < duty)
    toe_pitch = np.where(x < duty, np.maximum(pitch, 0.0), pitch * smooth(swing))
    back = pitched(pitch, -FOOT * height, (ANKLE - BALL) * height)
    front = pitched(toe_pitch, TOES * height, np.zeros_like(height))
    origin = np.zeros_like(here)
    return Foot(ball + in_world(origin, yaw, back), ball, ball + in_world(origin, yaw, front), resting)


def footprint(style: Style, stride: Array, side: int) -> tuple[Array, Array]:
    """Where the ankle stands in a stride, on the ground ``[W, T, 2]``, and where the foot points to ``[W, T]``."""
    begun = spread(style["phase"], stride) + (0.5 if side < 0 else 0.0)
    length = (stride + spread(style["lead"], stride) - begun) * spread(pace(style).stride, stride)
    place, heading = path(style, length)
    aside = side * spread(style["step_width"], stride) / 2
    place = place + aside[..., None] * np.stack([np.cos(heading), -np.sin(heading)], axis=-1)
    return place, heading + side * spread(style["toe_out"], stride)


def pitch_of(style: Style, x: Array) -> Array:
    """How far the toes point up (radians) at a phase: a cubic between knots, smooth also from stride to stride."""
    strike, lift, duty = (spread(style[name], x) for name in ("strike_pitch", "lift_pitch", "duty"))
    rate, off = strike_rate(style, x), LIFT * duty
    zero = np.zeros_like(x)
    middle = duty + 0.5 * (1 - duty)
    knots = (zero, zero + FLAT, off, duty, middle, zero + 1)
    values = (strike, zero, zero, -lift, zero, strike)
    slopes = (rate, zero, zero, -0.8 * lift / (duty - off), 0.8 * (strike + lift) / (1 - duty), rate)
    pitch = zero
    for k in range(len(knots) - 1):
        width = knots[k + 1] - knots[k]
        u = np.clip((x - knots[k]) / width, 0.0, 1.0)
        rise = slopes[k] * width * u * (1 - u) ** 2 - slopes[k + 1] * width * u**2 * (1 - u)
        piece = values[k] + (values[k + 1] - values[k]) * smooth(u) + rise
        pitch = np.where((x >= knots[k]) & (x <= knots[k + 1]), piece, pitch)
    return pitch


def strike_rate(style: Style, x: Array) -> Array:
    """Rate of the pitch at which the heel lands, per stride."""
    return -0.8 * spread(style["strike_pitch"], x) / FLAT


def landing(height: Array, pitch: Array) -> Array:
    """Ball of a foot that stands on its heel, in the foot's frame: ``[…, 2]``, ahead of the flat ankle, and up."""
    return pitched(pitch, (FOOT + HEEL) * height, BALL * height) - np.stack([HEEL * height, 0 * height], axis=-1)


def tangent(height: Array, pitch: Array) -> Array:
    """Derivative of `landing` by the pitch."""
    return pitched(pitch, -BALL * height, (FOOT + HEEL) * height)


def pitched(pitch: Array, ahead: Array, up: Array) -> Array:
    """A vector of the foot at a pitch (toes up): ``[…, 2]``."""
    c, s = np.cos(pitch), np.sin(pitch)
    return np.stack([c * ahead - s * up, s * ahead + c * up], axis=-1)


def in_world(ground: Array, yaw: Array, ahead_and_up: Array) -> Array:
    """From the frame of a foot that stands at ``ground`` (x, z) and points along ``yaw``: ``[…, 3]``."""
    ahead, up = ahead_and_up[..., 0], ahead_and_up[..., 1]
    x, z = ground[..., 0] + ahead * np.sin(yaw), ground[..., 1] + ahead * np.cos(yaw)
    return np.stack([x, up, z], axis=-1)


def smooth(u: Array) -> Array:
    """0 to 1 with slopes 0 at both ends."""
    return u * u * (3 - 2 * u)


def spread(values: Array, like: Array) -> Array:
    """Values of walkers ``[W]`` in the shape of ``like`` ``[W, …]``."""
    return np.broadcast_to(values.reshape(len(values), *(1,) * (like.ndim - 1)), like.shape)
