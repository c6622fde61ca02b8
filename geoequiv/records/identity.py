"""The identity of a run: what decides its weights. What is measured afterwards is no part of it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: Training settings that cannot change a result, and so are no part of a run's identity.
IMMATERIAL = ("checkpoint_seconds", "log_every", "devices")
#: Settings that former versions had beside `train`, and only where they were not the default: ids have them there.
BESIDE_TRAIN = {"precision": "32", "compile": False}
#: Parts of a configuration that say what is measured on the trained model.
MEASURED_AFTERWARDS = ("evaluate", "align", "measure")


def identity(config: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of the SHA-256 of task, model, symmetry, training and seed.

    >>> config = {"task": {"name": "t"}, "train": {"epochs": 2, "log_every": 1}, "evaluate": {"repeats": 1}, "seed": 0}
    >>> identity(config) == identity(config | {"evaluate": {"repeats": 5}})
    True

    Args:
        config: the resolved configuration of a run, every default filled in.
    """
    return _digest({key: value for key, value in config.items() if key not in MEASURED_AFTERWARDS})


def former_identity(config: Mapping[str, Any]) -> str:
    """The identity by the formula of schema 1, which `evaluate` was a part of."""
    return _digest({key: value for key, value in config.items() if key not in ("align", "measure")})


def canonical(config: Mapping[str, Any]) -> str:
    """A configuration as canonical JSON: sorted keys, no spaces."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)


def present_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of a run with its precision and compilation among the settings of its training.

    >>> present_settings({"train": {"epochs": 2}, "precision": "bf16-mixed"})
    {'train': {'epochs': 2, 'precision': 'bf16-mixed'}}
    """
    if not config.keys() & BESIDE_TRAIN.keys():
        return dict(config)
    found = {key: value for key, value in config.items() if key not in BESIDE_TRAIN}
    beside = {key: config[key] for key in BESIDE_TRAIN if key in config}
    return {**found, "train": {**(config.get("train") or {}), **beside}}


def present_options(symmetry: Mapping[str, Any]) -> dict[str, Any]:
    """A method's options under their present names: what was degenerate: enlarge, the default, is null or orbit."""
    found = {**symmetry, "degenerate": None} if symmetry.get("degenerate") in ("enlarge", "orbit") else dict(symmetry)
    frame = found.get("frame")
    if isinstance(frame, Mapping) and frame.get("degenerate") == "enlarge":
        found["frame"] = {**frame, "degenerate": "orbit"}
    return found


def _former_options(symmetry: Mapping[str, Any]) -> dict[str, Any]:
    """A method's options under the names of schema 1, under which runs have their ids."""
    found = present_options(symmetry)
    frame = found.get("frame")
    if isinstance(frame, Mapping) and frame.get("degenerate") == "orbit":
        found["frame"] = {**frame, "degenerate": "enlarge"}
    return {**found, "degenerate": "enlarge"} if found.get("degenerate", "") is None else found


def _digest(config: Mapping[str, Any]) -> str:
    symmetry = config.get("symmetry")
    if isinstance(symmetry, Mapping):
        config = {**config, "symmetry": _former_options(symmetry)}
    train = config.get("train")
    if isinstance(train, Mapping):
        beside = {key: train[key] for key, usual in BESIDE_TRAIN.items() if train.get(key, usual) != usual}
        kept = {key: value for key, value in train.items() if key not in (*IMMATERIAL, *BESIDE_TRAIN)}
        config = {**config, "train": kept, **beside}
    return hashlib.sha256(canonical(config).encode()).hexdigest()[:12]
