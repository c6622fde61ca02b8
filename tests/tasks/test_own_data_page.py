"""The page on a user's own data: its suite runs on files as it describes them, and its task trains."""

import io
import re
from pathlib import Path

import numpy as np
from rich.console import Console

import geoequiv
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.session import Session

PAGE = (Path(geoequiv.__file__).parents[1] / "docs" / "how-to" / "your-own-data.md").read_text()


def finished(path, folder):
    console = Console(file=io.StringIO(), width=200)
    result = run_suite(read_suite(path, limit=6), folder / "out", session=Session(console=console))
    assert result.complete, console.file.getvalue()
    return [outcome.record for _, outcome in result.outcomes]


def test_the_suite_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    np.savez(
        "my_molecules.npz", pos=rng.normal(size=(1000, 5, 3)), z=np.array([6, 1, 8, 1, 1]),
        energy=rng.normal(size=1000), forces=rng.normal(size=(1000, 5, 3)),
    )  # fmt: skip
    text = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
    text = text.replace("epochs: 100", "epochs: 1, equivariance_items: 0").replace("width: 32", "width: 4, depth: 1")
    text = text.replace("model: egnn", "model: {name: egnn, width: 4, depth: 1}")
    Path("mine.yaml").write_text(text + "evaluate: {num_items: 2, num_samples: 2, repeats: 1}\n")
    records = finished("mine.yaml", tmp_path)
    assert len(records) == 6
    assert {record.metric.unit for record in records} == {"kcal/mol"}
    assert all("/800-100-100/mae/limit6" in record.protocol for record in records)


def test_the_task_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    Path("springs_of_a_page.py").write_text(code)
    Path("mine.yaml").write_text(
        "name: mine\ntask: {name: 'springs_of_a_page:springs', items: 20}\n"
        "train: {epochs: 1, equivariance_items: 0}\nevaluate: {num_items: 2, num_samples: 2, repeats: 1}\n"
        "entries: [{model: {name: egnn, width: 4, depth: 1}}]\n"
    )
    (record,) = finished("mine.yaml", tmp_path)
    assert record.protocol == "springs/20/mse/limit6"
