"""Completion in the shell: what argcomplete answers for a line, in a process of its own, without torch."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
from geoequiv.cli import main
leave = os._exit
def without_torch(status):
    leave(99 if {"torch", "numpy"} & set(sys.modules) else status)
os._exit = without_torch
main([])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    for name in ("mine.yaml", "configs/other.yml", "configs/notes.txt", ".hidden.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)


def answers(line: str) -> list[str]:
    """What the shell is offered for a line."""
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": "answers",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    done = subprocess.run([sys.executable, "-c", PROGRAM], env={**os.environ, **asked}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "torch or numpy was imported"
    with open("answers") as file:
        return [each.strip() for each in file.read().split("\n")]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("geoequiv ch", ["check"]),
        ("geoequiv list me", ["methods", "measurements"]),
        ("geoequiv list models eg", ["egnn"]),
        ("geoequiv list methods frame", ["frame_averaging"]),
        ("geoequiv list frames p", ["pca"]),
        ("geoequiv list tasks md17/", ["md17/dynamics", "md17/forces"]),
        ("geoequiv check segn", ["segnn"]),
        ("geoequiv check egnn --dev", ["--device"]),
        ("geoequiv check egnn --dtype float6", ["float64"]),
        ("geoequiv run m", ["mine.yaml"]),
        ("geoequiv run ", ["configs/", "mine.yaml"]),
        ("geoequiv run configs/", ["configs/other.yml"]),
        ("geoequiv run mine.yaml --res", ["--resume"]),
        ("geoequiv run mine.yaml train.ep", ["train.epochs="]),
        ("geoequiv run mine.yaml train.optimizer=", ["train.optimizer=adam", "train.optimizer=adamw"]),
        ("geoequiv data make nbody/ch", ["nbody/charged"]),
        ("geoequiv data make nbody/charged va", ["variant=", "val="]),
        ("geoequiv data make md17/dynamics normalise=", ["normalise=true", "normalise=false"]),
        ("geoequiv data make md17/forces forces=g", ["forces=gradient"]),
        ("geoequiv data make no_such_task tr", []),
    ],
)
def test_a_line_is_completed(line, offered):
    found = answers(line)
    assert set(offered) <= set(found), found
    assert all(each.startswith(line.rsplit(" ", 1)[1]) or not each or each.startswith("-") for each in found)
    assert not {".hidden.yaml", "configs/notes.txt"} & set(found)


def test_groups_are_completed():
    assert any("SO(3)" in each.replace("\\", "") for each in answers("geoequiv check egnn --group SO"))
