"""The camera of a picture: parallel projection, no perspective."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RAISED = math.radians(12)  # elevation of the camera where there is an up direction
ASIDE = math.radians(25)  # its azimuth from straight across the motion


@dataclass(frozen=True, eq=False)
class Camera:
    """A view of three-space.

    Args:
        axes: ``[3, 3]``, rows are the directions that point right, up and towards the viewer; a rotation.
    """

    axes: Array

    def project(self, points: Array) -> Array:
        """Points or vectors ``[…, 3]`` as right, up and depth (larger is nearer): ``[…, 3]``."""
        return points @ self.axes.T

    def rotated(self, angle: float, about: Array | None = None) -> "Camera":
        """The view after the cloud was rotated by an angle (radians).

        Args:
            angle: counter-clockwise, seen from the tip of the axis.
            about: axis in the space of the cloud; the picture's vertical if None.
        """
        axis = self.axes[1] if about is None else about / np.linalg.norm(about)
        return Camera(self.axes @ rotation(axis, angle))


def flat_view(points: Array) -> Camera:
    """A view along the narrowest extent of a cloud, with its widest extent to the right.

    Args:
        points: ``[n, 3]``.
    """
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    right, up = (_signed(vectors[:, place]) for place in (2, 1))
    return Camera(np.stack([right, up, np.cross(right, up)]))


def upright_view(travel: Array, up: int) -> Camera:
    """A view of a moving body from the side, slightly from above and from the front; it moves to the right.

    Args:
        travel: ``[3]``, its displacement; any direction for a body at rest.
        up: axis against gravity.
    """
    vertical = np.eye(3)[up]
    right = travel - travel[up] * vertical
    if np.linalg.norm(right) < 1e-6 * max(float(np.linalg.norm(travel)), 1e-12):
        right = np.eye(3)[(up + 1) % 3]
    right = right / np.linalg.norm(right)
    level = Camera(np.stack([right, vertical, np.cross(right, vertical)]))
    return level.rotated(-ASIDE, vertical).rotated(RAISED, level.rotated(-ASIDE, vertical).axes[0])


def plane_view() -> Camera:
    """Two-dimensional data as they are: x to the right, y up."""
    return Camera(np.eye(3))


def rotation(axis: Array, angle: float) -> Array:
    """The matrix of a rotation about a unit vector, by the right-hand rule (Rodrigues)."""
    x, y, z = axis
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)


def _signed(vector: Array) -> Array:
    """The sign of an eigenvector is arbitrary: make its largest component positive."""
    return vector if vector[int(np.abs(vector).argmax())] > 0 else -vector
