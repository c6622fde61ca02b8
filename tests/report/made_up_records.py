"""Made-up records for the tests of the report: realistic in form, measured by nobody."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROTOCOL = "nbody/charged/Δ1000/3000-2000-2000/mse"
# model, symmetry label, made-up MSE, relative error, parameters, train seconds, inference seconds
ENTRIES = [
    ("egnn", "built-in E(3)", 0.0073, 2.3e-7, 134_212, 710.0, 1.9e-5),
    ("radial_field", "built-in E(3)", 0.0112, 1.8e-7, 21_800, 240.0, 6.1e-6),
    ("linear", "built-in E(3)", 0.0822, 6.2e-8, 1, 4.1, 2.1e-7),
    ("gnn", "none", 0.0134, 0.081, 133_891, 350.0, 8.2e-6),
    ("gnn", "augmentation SO(3)", 0.0121, 0.034, 133_891, 365.0, 8.3e-6),
    ("gnn", "REMUL β=0.1 SO(3)", 0.0118, 0.029, 133_891, 640.0, 8.2e-6),
    ("gnn", "REMUL β=1 SO(3)", 0.0115, 0.0127, 133_891, 644.0, 8.2e-6),
    ("gnn", "REMUL β=10 SO(3)", 0.0119, 0.0058, 133_891, 639.0, 8.1e-6),
    ("gnn", "frame averaging SE(3) (pca)", 0.0069, 4.4e-7, 133_891, 1180.0, 3.4e-5),
    ("gnn", "group averaging O", 0.0098, 0.0213, 133_891, 5400.0, 2.1e-4),
    ("transformer", "none", 0.0205, 0.143, 203_459, 520.0, 1.3e-5),
    ("transformer", "augmentation SO(3)", 0.0164, 0.052, 203_459, 531.0, 1.3e-5),
    ("transformer", "REMUL β=0.1 SO(3)", 0.0168, 0.047, 203_459, 980.0, 1.3e-5),
    ("transformer", "REMUL β=1 SO(3)", 0.0158, 0.0195, 203_459, 985.0, 1.3e-5),
    ("transformer", "REMUL β=10 SO(3)", 0.0171, 0.0083, 203_459, 990.0, 1.3e-5),
    ("transformer", "frame averaging SE(3) (pca)", 0.0094, 5.1e-7, 203_459, 1900.0, 5.5e-5),
    ("transformer", "group averaging O", 0.0139, 0.0305, 203_459, 9800.0, 3.2e-4),
]
REFERENCES = [
    ("Linear", 0.0819, "Satorras et al. 2021", "P"),
    ("SE(3)-Transformer", 0.0244, "Fuchs et al. 2020, run by Satorras et al. 2021", "P"),
    ("GNN", 0.0107, "Satorras et al. 2021", "P"),
    ("EGNN", 0.0071, "Satorras et al. 2021", "P"),
    ("FA-GNN", 0.0057, "Puny et al. 2022", "P"),
    ("SEGNN", 0.0043, "Brandstetter et al. 2022", "P"),
    ("CEGNN", 0.0039, "Ruhe et al. 2023", "M"),
    ("EGNO", 0.0054, "EGNO", "M"),
]
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "geoequiv/training/fit.py", line 88, in fit\n'
    "    loss = objective(inputs, targets)\n"
    "geoequiv.errors.RunError: the loss is not finite at epoch 12 (nan)\n"
)
CARD: dict[str, Any] = {
    "description": "Five charged particles: predict positions 1000 integration steps ahead.",
    "signature": "pos: point, vel: vector, charge: scalar -> pos: point",
    "symmetry": "E(3)",
    "metric": {"name": "mse", "unit": "", "better": "lower"},
    "symmetry_error": {"mean": 3.7e-3, "median": 2e-29, "fraction_above_1e-4": 0.15, "items": 2000},
    "checksum": "sha256:3f9a1c77e0b24d5586aa",
    "citation": "Satorras, Hoogeboom & Welling, ICML 2021",
    "references": [
        {"model": m, "value": v, "source": s, "state": t, "symmetry": None, "note": ""} for m, v, s, t in REFERENCES
    ],
}
ENVIRONMENT = {
    "geoequiv": "0.1.0",
    "torch": "2.13.0",
    "torch_geometric": "2.7.0",
    "e3nn": "0.6.0",
    "numpy": "2.3.1",
    "python": "3.11.7",
    "platform": "Linux-6.1-x86_64",
    "cpu": "Imaginary CPU @ 2.00GHz",
    "cores": 2,
    "device": "cpu",
    "git_commit": "0647eec",
    "git_dirty": False,
}

#: symmetry label → the group that a row with it claims
OWN_GROUPS = {"built-in E(3)": "E(3)", "frame averaging SE(3)": "SE(3)", "group averaging O": "O"}


def _record(**changes: Any) -> dict[str, Any]:
    """A finished record; keys replace whole entries, `value`, `config` and `relative` their own part."""
    value, relative = changes.pop("value", 0.0071), changes.pop("relative", 2e-7)
    seed, model = changes.get("seed", 0), changes.get("model", "egnn")
    symmetry = changes.get("symmetry", "built-in E(3)")
    own = OWN_GROUPS.get(symmetry.split(" (")[0])
    settings = changes.pop("config", {"task": {"name": "nbody/charged", "train": 3000, "seed": 43}, "width": 64})
    equivariance = {
        "group": "E(3)",
        "E": relative * 0.11,
        "E_prime": relative * 0.34,
        "relative": relative,
        "worst": relative * 6.5,
        "num_items": 256,
        "num_samples": 16,
        "dtype": "float32",
    }
    record = {
        "schema": 1,
        "run_id": f"{model}-{_hash(model, symmetry, seed):08x}",
        "suite": "nbody_charged",
        "status": "finished",
        "error": None,
        "task": "nbody/charged",
        "protocol": PROTOCOL,
        "model": model,
        "symmetry": symmetry,
        "seed": seed,
        "config": {**settings, "model": model, "symmetry": symmetry, "seed": seed},
        "metric": {
            "name": "mse",
            "unit": "",
            "better": "lower",
            "value": value,
            "n": 2000,
            "marks": {
                "clamp_event": {
                    "with": {"value": value * 3.9, "n": 320},
                    "without": {"value": value * 0.45, "n": 1680},
                }
            },
            "splits": {},
        },
        "validation": {"best": value * 0.97, "best_epoch": 220, "epochs_run": 300},
        "equivariance": equivariance,
        "equivariance_own": {**equivariance, "group": own, "relative": 2e-7} if own else None,
        "equivariance_before": {**equivariance, "relative": min(relative * 3, 1.2)},
        "params": 134_212,
        "seconds": {"train": 700.0, "inference": 1.9e-5, "batch_size": 100, "threads": 1},
        "task_card": copy.deepcopy(CARD),
        "environment": dict(ENVIRONMENT),
        "started": "2025-01-01T00:00:00+00:00",
        "finished": f"2025-01-01T00:{seed:02d}:00+00:00",
    }
    if changes.get("status") == "failed":
        record |= {"error": TRACEBACK, "metric": None, "validation": None, "equivariance": None, "seconds": None}
    return record | changes


def _hash(*parts: Any) -> int:
    """A stable hash: Python's own differs between processes."""
    return random.Random(repr(parts)).getrandbits(32)


def _write(directory: Path, records: list[dict[str, Any]]) -> Path:
    for index, record in enumerate(records):
        folder = directory / f"{record['run_id']}-{index:03d}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    return directory


def _suite() -> list[dict[str, Any]]:
    records = []
    for model, symmetry, value, relative, params, train, inference in ENTRIES:
        for seed in range(3):
            noise = random.Random(repr((model, symmetry, seed))).uniform(-0.04, 0.04)
            seconds = {"train": train * (1 + noise), "inference": inference, "batch_size": 100, "threads": 1}
            record = _record(
                model=model, symmetry=symmetry, seed=seed, value=value * (1 + noise), relative=relative * (1 + noise)
            )
            records.append(record | {"params": params, "seconds": seconds})
    failed = [
        _record(model="gnn", symmetry="REMUL β=10 SO(3)", seed=3, status="failed"),
        _record(model="my.package:Net", symmetry="none", seed=0, status="failed"),
        _record(model="my.package:Net", symmetry="none", seed=1, status="failed"),
    ]
    return records + failed


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    """Makes one made-up record."""
    return _record


@pytest.fixture
def results(tmp_path: Path) -> Callable[..., Path]:
    """Writes records as a results folder (of this name) and returns it."""
    return lambda records, name="results": _write(tmp_path / name, records)


@pytest.fixture
def suite() -> list[dict[str, Any]]:
    """17 made-up rows of 3 seeds, and three failed runs."""
    return _suite()
