"""Small data sets, simulated once per session."""

import pytest

from geoequiv.tasks.nbody_charged import charged
from geoequiv.tasks.nbody_gravity import gravity
from geoequiv.tasks.simulation import xtb_simulation
from geoequiv.tasks.simulation.xtb_simulation import Plan, simulate, surrogate_path

from .data.kinematics_loop import place_in_loop
from .simulation import charged_loop


@pytest.fixture(scope="session")
def loop():
    """The naive twin of the charged simulation."""
    return charged_loop


@pytest.fixture(scope="session")
def loops():
    """The naive twin of forward kinematics."""
    return place_in_loop


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


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A folder with a simulated ethanol of 50 frames and its report, made in parts of 20 steps without a stop."""
    pytest.importorskip("tblite")
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xtb_simulation, "CHUNK", 20)
        simulate(Plan("ethanol", 50, seed=3, equilibration=15, nve=20), folder)
    return folder


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of its files to break."""
    (tmp_path / "md17-xtb").mkdir()
    for ending in (".npz", ".json"):
        path = surrogate_path("ethanol", whole).with_suffix(ending)
        (tmp_path / "md17-xtb" / path.name).write_bytes(path.read_bytes())
    return tmp_path
