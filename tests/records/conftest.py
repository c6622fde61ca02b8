"""Records of a made-up run."""

import pytest

from geoequiv.records import Record


def made(seed=0, value=0.5, **changes):
    content = {
        "schema": 2,
        "run_id": f"{seed:012x}",
        "suite": "made-up",
        "status": "finished",
        "task": "nbody/charged",
        "protocol": "nbody/charged/made-up",
        "model": "gnn",
        "method": {"name": "none", "family": "none", "label": "none"},
        "seed": seed,
        "config": {"task": {"name": "nbody/charged"}, "model": {"name": "gnn"}, "symmetry": {"name": "none"},
                   "train": {"lr": 1e-3, "log_every": 1}, "evaluate": {"repeats": 1}, "seed": seed},
        "metric": {"name": "mse", "unit": "", "better": "lower"},
        "numbers": {"metric": {"value": value, "n": 3}, "relative": {"value": 0.1, "se": 0.01}},
        "settings": {"evaluate": {"repeats": 1}},
        "environment": {"torch": "2", "cpu": "made"},
    }  # fmt: skip
    return Record.model_validate(content | changes)


@pytest.fixture
def record():
    """Makes a record: of a seed, with a value of the metric and other changes."""
    return made


@pytest.fixture
def write():
    """Writes records as run directories and returns the results folder."""

    def written(folder, records):
        for each in records:
            directory = folder / each.run_id
            directory.mkdir(parents=True)
            (directory / "record.json").write_text(each.text(indent=1), encoding="utf-8")
        return folder

    return written
