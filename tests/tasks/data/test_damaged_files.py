"""Readers on damaged files, seeded: each is read or refused with a DataError; no traceback, no hang, no NaN."""

import random

import numpy as np
import pytest

from geoequiv.errors import DataError
from geoequiv.tasks.data.asf_amc import read_amc, read_asf
from geoequiv.tasks.data.bvh import read_bvh
from geoequiv.tasks.data.rmd17_files import read_index
from geoequiv.tasks.data.skeleton import forward_kinematics
from geoequiv.tasks.data.sources import read
from geoequiv.tasks.data.trajectory import read_trajectory

from .test_asf_amc import AMC, ASF
from .test_bvh import BVH

XYZ = """2
Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy=-1 pbc="T T F"
C 0 0 0 1 0 0
8 1 0 0 -1 0 0
"""
WORDS = [
    "",
    "-1",
    "nan",
    "inf",
    "1e400",
    "9" * 30,
    "9" * 5000,
    "²",
    "{",
    "}",
    "#",
    '"',
    "=",
    ":",
    "\x00",
    "é",
    "0 0 0",
    "true",
]
ROUNDS = 80


def damaged(text, rng):
    """A text with one to three words, lines or characters replaced, dropped, doubled or swapped."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.choice(["word", "line", "character", "cut", "double"])
        if kind == "word":
            words = text.split(" ")
            words[rng.randrange(len(words))] = rng.choice(WORDS)
            text = " ".join(words)
        elif kind in ("line", "double"):
            lines = text.split("\n")
            place = rng.randrange(len(lines))
            lines[place : place + 1] = [] if kind == "line" else [lines[place]] * 2
            text = "\n".join(lines)
        elif kind == "character" and text:
            place = rng.randrange(len(text))
            text = text[:place] + chr(rng.randrange(1, 0x2FF)) + text[place + 1 :]
        elif kind == "cut":
            text = text[: rng.randrange(len(text) + 1)]
    return text


def is_refused(reader, path):
    """Whether a file is refused with an error that names it; anything else that is raised is a failure."""
    try:
        reader(path)
    except DataError as error:
        message = str(error)
    else:
        return False
    assert f"{path.stem}." in message
    return True


def bvh(path):
    return read_bvh(path).positions()


def amc(path):
    skeleton = read_asf(path.with_suffix(".asf"))
    return forward_kinematics(skeleton, read_amc(path, skeleton))


def asf(path):
    return forward_kinematics(read_asf(path), {})


def xyz(path):
    pytest.importorskip("ase")
    source = read(path)
    return [source.get(name)[0] for name in source.names if name in ("pos", "energy", "forces", "cell")]


def csv(path):
    return read_index(path, 100)


@pytest.mark.parametrize(
    ("name", "text", "reader"),
    [
        ("a.bvh", BVH, bvh),
        ("a.amc", AMC, amc),
        ("a.asf", ASF, asf),
        ("a.extxyz", XYZ * 3, xyz),
        ("a.csv", "1\n2\n3\n4.0\n", csv),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers near the largest
def test_damaged_text_is_read_or_refused(tmp_path, name, text, reader):
    rng = random.Random(name)
    refused = 0
    for _ in range(ROUNDS):
        (tmp_path / "a.asf").write_text(ASF, encoding="utf-8")
        (tmp_path / name).write_bytes(damaged(text, rng).encode("utf-8", "surrogatepass"))
        refused += is_refused(reader, tmp_path / name)
    assert 0.3 * ROUNDS < refused < ROUNDS


def test_damaged_archives_are_read_or_refused(tmp_path):
    """Single bytes of an .npz: a trajectory and a user's arrays."""
    frames = np.random.default_rng(0).normal(size=(4, 3, 3))
    np.savez(tmp_path / "whole.npz", R=frames, z=np.array([1, 6, 8]), E=np.arange(4.0), F=frames)
    content = (tmp_path / "whole.npz").read_bytes()
    rng = random.Random(0)
    refused = 0
    for _ in range(ROUNDS):
        broken = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        (tmp_path / "a.npz").write_bytes(broken[: rng.choice([len(broken), rng.randrange(len(broken))])])
        for reader in (read_trajectory, read):
            refused += is_refused(reader, tmp_path / "a.npz")
    assert refused > ROUNDS
