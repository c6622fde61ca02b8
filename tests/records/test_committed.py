"""Committed results are packed, and the suites find their runs in them finished."""

import collections
from pathlib import Path

import pytest

from geoequiv.bench.suite import read_suite
from geoequiv.records import read
from geoequiv.records.store import Store

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
#: suite, what is overridden in it, its results → how many of its runs are finished there
SUITES = [
    ("align_images", (), "align_images", 24),
    ("align_mocap", (), "align_nbody/running", 24),
    ("align_nbody", (), "align_nbody/charged", 36),
    ("md17_forces", (), "md17_forces_ethanol", 18),
    ("md17_forces", ("task.molecule=benzene",), "md17_forces_benzene", 18),
    ("md17_xtb_dynamics", (), "md17_xtb_ethanol", 38),
    ("md17_xtb_dynamics", ("task.molecule=aspirin",), "md17_xtb_aspirin", 38),
    ("mocap", (), "mocap_run", 57),
    ("mocap", ("task.name=mocap/walk",), "mocap_walk", 28),
    ("mocap_gait", (), "mocap_gait", 19),
    ("nbody_charged", (), "nbody_charged", 24),
    ("nbody_equivariant", (), "nbody_equivariant", 22),
    ("nbody_record", (), "nbody_record", 5),
    ("nbody_mechanics", (), "nbody_mechanics", 1),
    ("nbody_gravity", (), "nbody_gravity", 8),
    ("normals", (), "normals/plain", 21),
    ("normals", ("task.regime=SO(3)/SO(3)",), "normals/rotated", 21),
    ("normals", ("task.select=test",), "normals/best", 6),
    ("quickstart", (), "quickstart", 15),
    ("remul_mocap", (), "remul_mocap", 9),
    ("remul_nbody", (), "remul_nbody", 30),
]


@pytest.mark.parametrize(("suite", "overrides", "folder", "finished"), SUITES)
def test_a_suite_finds_its_committed_runs_finished(suite, overrides, folder, finished):
    runs = read_suite(ROOT / "configs" / f"{suite}.yaml", overrides=overrides).runs
    store = Store(RESULTS / folder)
    states = collections.Counter(store.state(run) for run in runs)
    # an option was added, or renamed? Its value that changes nothing belongs into records/former_options.py
    assert states["finished"] == finished
    assert set(states) <= {"finished", "new"}
    found = {store.record(run).run_id for run in runs if store.state(run) == "finished"}
    assert len(found) == finished, "each run has a record of its own"


def test_committed_results_are_packed_and_whole():
    packed = sorted(RESULTS.rglob("records.jsonl"))
    assert len(packed) == 25
    assert sum(len(read(path).records) for path in packed) == 500
    assert not any(read(path).left_out for path in packed)
    assert not list(RESULTS.rglob("record.json"))
    assert len([path for path in RESULTS.rglob("*") if path.is_file()]) < 130
