r"""A walker of 31 joints: upright under gravity along −y, on feet that neither slide nor sink.

The feet come first (`gait_steps`). The trunk follows its path, bounces twice a stride and sways once, as high as both
legs can reach their feet; knees are where thigh and shank meet; chest and arms counter-rotate to the hips. Everything
is a formula in time and style, so that a walker rotated about the upright axis walks the rotated path, and one whose
style is reflected the reflected one. No mechanics are solved: see `figures` for how plausible it is.
"""

import numpy as np
from numpy.typing import NDArray

from geoequiv.tasks.simulation.gait_steps import ANKLE, BALL, FOOT, TOES, Foot, foot, pace, path, phases, spread
from geoequiv.tasks.simulation.gait_style import Array, Style

RATE = 120.0  # frames a second
UNIT = 0.0254 / 0.45  # metres per unit of length, that of the CMU database: 0.45 to the inch
#: joints in the order of the CMU database: name, parent, and the bone at rest (x left, y up, z ahead) over body height
BONES: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("root", -1, (0.0, 0.0, 0.0)),
    ("lhipjoint", 0, (0.05, -0.055, 0.005)),
    ("lfemur", 1, (0.0, -0.245, 0.0)),
    ("ltibia", 2, (0.0, -0.245, 0.0)),
    ("lfoot", 3, (0.0, BALL - ANKLE, FOOT)),
    ("ltoes", 4, (0.0, 0.0, TOES)),
    ("rhipjoint", 0, (-0.05, -0.055, 0.005)),
    ("rfemur", 6, (0.0, -0.245, 0.0)),
    ("rtibia", 7, (0.0, -0.245, 0.0)),
    ("rfoot", 8, (0.0, BALL - ANKLE, FOOT)),
    ("rtoes", 9, (0.0, 0.0, TOES)),
    ("lowerback", 0, (0.0, 0.065, -0.007)),
    ("upperback", 11, (0.0, 0.066, 0.0)),
    ("thorax", 12, (0.0, 0.066, 0.004)),
    ("lowerneck", 13, (0.0, 0.055, 0.006)),
    ("upperneck", 14, (0.0, 0.055, -0.007)),
    ("head", 15, (0.0, 0.055, -0.003)),
    ("lclavicle", 13, (0.105, 0.03, -0.012)),
    ("lhumerus", 17, (0.172, 0.0, 0.0)),
    ("lradius", 18, (0.115, 0.0, 0.0)),
    ("lwrist", 19, (0.052, 0.0, 0.0)),
    ("lhand", 20, (0.015, 0.0, 0.0)),
    ("lfingers", 21, (0.012, 0.0, 0.0)),
    ("lthumb", 20, (0.012, 0.0, 0.012)),
    ("rclavicle", 13, (-0.105, 0.03, -0.012)),
    ("rhumerus", 24, (-0.172, 0.0, 0.0)),
    ("rradius", 25, (-0.115, 0.0, 0.0)),
    ("rwrist", 26, (-0.052, 0.0, 0.0)),
    ("rhand", 27, (-0.015, 0.0, 0.0)),
    ("rfingers", 28, (-0.012, 0.0, 0.0)),
    ("rthumb", 27, (-0.012, 0.0, 0.012)),
)
NAMES = tuple(name for name, _, _ in BONES)
PARENTS = tuple(parent for _, parent, _ in BONES)
LEFT, RIGHT = 1, 6  # the hips
LEFT_ARM, RIGHT_ARM = 17, 24  # the shoulders


def bones(style: Style) -> Array:
    """Each walker's bones at rest: ``[W, 31, 3]``, metres."""
    rest = np.array([offset for _, _, offset in BONES]) * style["height"][:, None, None]
    rest[:, [LEFT, RIGHT], 0] *= style["hip_factor"][:, None]
    rest[:, [2, 3, 7, 8]] *= style["leg_factor"][:, None, None]
    rest[:, [LEFT_ARM, RIGHT_ARM], 0] *= style["shoulder_factor"][:, None]
    rest[:, [*range(18, 24), *range(25, 31)]] *= style["arm_factor"][:, None, None]
    return rest


def walk(style: Style, time: Array) -> Array:
    """Joint positions ``[W, T, 31, 3]`` in metres at times ``[T]`` in seconds; the ground is y = 0.

    Heading 0 is along z, and left is then x. The trunk's height depends on all times together: give a stride or more.
    """
    rest = bones(style)
    wave = 2 * np.pi * phases(style, time, +1)
    stance = wave - np.pi * style["duty"][:, None]  # 0 when the left foot is in the middle of its time on the ground
    ground, heading = path(style, spread(pace(style).speed, wave) * time)
    aside = spread(style["sway"], wave) * np.cos(stance)
    trunk = part_rotations(style, wave, stance, heading)
    place = np.zeros((*wave.shape, len(BONES), 3))
    place[..., 0, 0] = ground[..., 0] + aside * np.cos(heading)
    place[..., 0, 2] = ground[..., 1] - aside * np.sin(heading)
    feet = {+1: foot(style, time, +1), -1: foot(style, time, -1)}
    height = trunk_height(style, stance, place[..., 0, :], trunk["hips"], feet, rest)
    place[..., 0, 1] = height
    for hip, side in ((LEFT, +1), (RIGHT, -1)):
        place[..., hip, :] = place[..., 0, :] + rotated_bone(trunk["hips"], rest[:, hip])
        one = feet[side]
        place[..., hip + 2, :], place[..., hip + 3, :], place[..., hip + 4, :] = one.ankle, one.ball, one.toe
        ahead = np.stack([np.sin(heading), 0 * heading, np.cos(heading)], axis=-1)
        place[..., hip + 1, :] = knee(place[..., hip, :], one.ankle, -rest[:, hip + 1, 1], -rest[:, hip + 2, 1], ahead)
    for joint in range(11, len(BONES)):
        above = place[..., PARENTS[joint], :]
        place[..., joint, :] = above + rotated_bone(trunk[part_of(joint)], rest[:, joint])
    return place


def part_of(joint: int) -> str:
    """The rotation of `part_rotations` that a bone above the hips has."""
    if joint in (11, 12):
        return NAMES[joint]
    if joint in (13, LEFT_ARM, RIGHT_ARM):
        return "chest"
    if joint < LEFT_ARM:
        return "head"
    side = "left" if joint < RIGHT_ARM else "right"
    return f"{side} arm" if joint in (18, 25) else f"{side} forearm"


def part_rotations(style: Style, wave: Array, stance: Array, heading: Array) -> dict[str, Array]:
    """Rotations ``[W, T, 3, 3]`` of the parts of the body; the left side is ahead when the left heel lands."""

    def of(name: str) -> Array:
        return spread(style[name], wave)

    hip_yaw, chest_yaw = -of("hip_yaw") * np.cos(wave), of("chest_yaw") * np.cos(wave)
    drop, lean = of("hip_drop") * np.cos(stance), of("lean")
    found = {"hips": about_y(heading + hip_yaw) @ about_z(drop) @ about_x(0.3 * lean)}
    for name, share in (("lowerback", 1 / 3), ("upperback", 2 / 3), ("chest", 1.0)):
        yaw = (1 - share) * hip_yaw + share * chest_yaw
        found[name] = about_y(heading + yaw) @ about_z((1 - 1.3 * share) * drop) @ about_x((0.3 + 0.7 * share) * lean)
    found["head"] = about_y(heading) @ about_x(0.4 * lean + of("nod"))
    for name, side, own in (("left", +1, wave), ("right", -1, wave + np.pi)):
        swing = of("arm_rest") - of("arm_swing") * (1 + side * of("arm_asymmetry")) * np.cos(own)
        bend = of("elbow") + of("elbow_swing") * (1 - np.cos(own)) / 2
        hanging = about_z(side * (of("arm_spread") - np.pi / 2))
        found[f"{name} arm"] = found["chest"] @ about_x(-swing) @ hanging
        found[f"{name} forearm"] = found["chest"] @ about_x(-swing - bend) @ hanging
    return found


def trunk_height(style: Style, stance: Array, root: Array, hips: Array, feet: dict[int, Foot], rest: Array) -> Array:
    """Height of the root ``[W, T]``: its bounce, as high up as the legs reach their feet at all times."""
    bounce = spread(style["bounce"], stance) * np.cos(2 * stance)
    room = []
    for hip, side in ((LEFT, +1), (RIGHT, -1)):
        offset, ankle = rotated_bone(hips, rest[:, hip]), feet[side].ankle
        length = style["reach"] * -(rest[:, hip + 1, 1] + rest[:, hip + 2, 1])
        away = ((root + offset - ankle)[..., [0, 2]] ** 2).sum(-1)
        room.append(ankle[..., 1] + np.sqrt(np.maximum(spread(length, stance) ** 2 - away, 0)) - offset[..., 1])
    highest = (np.minimum(*room) - bounce).min(axis=1)
    return highest[:, None] + bounce


def knee(hip: Array, ankle: Array, thigh: Array, shank: Array, ahead: Array) -> Array:
    """The joint between hip and ankle, bent ahead: ``[W, T, 3]`` at its two distances ``[W]``."""
    leg = ankle - hip
    length = np.linalg.norm(leg, axis=-1, keepdims=True)
    along = leg / length
    thigh, shank = thigh[:, None, None], shank[:, None, None]
    cosine = (thigh**2 + length**2 - shank**2) / (2 * thigh * length)
    forward = ahead - (ahead * along).sum(-1, keepdims=True) * along
    forward /= np.linalg.norm(forward, axis=-1, keepdims=True)
    return hip + thigh * (cosine * along + np.sqrt(1 - cosine**2) * forward)


def rotated_bone(rotation: Array, bone: Array) -> Array:
    """A bone at rest ``[W, 3]`` under rotations ``[W, T, 3, 3]``."""
    return np.einsum("wtab,wb->wta", rotation, bone)


def about_x(angle: Array) -> Array:
    """Rotations about x, ``[…, 3, 3]``."""
    return about(0, angle)


def about_y(angle: Array) -> Array:
    """Rotations about y, which take z to x."""
    return about(1, angle)


def about_z(angle: Array) -> Array:
    """Rotations about z."""
    return about(2, angle)


def about(axis: int, angle: Array) -> Array:
    """Rotations about one axis, ``[…, 3, 3]``."""
    j, k = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., axis, axis] = 1.0
    matrix[..., j, j] = matrix[..., k, k] = np.cos(angle)
    matrix[..., k, j] = np.sin(angle)
    matrix[..., j, k] = -matrix[..., k, j]
    return matrix


def resting(style: Style, time: Array) -> NDArray[np.bool_]:
    """Whether ball and toes of the left and of the right foot rest on the ground: ``[W, T, 2]``."""
    return np.stack([foot(style, time, side).resting for side in (+1, -1)], axis=-1)
