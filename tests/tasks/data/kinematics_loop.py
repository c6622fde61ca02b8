"""The naive twin of forward kinematics: frame by frame, joint by joint, one matrix at a time."""

import math

import numpy as np


def about(axis, angle):
    """Rotation matrix about x, y or z."""
    c, s = math.cos(angle), math.sin(angle)
    if axis == "x":
        return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    if axis == "y":
        return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def place_in_loop(skeleton, motion):
    """Joint positions [T, J, 3]."""
    frames = len(next(iter(motion.values())))
    place = np.zeros((frames, len(skeleton.names), 3))
    inverse = [axes.T for axes in skeleton.axes]
    for t in range(frames):
        turns = []
        for joint, (name, parent) in enumerate(zip(skeleton.names, skeleton.parents, strict=True)):
            turn, moved = np.eye(3), np.zeros(3)
            if name in motion:
                for dof, value in zip(skeleton.dofs[joint], motion[name][t], strict=True):
                    if dof[0] == "r":
                        turn = about(dof[1], value) @ turn
                    else:
                        moved["xyz".index(dof[1])] = value
            turn = skeleton.axes[joint] @ turn @ inverse[joint]
            if parent < 0:
                turns.append(turn)
                place[t, joint] = skeleton.position + moved
            else:
                turns.append(turns[parent] @ turn)
                place[t, joint] = place[t, parent] + turns[joint] @ skeleton.offsets[joint]
    return place
