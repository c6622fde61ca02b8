"""docs/how-to/run-on-a-cluster.md, line by line as a new user would type it, on a real SLURM and a smaller suite."""

import os
import subprocess
import sys

import pytest

from ..code_blocks import ROOT, blocks_of
from .conftest import LONG, queue, until

PAGE = ROOT / "docs/how-to/run-on-a-cluster.md"
#: lines that install, ask for GPUs, or start the cluster, which runs already
LEFT_OUT = ("pip ", "--gpus", "start_slurm.sh")


@pytest.mark.skipif(LONG not in os.environ, reason=f"takes minutes: set {LONG}=1")
def test_the_page_line_by_line(slurm, place, tmp_path):
    (tmp_path / "configs").mkdir()
    suite = (place.folder / "suite.yaml").read_text().replace("name: tiny", "name: scale")
    (tmp_path / "configs/scale.yaml").write_text(suite)
    (tmp_path / "cluster_models.py").write_text((place.folder / "cluster_models.py").read_text())
    (tmp_path / "geoequiv").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m geoequiv "$@"\n')
    (tmp_path / "geoequiv").chmod(0o755)
    settings = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GEOEQUIV_DATA": str(place.data)}
    said = {}
    for block in blocks_of(PAGE.read_text()):
        for line in block.text.splitlines() if block.language == "console" else ():
            if not any(each in line for each in LEFT_OUT):
                if line.startswith("geoequiv leaderboard"):  # "at the end"
                    until(lambda: queue() == [], 300)
                done = subprocess.run(
                    ["bash", "-c", line], cwd=tmp_path, env={**os.environ, **settings}, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                said[line] = done.stdout
    texts = list(said.values())
    assert "SLURM: an array of 2 tasks of up to 8 runs" in texts[1]
    assert "Submitted 12 runs as job " in texts[2]
    assert "12 runs: " in texts[3]
    assert "12 finished before" in texts[-2]
    assert "cpu" in texts[-1]
    assert (tmp_path / "results/scale/leaderboard.html").exists()
