"""An array of jobs on a real SLURM does the runs of a suite, bit for bit as one process does."""

import subprocess

from geoequiv.cli import main


def test_an_array_of_twelve_runs(slurm, place):
    text = place.run("array", "--engine", "slurm", "--time", "10", "--runs-per-task", "6", "--wait")
    assert "Submitted 12 runs as job " in text
    assert ": 2 tasks, " in text
    assert "12 finished" not in text
    assert text.count("  finished in ") == 12
    assert place.job_output("array").count(" finished in ") == 12
    assert place.results("array") == place.results("whole")
    assert len(place.results("array")) == 12
    assert place.steps("array") == place.steps("whole")
    assert (place.folder / "array/leaderboard.md").exists()
    again = place.run("array", "--engine", "slurm", "--wait")
    assert "12 runs: 12 finished before" in again
    assert "Submitted" not in again


def test_what_slurm_refuses(slurm, place, capsys, monkeypatch):
    monkeypatch.chdir(place.folder)
    command = ["run", "suite.yaml", "--output", "refused", "--data-dir", str(place.data), "--engine", "slurm"]
    assert main([*command, "--partition", "nowhere"]) == 2
    assert "SLURM refuses the jobs" in capsys.readouterr().err
    found = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True)
    assert found.stdout == ""
