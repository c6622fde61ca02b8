"""Articulated skeletons and their forward kinematics, all frames at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError

Array = NDArray[np.float64]

BLOCK = 1024  # frames at a time, which bounds the memory that products of matrices take


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A tree of bones at rest: joint j is the far end of bone j; joint 0 is the root and has no bone.

    Args:
        names: J names, parents before their children.
        parents: J indices; −1 for the root.
        offsets: ``[J, 3]``, from the parent joint to this one at rest, in the frame of the world.
        axes: ``[J, 3, 3]``, the rotation of each bone's own axes against the world, about which its angles count.
        dofs: per joint, the channels that a motion gives for it, such as ``("rx", "rz")``; root: ``("tx", …, "rz")``.
        position: ``[3]``, rest position of the root.
        unit: metres per unit of length.
        degrees: whether motion files that do not say are in degrees.

    Raises:
        DataError: the parents are no tree with the root first, a channel is given twice, or a bone would change its
            length.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    axes: Array
    dofs: tuple[tuple[str, ...], ...]
    position: Array
    unit: float = 1.0
    degrees: bool = False

    def __post_init__(self) -> None:
        ordered = all(0 <= parent < joint for joint, parent in enumerate(self.parents) if joint)
        if not self.parents or self.parents[0] != -1 or not ordered:
            raise DataError(f"The joints of a skeleton must follow their parents, root first; got {self.parents}.")
        for joint, (name, dofs) in enumerate(zip(self.names, self.dofs, strict=True)):
            if len(set(dofs)) < len(dofs):
                raise DataError(f"The joint '{name}' has a channel twice: {', '.join(dofs)}.")
            if joint and any(dof.startswith("t") for dof in dofs):
                raise DataError(
                    f"The joint '{name}' has the translations {', '.join(dofs)}: only the root may translate."
                )

    @property
    def edges(self) -> NDArray[np.int64]:
        """Bones as pairs (joint, parent): ``[J − 1, 2]``."""
        return np.array([(joint, parent) for joint, parent in enumerate(self.parents) if parent >= 0], dtype=np.int64)

    @property
    def lengths(self) -> Array:
        """Length of each bone, in the order of ``edges``: ``[J − 1]``."""
        lengths: Array = np.linalg.norm(self.offsets[1:], axis=-1)
        return lengths

    @cached_property
    def levels(self) -> list[NDArray[np.int64]]:
        """Joints by their distance from the root: the root, its children, theirs …"""
        depth = [0] * len(self.parents)
        for joint, parent in enumerate(self.parents[1:], start=1):
            depth[joint] = depth[parent] + 1
        return [np.flatnonzero(np.array(depth) == level) for level in range(max(depth) + 1)]


def forward_kinematics(
    skeleton: Skeleton, motion: Mapping[str, Array], offsets: Mapping[str, Array] | None = None
) -> Array:
    r"""Joint positions from joint angles.

    With the bone's own axes :math:`C_j` and the motion :math:`M_j` about them,

    .. math:: G_j = G_{p(j)}\, C_j M_j C_j^{-1}, \qquad x_j = x_{p(j)} + G_j\, o_j .

    Computed for :math:`H_j = G_j C_j = H_{p(j)} (C_{p(j)}^{-1} C_j) M_j`. The product in brackets is a constant, and
    one product of matrices a joint is left, done for all joints of one depth together.

    Args:
        skeleton: J joints.
        motion: joint name → ``[T, channels]``, in the order of its ``dofs``: angles in radians, translations in units
            of the skeleton. A joint that is not named stays at rest.
        offsets: joint name → ``[T, 3]``, its offset :math:`o_j` in each frame, where that is not the skeleton's.

    Returns:
        ``[T, J, 3]``, in units of the skeleton.

    Raises:
        DataError: an unknown joint, or another number of channels than it has.

    Exactness:
        Round-off of float64; the lengths of bones are constant, but for those of ``offsets``.
    """
    frames = len(next(iter(motion.values()))) if motion else 1
    for name, channels in motion.items():
        if name not in skeleton.names:
            raise DataError(f"The motion names a joint '{name}' that the skeleton does not have.")
        wanted = (frames, len(skeleton.dofs[skeleton.names.index(name)]))
        if channels.shape != wanted:
            raise DataError(f"The motion of '{name}' has shape {channels.shape}, expected {wanted}.")
    place = np.empty((frames, len(skeleton.names), 3))
    for first in range(0, frames, BLOCK):
        block = slice(first, min(first + BLOCK, frames))
        angles, moving = ({name: each[block] for name, each in named.items()} for named in (motion, offsets or {}))
        place[block] = placed(skeleton, angles, moving, block.stop - first)
    return place


def placed(skeleton: Skeleton, motion: Mapping[str, Array], offsets: Mapping[str, Array], frames: int) -> Array:
    """Joint positions ``[T, J, 3]`` of one block of frames; inside, frames are the last axis of everything."""
    parents = np.array(skeleton.parents)
    before = np.concatenate([np.eye(3)[None], skeleton.axes[parents[1:]].swapaxes(-1, -2)])  # C_p⁻¹
    local = (before @ skeleton.axes) @ rotations(skeleton, motion, frames).reshape(-1, 3, 3 * frames)
    local = local.reshape(-1, 3, 3, frames)
    frame = np.empty_like(local)  # H
    frame[0] = local[0]
    for joints in skeleton.levels[1:]:
        above, here = frame[parents[joints]], local[joints]
        product = above[:, :, 0, None] * here[:, None, 0]
        product += above[:, :, 1, None] * here[:, None, 1]
        product += above[:, :, 2, None] * here[:, None, 2]
        frame[joints] = product
    own = np.einsum("jab,ja->jb", skeleton.axes, skeleton.offsets)[..., None]  # C⁻¹ o
    if offsets:
        own = np.repeat(own, frames, axis=-1)
        for name, course in offsets.items():
            joint = skeleton.names.index(name)
            own[joint] = (course @ skeleton.axes[joint]).T
    place = frame[:, :, 0] * own[:, 0, None]
    place += frame[:, :, 1] * own[:, 1, None]
    place += frame[:, :, 2] * own[:, 2, None]
    place[0] = skeleton.position[:, None]
    if skeleton.names[0] in motion:
        place[0] += translations(skeleton.dofs[0], motion[skeleton.names[0]])
    for joints in skeleton.levels[1:]:
        place[joints] += place[parents[joints]]
    return place.transpose(2, 0, 1)


def rotations(skeleton: Skeleton, motion: Mapping[str, Array], frames: int) -> Array:
    r"""Matrices ``[J, 3, 3, T]`` of the angular channels, the first named applied first, about fixed axes.

    For the order x, y, z, :math:`M = R_z(c)\, R_y(b)\, R_x(a)`. Another order is the same with axes renamed, and with
    sines negated where that is an odd permutation. A missing channel is an angle of 0, in any position.
    """
    joints = len(skeleton.names)
    angle = np.zeros((joints, 3, frames))  # about x, y, z
    orders: dict[tuple[int, ...], list[int]] = {}
    for joint, (name, dofs) in enumerate(zip(skeleton.names, skeleton.dofs, strict=True)):
        axes = {"xyz".index(dof[1]): k for k, dof in enumerate(dofs) if dof.startswith("r")}
        orders.setdefault((*axes, *(axis for axis in range(3) if axis not in axes)), []).append(joint)
        for axis, k in axes.items() if name in motion else ():
            angle[joint, axis] = motion[name][:, k]
    sine, cosine = np.zeros_like(angle), np.ones_like(angle)
    given = angle.any(-1)
    sine[given], cosine[given] = np.sin(angle[given]), np.cos(angle[given])
    matrix = np.empty((joints, 3, 3, frames))
    for (i, j, k), at in orders.items():
        sign = 1.0 if (j - i) % 3 == 1 else -1.0
        sa, sb, sc = (sign * sine[at, axis] for axis in (i, j, k))
        ca, cb, cc = (cosine[at, axis] for axis in (i, j, k))
        up, across = sb * cc, sb * sc
        matrix[at, i, i], matrix[at, i, j], matrix[at, i, k] = cb * cc, sa * up - ca * sc, ca * up + sa * sc
        matrix[at, j, i], matrix[at, j, j], matrix[at, j, k] = cb * sc, sa * across + ca * cc, ca * across - sa * cc
        matrix[at, k, i], matrix[at, k, j], matrix[at, k, k] = -sb, sa * cb, ca * cb
    return matrix


def translations(dofs: tuple[str, ...], channels: Array) -> Array:
    """Translations ``[3, T]`` of the channels tx, ty, tz."""
    shift = np.zeros((3, len(channels)))
    for k, dof in enumerate(dofs):
        if dof.startswith("t"):
            shift["xyz".index(dof[1])] = channels[:, k]
    return shift
