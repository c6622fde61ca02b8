"""The identity of a run: what decides its weights. What is measured afterwards is no part of it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

#: Training settings that cannot change a result, and so are no part of a run's identity.
IMMATERIAL = ("checkpoint_seconds", "log_every")
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


def _digest(config: Mapping[str, Any]) -> str:
    train = config.get("train")
    if isinstance(train, Mapping):
        config = {**config, "train": {key: value for key, value in train.items() if key not in IMMATERIAL}}
    return hashlib.sha256(canonical(config).encode()).hexdigest()[:12]
