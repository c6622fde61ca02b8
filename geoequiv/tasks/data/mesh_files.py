"""Triangle meshes from .obj, .off, .ply and .stl files: what has no normal is named with file and line."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError
from geoequiv.text import check_size as check_bytes
from geoequiv.text import memory, read_text

ENDINGS = (".obj", ".off", ".ply", ".stl")
#: size of a mesh over its distance from the origin, below which single precision has lost its shape
SMALLEST = 1e-5
#: area of a triangle over the square of its longest side, below which it has no direction
FLATTEST = 1e-12


class Mesh(NamedTuple):
    """Vertices ``[V, 3]``, triangles ``[T, 3]`` by their numbers, and where each is written ("line 7", "face 3")."""

    vertices: NDArray[np.float64]
    triangles: NDArray[np.int64]
    vertex_places: list[str]
    triangle_places: list[str]


def read_mesh(path: Path, strict: bool = True) -> NDArray[np.float64]:
    """Corners of the triangles of a mesh, ``[T, 3, 3]``; faces with more corners are cut into fans.

    Args:
        path: the file.
        strict: refuse meshes with faces of area 0 or edges of more than two faces; otherwise the former are left out.

    Raises:
        DataError: with file and line (of binary files: number) of what is wrong: no faces, a vertex that is not finite
            or does not exist, a face of area 0, an edge of more than two faces, coordinates too far from the origin.
    """
    mesh = READERS[path.suffix.lower()](path)
    if len(mesh.triangles) == 0:
        raise DataError(f"{path} has {len(mesh.vertices)} vertices and no faces: normals are those of faces.")
    bad = np.flatnonzero((mesh.triangles < 0).any(1) | (mesh.triangles >= len(mesh.vertices)).any(1))
    if len(bad):
        raise DataError(
            f"{path}, {mesh.triangle_places[bad[0]]}: the face names a vertex that does not exist; there are "
            f"{len(mesh.vertices)}."
        )
    wild = np.flatnonzero(~np.isfinite(mesh.vertices).all(1))
    if len(wild):
        raise DataError(f"{path}, {mesh.vertex_places[wild[0]]}: a coordinate of the vertex is not finite.")
    check_size(path, mesh.vertices[np.unique(mesh.triangles)])
    corners: NDArray[np.float64] = mesh.vertices[mesh.triangles]
    sides = corners - np.roll(corners, 1, axis=1)
    double_area = np.linalg.norm(np.cross(sides[:, 1], sides[:, 2]), axis=1)
    flat = double_area <= FLATTEST * np.square(sides).sum(-1).max(1)
    if strict and flat.any():
        place = mesh.triangle_places[int(np.flatnonzero(flat)[0])]
        raise DataError(
            f"{path}, {place}: a face of area 0 has no normal ({int(flat.sum())} such). strict: false leaves them out."
        )
    if flat.all():
        raise DataError(f"{path}: all {len(flat)} faces have area 0.")
    if strict:
        check_manifold(path, mesh)
    return corners[~flat]


def check_size(path: Path, vertices: NDArray[np.float64]) -> None:
    """DataError where single precision cannot tell the vertices apart, as with other units for shape and place."""
    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    away = float(np.linalg.norm(vertices.mean(0)))
    if size <= SMALLEST * away:
        raise DataError(
            f"{path}: the mesh is {size:.3g} across and {away:.3g} away from the origin, so that single precision "
            "blurs it. Units of shape and place may differ: move it to the origin. (Units alone do not matter: clouds "
            "are scaled.)"
        )


def check_manifold(path: Path, mesh: Mesh) -> None:
    """DataError for an edge of more than two faces; vertices at one place count as one."""
    _, number = np.unique(mesh.vertices, axis=0, return_inverse=True)
    corners = number.reshape(-1)[mesh.triangles]
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    _, edge, counts = np.unique(edges, axis=0, return_inverse=True, return_counts=True)
    many = np.flatnonzero(counts[edge.reshape(-1)] > 2)
    if len(many):
        place = mesh.triangle_places[int(many[0]) % len(mesh.triangles)]
        raise DataError(
            f"{path}, {place}: an edge of the face has {int(counts[edge.reshape(-1)[many[0]]])} faces; a surface has "
            "at most two (non-manifold). strict: false accepts it."
        )


def read_obj(path: Path) -> Mesh:
    """Vertices and faces of a Wavefront file; everything else in it is ignored."""
    vertices, faces, vertex_places, face_places = [], [], [], []
    for number, line in enumerate(text_of(path).splitlines(), 1):
        words = line.split("#")[0].split()
        if not words or words[0] not in ("v", "f"):
            continue
        if words[0] == "v":
            vertices.append(numbers(path, number, words[1:4], 3))
            vertex_places.append(f"line {number}")
        else:
            corners = [integer(path, number, word.split("/")[0]) for word in words[1:]]
            if len(corners) < 3 or 0 in corners:
                raise DataError(f"{path}, line {number}: a face has three vertices or more, counted from 1.")
            faces.append([c - 1 if c > 0 else len(vertices) + c for c in corners])
            face_places.append(f"line {number}")
    return fans(vertices, faces, vertex_places, face_places)


def read_off(path: Path) -> Mesh:
    """Vertices and faces of an Object File Format file."""
    lines = [(n, line.split("#")[0].split()) for n, line in enumerate(text_of(path).splitlines(), 1)]
    lines = [(number, words) for number, words in lines if words]
    if not lines or not lines[0][1][0].upper().startswith("OFF"):
        raise DataError(f"{path}, line {lines[0][0] if lines else 1}: an .off file begins with OFF.")
    first, words = lines.pop(0)
    counts = words[1:] or [words[0][3:]] * (len(words[0]) > 3)
    if not counts and lines:
        first, counts = lines.pop(0)
    if len(counts) < 2:
        raise DataError(f"{path}, line {first}: expected the numbers of vertices and faces.")
    many, some = (integer(path, first, word) for word in counts[:2])
    if len(lines) < many + some:
        raise DataError(f"{path}: it announces {many} vertices and {some} faces, and has {len(lines)} lines of them.")
    vertices = [numbers(path, number, words[:3], 3) for number, words in lines[:many]]
    faces = []
    for number, words in lines[many : many + some]:
        count = integer(path, number, words[0])
        if count < 3 or len(words) <= count:
            raise DataError(f"{path}, line {number}: a face has its number of vertices, three or more, and these.")
        faces.append([integer(path, number, word) for word in words[1 : count + 1]])
    places = [f"line {number}" for number, _ in lines]
    return fans(vertices, faces, places[:many], places[many : many + some])


def read_other(path: Path) -> Mesh:
    """A .ply or .stl file, by trimesh."""
    if importlib.util.find_spec("trimesh") is None:
        raise DataError(f"Reading {path} takes trimesh: pip install 'geoequiv[meshes]'.")
    import trimesh

    try:
        check_bytes(path, memory() // 8)
        found = trimesh.load(path, process=False)
    except Exception as error:  # whatever a damaged file brings about
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
    vertices = np.asarray(getattr(found, "vertices", np.zeros((0, 3))), dtype=np.float64).reshape(-1, 3)
    triangles = np.asarray(getattr(found, "faces", np.zeros((0, 3))), dtype=np.int64).reshape(-1, 3)
    return Mesh(
        vertices, triangles, [f"vertex {k}" for k in range(len(vertices))], [f"face {k}" for k in range(len(triangles))]
    )


READERS = {".obj": read_obj, ".off": read_off, ".ply": read_other, ".stl": read_other}


def fans(vertices: list[list[float]], faces: list[list[int]], vertex_places: list[str], places: list[str]) -> Mesh:
    """Faces as triangles that share their first vertex."""
    cut = [(f[0], f[k], f[k + 1], p) for f, p in zip(faces, places, strict=True) for k in range(1, len(f) - 1)]
    return Mesh(
        np.array(vertices, dtype=np.float64).reshape(-1, 3),
        np.array([each[:3] for each in cut], dtype=np.int64).reshape(-1, 3),
        vertex_places,
        [each[3] for each in cut],
    )


def text_of(path: Path) -> str:
    """The text of a file; DataError where it cannot be read."""
    try:
        return read_text(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error


def numbers(path: Path, line: int, words: list[str], count: int) -> list[float]:
    """So many numbers; DataError with the line otherwise."""
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    if len(found) != count:
        raise DataError(f"{path}, line {line}: expected {count} numbers, got '{' '.join(words)}'.")
    return found


def integer(path: Path, line: int, word: str) -> int:
    """A whole number; DataError with the line otherwise."""
    try:
        return int(word)
    except ValueError:
        raise DataError(f"{path}, line {line}: expected a whole number, got '{word}'.") from None
