"""One run, as a frozen value: its resolved configuration, and the id that follows from it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from geoequiv.config import Section

#: Parameters of a model or symmetry that the bench fills in; a suite cannot set them.
RESERVED = frozenset({"self", "signature", "model", "loss", "generator", "data_dir", "chunk"})
#: The same of a task, which may ask for a signature.
RESERVED_OF_TASKS = frozenset({"self", "data_dir"})
#: Training settings that cannot change a result, and so are no part of a run's id.
IMMATERIAL = ("checkpoint_seconds", "log_every")


class EvaluateConfig(Section):
    """How a trained model is measured.

    Attributes:
        group: group of the symmetry error; None means the task's own.
        num_samples: group elements drawn per item.
        num_items: test items of the symmetry error (the metric always uses all of them).
        batch_size: items per forward pass, also when inference is timed.
        repeats: timed forward passes, of which the median counts.
    """

    group: str | None = None
    num_samples: int = Field(16, ge=1)
    num_items: int = Field(256, ge=1)
    batch_size: int = Field(100, ge=1)
    repeats: int = Field(10, ge=1)


@dataclass(frozen=True)
class RunSpec:
    """One run.

    Attributes:
        suite: name of the suite (no part of the id: two suites share the runs they have in common).
        canonical: the resolved configuration as canonical JSON (sorted keys, no spaces).
    """

    suite: str
    canonical: str

    @classmethod
    def of(cls, suite: str, config: Mapping[str, Any]) -> "RunSpec":
        """Make a spec from a configuration {task, model, symmetry, train, evaluate, seed}, every default filled in."""
        return cls(suite, _canonical(config))

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration: task, model and symmetry as {"name": …, options}, train, evaluate, seed."""
        loaded: dict[str, Any] = json.loads(self.canonical)
        return loaded

    @property
    def run_id(self) -> str:
        """Twelve hexadecimal digits of the SHA-256 of the configuration, less what cannot change a result."""
        config = self.config
        config["train"] = {key: value for key, value in config["train"].items() if key not in IMMATERIAL}
        return hashlib.sha256(_canonical(config).encode()).hexdigest()[:12]

    def part(self, kind: str) -> tuple[str, dict[str, Any]]:
        """Name and options of the "task", the "model" or the "symmetry"."""
        options = self.config[kind]
        return options.pop("name"), options

    @property
    def title(self) -> str:
        """One line for people: model, symmetry, seed."""
        return f"{self.part('model')[0]} · {symmetry_label(*self.part('symmetry'))} · seed {self.config['seed']}"


def _canonical(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)


def symmetry_label(name: str, options: Mapping[str, Any], claims: str | None = None) -> str:
    """How the leaderboard names a way of getting symmetry.

    >>> symmetry_label("remul", {"group": "SO(3)", "alpha": 1.0, "beta": 0.1, "weighting": "constant"})
    'REMUL β=0.1 SO(3)'
    >>> symmetry_label("none", {}, claims="E(3)")
    'built-in E(3)'
    >>> symmetry_label("remul", {"group": "SO(3)", "weighting": "constrained", "epsilon": 0.01, "beta": 1.0})
    'REMUL relative≤0.01 SO(3)'
    >>> symmetry_label("group_averaging", {"group": "SO(3)", "num_samples": 4, "subgroup": "O"})
    'group averaging SO(3) (4 samples × O)'

    Args:
        name: the symmetry's name in the catalog.
        options: its resolved options.
        claims: the group that the model claims to be equivariant to by construction.
    """
    options = {**options, "group": short_group(options.get("group", ""))}
    group = options["group"]
    if name == "none":
        return f"built-in {claims}" if claims else "none"
    if name == "remul":
        return remul_label(options)
    if name == "frame_averaging":
        frame = options.get("frame", "pca")
        if isinstance(frame, Mapping):
            frame = ", ".join(str(value) if key == "name" else f"{key} {value}" for key, value in frame.items())
        return f"frame averaging {group} ({frame})"
    if name == "group_averaging":
        samples, subgroup, degree = (options.get(name) for name in ("num_samples", "subgroup", "quadrature"))
        how = f" ({samples} samples{f' × {subgroup}' if subgroup else ''})" if samples else ""
        return f"group averaging {group}" + (f" (quadrature {degree})" if degree is not None else how)
    if name == "test_time_averaging":
        samples = f"{options['num_samples']} samples" if options.get("num_samples") else ""
        trained = options.get("training", "none")
        notes = ", ".join(each for each in (samples, "" if trained == "none" else f"trained with {trained}") if each)
        return f"test-time averaging {group}" + (f" ({notes})" if notes else "")
    if name == "invariance_loss":
        late = f"late ({options['start']:.0%}) " if options.get("start") else ""
        note = " (augmented)" if options.get("augment") else ""
        return f"{late}invariance loss β={options.get('weight', 1):g} {group}{note}"
    if name == "latent_equivariance":
        where = ", ".join(options[key] for key in ("layer", "type") if options.get(key))
        return f"latent equivariance β={options.get('weight', 1):g} {group}" + (f" ({where})" if where else "")
    if name == "augmentation" and options.get("num_samples", 1) != 1:
        return f"augmentation {group} ({options['num_samples']} samples)"
    return f"{name} {group}".strip()


def short_group(name: str) -> str:
    """A group's name with its exchanges counted instead of listed.

    >>> short_group("SO(2)@y*Cs@x&(0 1)(2 3)/5")
    'SO(2)@y*Cs@x&(2 pairs)/5'
    """
    return re.sub(r"(\(\d+ \d+\))+/", lambda found: f"({found[0].count('(')} pairs)/", name or "")


def remul_label(options: Mapping[str, Any]) -> str:
    """How the leaderboard names a run with REMUL: how its terms are weighed, the group, and what is not the default."""
    weighting = options.get("weighting", "constant")
    beta = options.get("beta", 1)
    if weighting == "constrained":
        how = f"{'E′' if options.get('bound') == 'E_prime' else 'relative'}≤{options['epsilon']:g}"
    elif weighting in ("linear", "cosine"):
        how = f"β={options.get('beta_start') or 0:g}→{beta:g} {weighting}"
    elif weighting == "constant":
        how = f"β={beta:g}"
    else:
        how = weighting if beta == 1 else f"β={beta:g} {weighting}"
    draws, sampling = options.get("num_samples", 1), options.get("sampling", "haar")
    notes = [
        *(["prediction"] if options.get("anchor") == "prediction" and weighting != "constrained" else []),
        *([sampling if sampling == "small-angle" else f"{sampling} of {draws}"] if sampling != "haar" else []),
        *([f"{draws} samples"] if draws != 1 and sampling != "adversarial" else []),
    ]
    alpha = f"α={options['alpha']:g} " if options.get("alpha", 1) != 1 else ""
    return f"REMUL {alpha}{how} {options.get('group', '')}".strip() + (f" ({', '.join(notes)})" if notes else "")
