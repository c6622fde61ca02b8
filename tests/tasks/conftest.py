"""Small data sets, simulated once per session."""

import importlib.util
from pathlib import Path

import pytest

from geoequiv.tasks.nbody_charged import charged
from geoequiv.tasks.nbody_gravity import gravity


def beside(name):
    """A module that lies beside this file."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def loop():
    """The naive twin of the charged simulation."""
    return beside("charged_loop")


@pytest.fixture(scope="session")
def loops():
    """The naive twin of forward kinematics."""
    return beside("kinematics_loop").place_in_loop


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def component(data_dir):
    return charged(data_dir, train=4, val=3, test=120, dtype="float64")


@pytest.fixture(scope="session")
def isotropic(data_dir):
    return charged(data_dir, variant="isotropic", train=4, val=3, test=120, dtype="float64")


@pytest.fixture(scope="session")
def remul(data_dir):
    return gravity(data_dir, train=60, val=40, test=200, dtype="float64")


@pytest.fixture(scope="session")
def gatr(data_dir):
    return gravity(data_dir, protocol="gatr", train=300, val=40, test=50, dtype="float64")
