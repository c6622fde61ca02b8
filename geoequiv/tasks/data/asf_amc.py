"""Acclaim motion capture files: the skeleton in an .asf, its motion in an .amc."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from geoequiv.errors import DataError, shortened
from geoequiv.tasks.data.skeleton import Skeleton
from geoequiv.text import check_size, control_character, memory

INCH = 0.0254  # metres; an .asf gives its lengths in inches times its `length` unit
#: other characters that a file of text may have between its words
BLANK = str.maketrans("\r\f\v", "\n  ")
DIGITS = 15  # of a frame's number
CHANNELS = ("tx", "ty", "tz", "rx", "ry", "rz")


class Reader:
    """Lines of a text file with their numbers, so that every error can name its line.

    Args:
        path: a file in UTF-8, with or without a byte-order mark, or in Latin-1.
        inline_comments: whether "#" begins a comment anywhere; else only at the start of a line.
    """

    def __init__(self, path: str | os.PathLike[str], inline_comments: bool = True) -> None:
        self.path = Path(path)
        self.inline_comments = inline_comments
        try:
            check_size(self.path, memory() // 8)
            content = self.path.read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path} cannot be read as text ({type(error).__name__}: {error}).") from error
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        text = text.replace("\r\n", "\n").translate(BLANK)
        control = control_character(text)
        if control is not None:
            raise DataError(f"{self.path} cannot be read as text: it holds the control character {control!r}.")
        self.lines = text.splitlines()
        self.number = 0

    def __iter__(self) -> Iterator[list[str]]:
        """Words of the lines that are neither blank nor a comment."""
        for number, line in enumerate(self.lines, start=1):
            self.number = number
            begins = line.find("#") if self.inline_comments or line.lstrip().startswith("#") else -1
            words = (line if begins < 0 else line[:begins]).split()
            if words:
                yield words

    def fail(self, message: str) -> NoReturn:
        """Raise DataError with file and line."""
        raise DataError(f"{self.path}, line {self.number}: {message}")

    def floats(self, words: list[str], count: int, what: str) -> list[float]:
        """The numbers of a line."""
        try:
            values = [float(word) for word in words]
        except ValueError:
            self.fail(f"{what} must be numbers, got '{' '.join(words)}'.")
        if len(values) != count or not np.isfinite(values).all():
            self.fail(f"{what}: expected {count} finite numbers, got '{' '.join(words)}'.")
        return values


def read_asf(path: str | os.PathLike[str]) -> Skeleton:
    """The skeleton of an Acclaim .asf file: 31 joints with the root for those of the CMU database.

    Joints are in the order of the file's bones, root first (the order of the public GMN and EGNO files).

    Args:
        path: the file.

    Returns:
        The skeleton, in the file's units of length; ``unit`` is metres per unit.

    Raises:
        DataError: with file and line, where it does not follow the format.

    Reference:
        http://graphics.cs.cmu.edu/nsp/course/15-464/Fall05/assignments/asfamc.html (description of the format).
    """
    reader = Reader(path)
    section, degrees, length = "", True, 1.0
    root: dict[str, list[str]] = {}
    bones: list[dict[str, list[str]]] = []
    parents: dict[str, str] = {}
    for words in reader:
        if words[0].startswith(":"):
            section = words[0][1:].lower()
        elif section == "units" and words[0] == "angle":
            degrees = checked_unit(reader, words[1:])
        elif section == "units" and words[0] == "length":
            (length,) = reader.floats(words[1:], 1, "The unit of length")
            if not 1e-9 < length < 1e9:
                reader.fail(f"the unit of length must be above 0 and below 1e9, got {length:g}.")
        elif section == "root":
            root[words[0].lower()] = words[1:]
        elif section == "bonedata" and words[0] == "begin":
            bones.append({})
        elif section == "bonedata" and words[0] != "end":
            if not bones:
                reader.fail("a bone must start with 'begin'.")
            read_bone_line(reader, words, bones[-1])
        elif section == "hierarchy" and words[0] not in ("begin", "end"):
            parents.update(dict.fromkeys(words[1:], words[0]))
    return assemble(reader, root, bones, parents, degrees, length)


def checked_unit(reader: Reader, words: list[str]) -> bool:
    """Whether angles are in degrees."""
    if words not in (["deg"], ["rad"]):
        reader.fail(f"the unit of angles must be 'deg' or 'rad', got '{' '.join(words)}'.")
    return words == ["deg"]


def read_bone_line(reader: Reader, words: list[str], bone: dict[str, list[str]]) -> None:
    """Keep one line of a bone, checked."""
    key, rest = words[0].lower(), words[1:]
    if key == "direction":
        reader.floats(rest, 3, "A direction")
    elif key == "length":
        reader.floats(rest, 1, "A length")
    elif key == "axis":
        reader.floats(rest[:3], 3, "An axis")
        checked_order(reader, rest[3:])
    elif key == "dof":
        rest = [word.lower() for word in rest]
        unknown = [word for word in rest if word not in CHANNELS]
        if unknown:
            reader.fail(f"a degree of freedom is one of {', '.join(CHANNELS)}; got '{unknown[0]}'.")
    elif key not in ("id", "name", "limits", "bodymass", "cofmass") and not key.startswith("("):
        reader.fail(f"'{words[0]}' is not a property of a bone.")
    bone[key] = rest


def checked_order(reader: Reader, words: list[str]) -> str:
    """Order of the rotations of an axis, "xyz"."""
    order = "".join(words).lower()
    if sorted(order) != ["x", "y", "z"]:
        reader.fail(f"an axis ends with the order of its rotations, such as XYZ; got '{' '.join(words)}'.")
    return order


def assemble(
    reader: Reader,
    root: dict[str, list[str]],
    bones: list[dict[str, list[str]]],
    parents: dict[str, str],
    degrees: bool,
    length: float,
) -> Skeleton:
    """Put the parts of a file together."""
    needed = {"name", "direction", "length"}
    for bone in bones:
        if not needed <= set(bone):
            reader.fail(f"the bone '{' '.join(bone.get('name', ['?']))}' has no {', '.join(needed - set(bone))}.")
    names = ["root", *(bone["name"][0] for bone in bones)]
    if len(set(names)) < len(names) or len(names) == 1:
        reader.fail(f"expected bones of different names, got {names[1:]}.")
    for name in names[1:]:
        if parents.get(name) not in names:
            reader.fail(f"the hierarchy gives the bone '{name}' no known parent: '{parents.get(name)}'.")
    order = [word.lower() for word in root.get("order", [])]
    if sorted(order) != sorted(CHANNELS):
        reader.fail(f"the root's order must name {', '.join(CHANNELS)}; got '{' '.join(order)}'.")
    orientation = reader.floats(root.get("orientation", ["0", "0", "0"]), 3, "The root's orientation")
    frames = [bone_axes(orientation, checked_order(reader, root.get("axis", ["XYZ"])), degrees)]
    offsets = [np.zeros(3)]
    for bone in bones:
        axis = bone.get("axis", ["0", "0", "0", "XYZ"])
        frames.append(bone_axes([float(word) for word in axis[:3]], "".join(axis[3:]).lower(), degrees))
        offsets.append(np.array([float(word) for word in bone["direction"]]) * float(bone["length"][0]))
    place = {name: joint for joint, name in enumerate(names)}
    return Skeleton(
        names=tuple(names),
        parents=(-1, *(place[parents[name]] for name in names[1:])),
        offsets=np.stack(offsets),
        axes=np.stack(frames),
        dofs=(tuple(order), *(tuple(bone.get("dof", ())) for bone in bones)),
        position=np.array(reader.floats(root.get("position", ["0", "0", "0"]), 3, "The root's position")),
        unit=INCH / length,
        degrees=degrees,
    )


def bone_axes(angles: list[float], order: str, degrees: bool) -> NDArray[np.float64]:
    """A bone's axes: rotations about the world's axes, in the order named."""
    ordered = [angles["xyz".index(letter)] for letter in order]
    matrix: NDArray[np.float64] = Rotation.from_euler(order, ordered, degrees=degrees).as_matrix()
    return matrix


def read_amc(path: str | os.PathLike[str], skeleton: Skeleton) -> dict[str, NDArray[np.float64]]:
    """The motion of an Acclaim .amc file: joint name → ``[T, channels]``, angles in radians.

    The file's :DEGREES or :RADIANS says what it is in; one with neither is in the unit of its skeleton.

    Args:
        path: the file.
        skeleton: of the motion.

    Raises:
        DataError: with file and line: an unknown joint, a joint missing in a frame or given twice, a wrong number of
            values, frames that do not count up by one, or no frame at all.
    """
    reader = Reader(path)
    counts = {name: len(dofs) for name, dofs in zip(skeleton.names, skeleton.dofs, strict=True) if dofs}
    found = frames_at_once(reader.lines, counts)  # line by line takes eight times as long
    motion, flags = found if found is not None else frames_by_line(reader, counts)
    if ":DEGREES" in flags or (skeleton.degrees and ":RADIANS" not in flags):
        for name, channels in motion.items():
            angular = [dof.startswith("r") for dof in skeleton.dofs[skeleton.names.index(name)]]
            channels[:, angular] = np.deg2rad(channels[:, angular])
    return motion


def frames_at_once(lines: list[str], counts: dict[str, int]) -> tuple[dict[str, NDArray[np.float64]], set[str]] | None:
    """What `frames_by_line` gives, for a file whose frames all name the same joints in one order; None for any other.

    A file that gives None may still be sound; if it is not, `frames_by_line` finds the line.
    """
    first = next((k for k, line in enumerate(lines) if line.strip().isdigit()), len(lines))
    head = [line.strip() for line in lines[:first]]
    names = [line.split()[0] for line in lines[first + 1 : first + 1 + len(counts)] if line.strip()]
    if sorted(names) != sorted(counts) or any(line and line[0] not in "#:" for line in head):
        return None
    words = np.array("\n".join(lines[first:]).split())
    starts = np.cumsum([1, *(1 + counts[name] for name in names)])
    if len(words) % starts[-1]:
        return None
    table = words.reshape(-1, starts[-1])
    if (table[:, starts[:-1]] != names).any() or not np.char.isdigit(table[:, 0]).all():
        return None
    try:
        values = np.delete(table, starts[:-1], axis=1).astype(np.float64)
    except ValueError:
        return None
    if not np.isfinite(values).all() or (np.diff(values[:, 0]) != 1).any():
        return None
    ends = np.cumsum([1, *(counts[name] for name in names)])
    motion = {name: values[:, end - counts[name] : end] for name, end in zip(names, ends[1:], strict=True)}
    return {name: motion[name] for name in counts}, {line.upper() for line in head if line.startswith(":")}


def frames_by_line(reader: Reader, counts: dict[str, int]) -> tuple[dict[str, NDArray[np.float64]], set[str]]:
    """Joint name → ``[T, channels]``, and the flags before them, such as ":DEGREES"; errors name the line."""
    flags: set[str] = set()
    frames: list[dict[str, list[float]]] = []
    last: int | None = None
    for words in reader:
        if words[0].startswith(":"):
            flags.add(words[0].upper())
        elif len(words) == 1 and words[0].isdecimal():
            check_whole(reader, frames, counts)
            if len(words[0]) > DIGITS:
                reader.fail(f"the number of a frame has at most {DIGITS} digits, got {shortened(words[0])}.")
            if last is not None and int(words[0]) != last + 1:
                reader.fail(f"frame {words[0]} follows frame {last}: frames must count up by one.")
            last = int(words[0])
            frames.append({})
        else:
            if not frames:
                reader.fail(f"expected a frame number, got '{' '.join(words)}'.")
            name = words[0]
            if name not in counts:
                reader.fail(f"'{name}' is not a joint of this skeleton that has channels.")
            if name in frames[-1]:
                reader.fail(f"'{name}' stands twice in frame {last}.")
            frames[-1][name] = reader.floats(words[1:], counts[name], f"The channels of '{name}'")
    check_whole(reader, frames, counts)
    if not frames:
        reader.fail("the file has no frames.")
    return {name: np.array([frame[name] for frame in frames]) for name in counts}, flags


def check_whole(reader: Reader, frames: list[dict[str, list[float]]], counts: dict[str, int]) -> None:
    """Fail if the last frame lacks a joint."""
    if frames and len(frames[-1]) < len(counts):
        missing = [name for name in counts if name not in frames[-1]]
        reader.fail(f"the frame before this line lacks {', '.join(missing)}.")
