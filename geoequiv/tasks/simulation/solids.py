"""Solids like those of computer-aided design: unions, cuts and fillets of primitives, as triangle meshes.

Each of eight families draws its own sizes and counts. Every solid is then turned so that its main axis is x, y or z at
random, as parts lie in the archives of design: their faces favour the axes of coordinates.
"""

import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError

SPLITS = ("train", "val", "test")
SEGMENTS = 48  # of a full circle: cylinders are prisms of so many sides, with the exact normals of these
THINNEST = 1e-9  # area of a triangle over that of the solid, below which it is an artefact of a cut
Rng = np.random.Generator
Solid = Any  # manifold3d.Manifold, which is imported when it is needed


class Meshes(NamedTuple):
    """Corners ``[T, 3, 3]`` of all triangles, mesh by mesh, anticlockwise from outside; and their counts ``[M]``."""

    triangles: NDArray[np.float64]
    counts: NDArray[np.int64]


def make_solids(sizes: dict[str, int], seed: int) -> dict[str, NDArray[Any]]:
    """Arrays "<split>_triangles", "<split>_counts" and "<split>_family"; families take turns.

    Item i of a split is a pure function of (seed, split, i), so that a larger split begins with a smaller one.

    Raises:
        DataError: manifold3d is not installed.
    """
    if importlib.util.find_spec("manifold3d") is None:
        raise DataError("Making solids takes manifold3d: pip install 'geoequiv[meshes]'.")
    arrays: dict[str, NDArray[Any]] = {}
    for number, split in enumerate(SPLITS):
        made = [solid(seed, number, item) for item in range(sizes[split])]
        arrays[f"{split}_triangles"] = np.concatenate(made)
        arrays[f"{split}_counts"] = np.array([len(each) for each in made])
        arrays[f"{split}_family"] = np.arange(sizes[split]) % len(FAMILIES)
    return arrays


def solid(seed: int, split: int, item: int) -> NDArray[np.float64]:
    """One solid, ``[T, 3, 3]``: drawn again, by a stream of its own, until its parts hang together."""
    family = list(FAMILIES.values())[item % len(FAMILIES)]
    for attempt in range(100):
        rng = np.random.default_rng([seed, split, item, attempt])
        made = family(rng)
        if len(made.decompose()) == 1:
            turn = np.roll(np.eye(3), int(rng.integers(3)), axis=0)  # a rotation: an even permutation of the axes
            return triangles_of(made) @ turn.T
    raise AssertionError(f"family {family.__name__} makes nothing that hangs together")


def triangles_of(made: Solid) -> NDArray[np.float64]:
    """Corners of the triangles of a solid, without the slivers that cuts leave."""
    mesh = made.to_mesh64()
    corners: NDArray[np.float64] = np.asarray(mesh.vert_properties)[:, :3][np.asarray(mesh.tri_verts)]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    return corners[area > THINNEST * area.sum()]


def box(x: float, y: float, z: float) -> Solid:
    """A box about the origin."""
    from manifold3d import Manifold

    return Manifold.cube([x, y, z], True)


def cylinder(height: float, low: float, high: float | None = None, segments: int = SEGMENTS) -> Solid:
    """A cylinder, or a cone, about the z axis and the origin."""
    from manifold3d import Manifold

    return Manifold.cylinder(height, low, low if high is None else high, segments, True)


def plate(rng: Rng) -> Solid:
    """A plate with holes."""
    x, y, z = rng.uniform(1.2, 2.4), rng.uniform(0.8, 1.6), rng.uniform(0.15, 0.4)
    made = box(x, y, z)
    for _ in range(rng.integers(1, 5)):
        at = rng.uniform(-0.32, 0.32, 2) * (x, y)
        made -= cylinder(2, rng.uniform(0.08, 0.2)).translate([*at, 0])
    return made


def bracket(rng: Rng) -> Solid:
    """Two plates at a right angle, a rib between them, and bolt holes."""
    from manifold3d import Manifold

    width, foot, wall, thick = rng.uniform([0.8, 1.0, 0.8, 0.15], [1.6, 1.8, 1.8, 0.3])
    made = box(foot, width, thick).translate([foot / 2, 0, thick / 2])
    made += box(thick, width, wall).translate([thick / 2, 0, wall / 2])
    reach = rng.uniform(0.4, 0.8) * min(foot, wall)
    rib = [[0, s * 0.08, 0] for s in (-1, 1)] + [[reach, s * 0.08, 0] for s in (-1, 1)]
    made += Manifold.hull_points([*rib, *([0, s * 0.08, reach] for s in (-1, 1))]).translate([thick / 2, 0, thick / 2])
    for side in (-1, 1):
        made -= cylinder(1, rng.uniform(0.08, 0.15)).translate([0.7 * foot, side * 0.28 * width, 0])
    return made


def flange(rng: Rng) -> Solid:
    """A disc with a hub, a bore and a ring of holes."""
    radius, thick, hub, height = rng.uniform([0.8, 0.15, 0.3, 0.4], [1.2, 0.3, 0.45, 1.0])
    made = cylinder(thick, radius) + cylinder(height, hub).translate([0, 0, height / 2])
    made -= cylinder(4, rng.uniform(0.12, 0.25))
    count = int(rng.integers(3, 9))
    ring, size = 0.5 * (radius + hub), rng.uniform(0.06, 0.11)
    for k in range(count):
        angle = 2 * np.pi * k / count
        made -= cylinder(1, size, segments=24).translate([ring * np.cos(angle), ring * np.sin(angle), 0])
    return made


def shaft(rng: Rng) -> Solid:
    """Steps of a turned shaft with chamfers, and a keyway."""
    made, at = None, 0.0
    for _ in range(rng.integers(2, 5)):
        radius, length = rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.9)
        step = cylinder(length, radius).translate([0, 0, at + length / 2])
        edge = cylinder(0.08, radius, 0.85 * radius).translate([0, 0, at + length + 0.039])
        made = step + edge if made is None else made + step + edge
        at += length
    assert made is not None
    return made - box(0.16, 2, rng.uniform(0.3, 0.6)).translate([0, 1 + rng.uniform(0.12, 0.18), 0.3 * at])


def rounded_block(rng: Rng) -> Solid:
    """A block with fillets on all its edges, and a pocket."""
    from manifold3d import Manifold

    half, fillet = rng.uniform(0.35, 0.9, 3), rng.uniform(0.08, 0.3)
    ball = Manifold.sphere(fillet, 24)
    corners = [ball.translate(list(half * s)) for s in np.stack(np.meshgrid(*[[-1, 1]] * 3), -1).reshape(-1, 3)]
    made = Manifold.batch_hull(corners)
    across, along = rng.uniform(0.6, 1.2, 2) * half[:2]
    pocket = box(across, along, rng.uniform(0.3, 0.9))
    return made - pocket.translate([0, 0, half[2] + fillet])


def cut_ball(rng: Rng) -> Solid:
    """A ball with flats and a bore, as of a valve."""
    from manifold3d import Manifold

    made = Manifold.sphere(1.0, 40)
    x, y, z = rng.uniform(1.2, 1.9, 3)
    made ^= box(x, y, z)
    return made - cylinder(3, rng.uniform(0.2, 0.5)).rotate([90 * int(rng.integers(2)), 0, 0])


def elbow(rng: Rng) -> Solid:
    """A bent pipe with two collars."""
    from manifold3d import CrossSection, Manifold

    bend, radius = rng.uniform(0.7, 1.1), rng.uniform(0.25, 0.4)
    wall, angle = rng.uniform(0.06, 0.12), float(rng.uniform(60, 180))
    ring = (CrossSection.circle(radius, 32) - CrossSection.circle(radius - wall, 32)).translate([bend, 0])
    made = Manifold.revolve(ring, SEGMENTS, angle)
    collar = (cylinder(0.15, 1.35 * radius) - cylinder(1, radius - wall)).rotate([90, 0, 0]).translate([bend, 0, 0])
    return made + collar + collar.rotate([0, 0, angle])


def gear(rng: Rng) -> Solid:
    """A wheel with teeth, a bore and a keyway."""
    from manifold3d import CrossSection, Manifold

    teeth, depth = int(rng.integers(8, 19)), rng.uniform(0.12, 0.25)
    angle = 2 * np.pi * (np.arange(4 * teeth) + 0.5) / (4 * teeth)
    radius = np.where(np.arange(4 * teeth) % 4 < 2, 1.0, 1 - depth)
    outline = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    made = Manifold.extrude(CrossSection([outline.tolist()]), float(rng.uniform(0.25, 0.7)))
    bore = rng.uniform(0.15, 0.35)
    return made - cylinder(4, bore) - box(0.5 * bore, 0.5 * bore, 4).translate([bore, 0, 0])


#: name → how one is made, in the order in which they take turns
FAMILIES: dict[str, Callable[[Rng], Solid]] = {
    "plate": plate, "bracket": bracket, "flange": flange, "shaft": shaft, "rounded block": rounded_block,
    "cut ball": cut_ball, "elbow": elbow, "gear": gear,
}  # fmt: skip
