"""A suite runs on its fallback task where its files cannot be had, says so, and never where they are damaged."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from geoequiv import report
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.errors import ConfigError, DataError, NoFilesError
from geoequiv.session import Session

SUITE = """\
name: small
task: {{name: md17/dynamics, molecule: uracil, horizon: 3, margin: 0, train: 8, val: 4, test: 4}}
{fallback}
train: {{epochs: 1, batch_size: 8, equivariance_items: 0}}
evaluate: {{num_items: 2, num_samples: 2, batch_size: 4, repeats: 1}}
entries: [{{model: {{name: gnn, width: 4, depth: 1}}}}]
"""
WALKERS = "fallback: {name: mocap-gait/walk, train: 8, val: 4, test: 4}"


@pytest.fixture
def go(tmp_path, monkeypatch):
    monkeypatch.setattr("geoequiv.tasks.md17_dynamics.SOURCE", "http://127.0.0.1:9/")

    def run(fallback=WALKERS):
        path = tmp_path / "suite.yaml"
        path.write_text(SUITE.format(fallback=fallback), encoding="utf-8")
        console = Console(file=io.StringIO(), width=200)
        result = run_suite(
            read_suite(path), tmp_path / "out", session=Session(data_dir=tmp_path / "data", console=console)
        )
        return result, console.file.getvalue()

    return run


def put_file(folder, name="md17_uracil.npz"):
    (folder / "data" / "md17").mkdir(parents=True, exist_ok=True)
    path = folder / "data" / "md17" / name
    np.savez(path, R=np.random.default_rng(0).normal(size=(40, 5, 3)), z=np.array([6, 6, 8, 7, 1]))
    return path


def test_it_uses_the_fallback_and_says_so(go, tmp_path):
    result, text = go()
    assert result.complete
    assert "put the file 'md17_uracil.npz' into" in text
    assert "Using the fallback task mocap-gait/walk, under protocol ids of its own." in text
    (board,) = report.leaderboard(tmp_path / "out")
    assert board.protocol == "mocap-gait/walk/Δ30/8-4-4/mse"
    assert {row.model for row in board.rows} == {"gnn"}
    assert [outcome.status for _, outcome in go()[0].outcomes] == ["skipped"]  # nothing is done twice


def test_where_the_files_are_they_are_used_and_nothing_is_mixed(go, tmp_path):
    go()
    put_file(tmp_path)
    result, text = go()
    assert result.complete
    assert "fallback" not in text
    assert {board.task for board in report.leaderboard(tmp_path / "out")} == {"md17/dynamics", "mocap-gait/walk"}
    (tmp_path / "data" / "md17" / "md17_uracil.npz").unlink()
    assert "fallback" not in go()[1]  # all runs of its own task have finished


def test_a_damaged_file_is_an_error(go, tmp_path):
    path = put_file(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        go()


def test_without_a_fallback_missing_files_are_an_error(go):
    with pytest.raises(NoFilesError, match="put the file 'md17_uracil"):
        go(fallback="")


def test_a_mistake_in_it_is_named_with_its_line(go):
    with pytest.raises(ConfigError, match=r"suite\.yaml, line 3, key 'fallback': .*Did you mean 'mocap-gait/walk'"):
        go(fallback="fallback: mocap-gait/wlak")


@pytest.mark.parametrize(
    ("config", "other"),
    [("mocap", "mocap-gait/walk"), ("md17_dynamics", "md17-xtb/dynamics"), ("md17_forces", "md17-xtb/forces")],
)
def test_suites_of_real_files_name_surrogates(config, other):
    suite = read_suite(Path(__file__).parents[2] / "configs" / f"{config}.yaml")
    assert {spec.part("task")[0] for spec in suite.fallback} == {other}
    assert len(suite.fallback) == len(suite.runs)
    same = [{key: part for key, part in spec.config.items() if key != "task"} for spec in suite.runs]
    assert [{key: part for key, part in spec.config.items() if key != "task"} for spec in suite.fallback] == same
