"""Articulated skeletons and their forward kinematics, all frames at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geoequiv.errors import DataError

Array = NDArray[np.float64]


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

    Raises:
        DataError: the parents are no tree with the root first.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Array
    axes: Array
    dofs: tuple[tuple[str, ...], ...]
    position: Array
    unit: float = 1.0

    def __post_init__(self) -> None:
        ordered = all(0 <= parent < joint for joint, parent in enumerate(self.parents) if joint)
        if not self.parents or self.parents[0] != -1 or not ordered:
            raise DataError(f"The joints of a skeleton must follow their parents, root first; got {self.parents}.")

    @property
    def edges(self) -> NDArray[np.int64]:
        """Bones as pairs (joint, parent): ``[J − 1, 2]``."""
        return np.array([(joint, parent) for joint, parent in enumerate(self.parents) if parent >= 0], dtype=np.int64)

    @property
    def lengths(self) -> Array:
        """Length of each bone, in the order of ``edges``: ``[J − 1]``."""
        lengths: Array = np.linalg.norm(self.offsets[1:], axis=-1)
        return lengths


def forward_kinematics(skeleton: Skeleton, motion: dict[str, Array]) -> Array:
    r"""Joint positions from joint angles.

    With the bone's own axes :math:`C_j` and the motion :math:`M_j` about them,

    .. math:: G_j = G_{p(j)}\, C_j M_j C_j^{-1}, \qquad x_j = x_{p(j)} + G_j\, o_j .

    Args:
        skeleton: J joints.
        motion: joint name → ``[T, channels]``, in the order of its ``dofs``: angles in radians, translations in units
            of the skeleton. A joint that is not named stays at rest.

    Returns:
        ``[T, J, 3]``, in units of the skeleton.

    Raises:
        DataError: an unknown joint, or another number of channels than it has.

    Exactness:
        Round-off of float64; bone lengths are constant.
    """
    frames = len(next(iter(motion.values()))) if motion else 1
    for name, channels in motion.items():
        if name not in skeleton.names:
            raise DataError(f"The motion names a joint '{name}' that the skeleton does not have.")
        wanted = (frames, len(skeleton.dofs[skeleton.names.index(name)]))
        if channels.shape != wanted:
            raise DataError(f"The motion of '{name}' has shape {channels.shape}, expected {wanted}.")
    turn = np.empty((len(skeleton.names), frames, 3, 3))
    place = np.empty((frames, len(skeleton.names), 3))
    for joint, (name, parent) in enumerate(zip(skeleton.names, skeleton.parents, strict=True)):
        channels = motion.get(name, np.zeros((frames, len(skeleton.dofs[joint]))))
        local = skeleton.axes[joint] @ rotations(skeleton.dofs[joint], channels) @ skeleton.axes[joint].T
        if parent < 0:
            turn[joint] = local
            place[:, joint] = skeleton.position + translations(skeleton.dofs[joint], channels)
        else:
            turn[joint] = turn[parent] @ local
            place[:, joint] = place[:, parent] + turn[joint] @ skeleton.offsets[joint]
    return place


def rotations(dofs: tuple[str, ...], channels: Array) -> Array:
    """Rotation matrices ``[T, 3, 3]`` of the angular channels, the first named applied first, about fixed axes."""
    angular = [k for k, dof in enumerate(dofs) if dof.startswith("r")]
    if not angular:
        return np.broadcast_to(np.eye(3), (len(channels), 3, 3))
    order = "".join(dofs[k][1] for k in angular)  # lower case: scipy's extrinsic rotations
    matrices: Array = Rotation.from_euler(order, channels[:, angular]).as_matrix()
    return matrices


def translations(dofs: tuple[str, ...], channels: Array) -> Array:
    """Translations ``[T, 3]`` of the channels tx, ty, tz."""
    moved = np.zeros((len(channels), 3))
    for k, dof in enumerate(dofs):
        if dof.startswith("t"):
            moved[:, "xyz".index(dof[1])] = channels[:, k]
    return moved
