"""Biovision motion capture files (.bvh): a skeleton and its motion in one text file.

Read here rather than by a library: the maintained one, pybvh, has renamed its functions in every version so far,
depends on matplotlib, accepts NaN as a number and does not say in which line of the motion an error is. The format is
small, and forward kinematics exist here already.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoequiv.tasks.data.asf_amc import Reader
from geoequiv.tasks.data.skeleton import Skeleton, forward_kinematics

CHANNELS = {
    f"{axis}{kind}": f"{kind[0].replace('p', 't')}{axis}" for axis in "xyz" for kind in ("position", "rotation")
}
Array = NDArray[np.float64]


@dataclass(eq=False)
class Hierarchy:
    """What has been read of a hierarchy: one entry a joint in each list."""

    names: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    offsets: list[list[float] | None] = field(default_factory=list)
    channels: list[tuple[str, ...]] = field(default_factory=list)
    open: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Motion:
    """A .bvh file.

    Args:
        skeleton: in the unit of the file, which does not say what it is; ends of the last bones are joints as well.
        angles: joint name → ``[T, channels]``, as `forward_kinematics` takes them.
        rate: frames per second.
        offsets: joint name → ``[T, 3]``, of joints whose position channels change their offset from the parent.
    """

    skeleton: Skeleton
    angles: dict[str, Array]
    rate: float
    offsets: dict[str, Array]

    def positions(self) -> Array:
        """Joint positions ``[T, J, 3]``."""
        return forward_kinematics(self.skeleton, self.angles, self.offsets)


def read_bvh(path: str | os.PathLike[str]) -> Motion:
    """A .bvh file: joints in the order of its hierarchy, root first.

    In this format a joint rotates its children; in a `Skeleton` a bone rotates itself. The channels of a joint are
    therefore those of each bone that starts there, and bones at the root rotate with it. Rotations are intrinsic, in
    the order written: equal to extrinsic ones in the reverse order. Position channels are in place of the OFFSET, that
    of the root as well; where they are equal to it in all frames, as most exporters write six channels for each joint,
    bones are rigid.

    The file is read as UTF-8, with or without a byte-order mark, or else as Latin-1; names may hold any character but
    white space and braces.

    Raises:
        DataError: with file and line, where it does not follow the format.

    Reference:
        https://research.cs.wisc.edu/graphics/Courses/cs-838-1999/Jeff/BVH.html (description of the format).
    """
    reader = Reader(path, inline_comments=False)
    tree = Hierarchy()
    lines = iter(reader)
    for words in lines:
        if words[0].upper() == "MOTION":
            break
        read_hierarchy_line(reader, words, tree)
    else:
        reader.fail("the file ends before the line MOTION.")
    if not tree.names or tree.open or None in tree.offsets:
        reader.fail("the hierarchy above lacks its root, an OFFSET, or a closing brace.")
    frames = count = 0
    rate = 0.0
    for words in lines:
        title, _, value = " ".join(words).partition(":")
        if title.upper() == "FRAMES":
            (number,) = reader.floats(value.split(), 1, "The number of frames")
            frames = int(number)
        elif title.upper() == "FRAME TIME":
            (seconds,) = reader.floats(value.split(), 1, "The frame time")
            if seconds <= 0:
                reader.fail(f"the frame time must be above 0, got {seconds}.")
            rate, count = 1 / seconds, reader.number
            break
        else:
            reader.fail(f"expected 'Frames:' or 'Frame Time:', got '{' '.join(words)}'.")
    if not count:
        reader.fail("the file ends before the line 'Frame Time:'.")
    table = rows(reader, lines, sum(len(each) for each in tree.channels))
    if len(table) != frames or not frames:
        reader.fail(f"the file announces {frames} frames and holds {len(table)}.")
    return assembled(tree, table, rate)


def read_hierarchy_line(reader: Reader, words: list[str], tree: Hierarchy) -> None:
    """One line of the hierarchy; braces may stand on it or on their own."""
    braces = [word for word in words if word in "{}"]
    words = [word for word in words if word not in "{}"]
    key = words[0].upper() if words else ""
    if key in ("ROOT", "JOINT", "END"):
        if (key == "ROOT") == bool(tree.names) or (key != "ROOT" and not tree.open):
            reader.fail(f"'{' '.join(words)}' is not expected here: one ROOT, and all others inside its braces.")
        name = f"{tree.names[tree.open[-1]]}_end" if key == "END" else " ".join(words[1:])
        while key == "END" and name in tree.names:
            name += "_end"
        if not name or name in tree.names:
            reader.fail(f"joints need names of their own, got '{name}'.")
        tree.names.append(name)
        tree.parents.append(tree.open[-1] if tree.open else -1)
        tree.offsets.append(None)
        tree.channels.append(())
    elif key == "OFFSET" and tree.open:
        tree.offsets[tree.open[-1]] = reader.floats(words[1:], 3, "An offset")
    elif key == "CHANNELS" and tree.open:
        tree.channels[tree.open[-1]] = checked_channels(reader, words[1:])
    elif key not in ("", "HIERARCHY"):
        reader.fail(f"'{' '.join(words)}' is not a line of a hierarchy.")
    for brace in braces:
        if brace == "{":
            if not tree.names or len(tree.names) - 1 in tree.open:
                reader.fail("a brace opens where no joint is named.")
            tree.open.append(len(tree.names) - 1)
        elif not tree.open:
            reader.fail("a brace closes where none is open.")
        else:
            tree.open.pop()


def checked_channels(reader: Reader, words: list[str]) -> tuple[str, ...]:
    """The channels of a joint in the words of `Skeleton`: ("tx", …, "rz")."""
    names = [word.lower() for word in words[1:]]
    unknown = [name for name in names if name not in CHANNELS]
    if unknown or not words or words[0] != str(len(names)) or len(set(names)) < len(names):
        reader.fail(f"expected the number of channels and as many of {', '.join(CHANNELS)}; got '{' '.join(words)}'.")
    return tuple(CHANNELS[name] for name in names)


def rows(reader: Reader, lines: Iterator[list[str]], width: int) -> Array:
    """All that follows: one line a frame, ``[T, width]``; errors name the line."""
    texts = [text for line in reader.lines[reader.number :] if (text := line.split())]
    if all(len(text) == width for text in texts):
        try:
            table = np.array(texts, dtype=np.float64).reshape(len(texts), width)
        except ValueError:
            table = np.full((1, 1), np.nan)
        if np.isfinite(table).all():
            return table
    return np.array([reader.floats(words, width, "A frame") for words in lines]).reshape(-1, width)  # finds the line


def assembled(tree: Hierarchy, table: Array, rate: float) -> Motion:
    """Skeleton and angles of a hierarchy and its motion."""
    ends = np.cumsum([len(channels) for channels in tree.channels])
    columns = [list(range(end - len(channels), end)) for end, channels in zip(ends, tree.channels, strict=True)]
    dofs, taken = [], []
    for joint, parent in enumerate(tree.parents):
        source = joint if joint == 0 else parent
        kept = [
            (channel, column)
            for channel, column in zip(tree.channels[source], columns[source], strict=True)
            if joint == 0 or (parent != 0 and channel.startswith("r"))
        ][::-1]
        dofs.append(tuple(channel for channel, _ in kept))
        taken.append([column for _, column in kept])
    offsets = np.array(tree.offsets, dtype=np.float64)
    position = offsets[0].copy()
    position[["xyz".index(channel[1]) for channel in tree.channels[0] if channel.startswith("t")]] = 0.0
    moving = {}
    for joint, (name, channels) in enumerate(zip(tree.names, tree.channels, strict=True)):
        if joint and any(channel.startswith("t") for channel in channels):
            course = np.repeat(offsets[joint][None], len(table), axis=0)
            for channel, column in zip(channels, columns[joint], strict=True):
                if channel.startswith("t"):
                    course[:, "xyz".index(channel[1])] = table[:, column]
            if not np.allclose(course, offsets[joint], rtol=0, atol=1e-6 * max(np.abs(offsets).max(), 1e-300)):
                moving[name] = course
    offsets[0] = 0.0
    skeleton = Skeleton(
        tuple(tree.names), tuple(tree.parents), offsets, np.stack([np.eye(3)] * len(offsets)), tuple(dofs), position
    )
    angles = {}
    for name, channels, chosen in zip(tree.names, dofs, taken, strict=True):
        values = table[:, chosen]
        angular = [channel.startswith("r") for channel in channels]
        values[:, angular] = np.deg2rad(values[:, angular])
        angles[name] = values
    return Motion(skeleton, angles, rate, moving)
