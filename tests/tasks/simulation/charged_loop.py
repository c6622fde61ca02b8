"""The naive twin: one trajectory at a time, written from the protocol of the public data, for tests and timing."""

import numpy as np


def draw_in_loop(stream):
    """Charges [5, 1], positions [3, 5] and velocities [3, 5] of the next trajectory of the stream."""
    charge = stream.choice([-1.0, 0.0, 1.0], size=(5, 1), p=[0.5, 0, 0.5])
    x = stream.randn(3, 5)
    v = stream.randn(3, 5)
    v = v * 0.5 / np.sqrt((v**2).sum(axis=0)).reshape(1, 5)
    for k in range(3):
        for i in range(5):
            if x[k, i] > 5:
                x[k, i], v[k, i] = 10 - x[k, i], -abs(v[k, i])
            elif x[k, i] < -5:
                x[k, i], v[k, i] = -10 - x[k, i], abs(v[k, i])
    stream.randn(49, 3, 5)
    stream.randn(49, 3, 5)
    return charge, x, v


def force_in_loop(charge, x, clamp):
    """Clamped forces [3, 5] and the largest force before the clamp."""
    points = x.transpose()
    square = (points**2).sum(axis=1)
    distance = square.reshape(5, 1) + square.reshape(1, 5) - 2 * points.dot(points.transpose())
    with np.errstate(divide="ignore", invalid="ignore"):
        size = charge.dot(charge.transpose()) / np.power(distance, 3.0 / 2.0)
    np.fill_diagonal(size, 0)
    force = (size * np.stack([np.subtract.outer(x[k], x[k]) for k in range(3)])).sum(axis=-1)
    if clamp == "component":
        largest = np.abs(force).max()
        force[force > 100] = 100
        force[force < -100] = -100
    else:
        norm = np.sqrt((force**2).sum(axis=0))
        largest = norm.max()
        force = force * (100 / np.maximum(norm, 100))
    return force, largest


def run_in_loop(charge, x, v, clamp="component", last_frame=40):
    """Frame → (positions, velocities, largest force since the frame before), up to `last_frame`."""
    x, v, frames, largest = x.copy(), v.copy(), {}, 0.0
    force, _ = force_in_loop(charge, x, clamp)
    v += 0.001 * force
    step = 0
    while len(frames) <= last_frame:
        step += 1
        x += 0.001 * v
        if step % 100 == 0:
            frames[len(frames)] = x.copy(), v.copy(), largest
            largest = 0.0
        force, before = force_in_loop(charge, x, clamp)
        largest = max(largest, before)
        v += 0.001 * force
    return frames
