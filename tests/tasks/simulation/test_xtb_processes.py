"""Molecules side by side: processes that end with the one that began them, and go on after a kill."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geoequiv.tasks.data.trajectory import read_trajectory
from geoequiv.tasks.simulation import xtb_simulation
from geoequiv.tasks.simulation.xtb_simulation import Plan, simulate, surrogate_path

GEOEQUIV = [sys.executable, str(Path(__file__).with_name("small_chunks.py"))]


def test_molecules_side_by_side_survive_a_kill(tmp_path, monkeypatch):
    """`--jobs 2`, killed with -9 in the middle: its processes end with it, and the same command goes on."""
    pytest.importorskip("tblite")
    molecules = ("ethanol", "malonaldehyde")
    command = [
        *GEOEQUIV, "data", "make", "md17-xtb", "--molecule", *molecules, "--jobs", "2", "--frames", "220",
        "--equilibration", "0", "--nve", "10", "--data-dir", str(tmp_path),
    ]  # fmt: skip
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 300
        while not list(tmp_path.glob("md17-xtb/*.parts/steps_00000000.npz")) and time.monotonic() < deadline:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert not list(tmp_path.glob("md17-xtb/*.npz"))
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    assert all(f"md17_xtb_{molecule}.npz" in done.stdout for molecule in molecules)
    assert done.stdout.count("thermostat 500 K") == 2
    assert "steps/s" in done.stderr
    for molecule in molecules:
        assert read_trajectory(surrogate_path(molecule, tmp_path)).positions.shape[0] == 220
    monkeypatch.setattr(xtb_simulation, "CHUNK", 50)
    simulate(Plan("ethanol", 220, equilibration=0, nve=10), tmp_path / "again")
    assert (
        surrogate_path("ethanol", tmp_path / "again").read_bytes() == surrogate_path("ethanol", tmp_path).read_bytes()
    )


def test_simulating_and_listing_do_without_torch():
    """Which takes a second to import, in every process."""
    script = (
        "import sys\nfrom geoequiv.tasks.simulation import xtb_processes, xtb_trajectory\nprint('torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True).strip() == "False"
