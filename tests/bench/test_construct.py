"""What only a task and a constructor can tell is one error with file, line and key, and nothing is trained."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.errors import ConfigError
from geoequiv.session import Session

COUNTED = """
from pathlib import Path

from my_models import Shift


class Counted(Shift):
    def __init__(self, scale: float = 1.0):
        super().__init__(scale)
        with open("count.txt", "a") as file:
            file.write("x")
        if scale > 5:
            raise ValueError("scale is too large for me")
"""


@pytest.fixture
def refused(suite_file, data_dir):
    def complaint(entries):
        session = Session(data_dir=data_dir, console=Console(file=io.StringIO(), width=200))
        with pytest.raises(ConfigError) as caught:
            run_suite(read_suite(suite_file(entries)), Path("out"), session=session)
        assert not list(Path("out").glob("*/*"))
        return str(caught.value).splitlines()

    return complaint


@pytest.mark.parametrize(
    ("symmetry", "key", "message"),
    [
        ("{remul: {group: SO(2)}}", "remul.group", "SO(2) cannot act on the data of nbody/charged: Field"),
        (
            "{augmentation: {group: SO(2)}}",
            "augmentation.group",
            "SO(2) cannot act on the data of nbody/charged: Field",
        ),
        ("{group_averaging: {group: SO(3)}}", "group_averaging", "SO(3)"),
        ("{frame_averaging: {group: SO(3), frame: sorting}}", "frame_averaging", "S(n); got SO(3)"),
        ("{remul: {group: O, sampling: small-angle}}", "remul", "connected"),
        ("{latent_equivariance: {group: SO(3), layer: nothing}}", "latent_equivariance", "Unknown layer 'nothing'"),
    ],
)
def test_a_constructor_that_refuses_is_an_error_at_its_entry(refused, symmetry, key, message):
    [line] = refused(f"- {{model: egnn}}\n- {{model: gnn, symmetry: {symmetry}}}")
    assert f"suite.yaml, line 7, key 'entries[1].symmetry.{key}': " in line
    assert message in line


def test_a_group_to_measure_with(refused):
    [line] = refused("- {model: egnn, evaluate: {group: SO(2)}}")
    assert "line 6, key 'entries[0].evaluate.group': " in line


def test_each_is_constructed_once_whatever_the_seeds(refused):
    Path("counted.py").write_text(COUNTED)
    lines = refused("- {model: {name: 'counted:Counted', scale: [1, 2, 9]}, seeds: [0, 1, 2, 3, 4, 5, 6, 7]}")
    assert len(lines) == 1
    assert "key 'entries[0].model': scale is too large for me" in lines[0]
    assert len(Path("count.txt").read_text()) == 3


def test_barriers_of_a_group_of_the_wrong_dimension_are_an_error_before_training(tmp_path, data_dir, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "name: x\ntask: {name: nbody/charged, train: 4, val: 2, test: 2}\nalign: {group: SO(2)}\n"
    Path("suite.yaml").write_text(text + "entries: [{model: gnn}]\n")
    session = Session(data_dir=data_dir, console=Console(file=io.StringIO(), width=200))
    with pytest.raises(ConfigError, match=r"suite.yaml, line 3, key 'align.group': SO\(2\) cannot act on the data"):
        run_suite(read_suite("suite.yaml"), Path("out"), session=session)
    assert not list(Path("out").glob("*/*"))
