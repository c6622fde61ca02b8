"""One run, as a frozen value: its resolved configuration, and the id that follows from it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from geoequiv.methods import run_of_method
from geoequiv.precision import arithmetic
from geoequiv.records.identity import canonical, former_identity, identity, present_settings
from geoequiv.records.index import key

if TYPE_CHECKING:
    import torch

#: Parameters of a model or method that the bench fills in; a suite cannot set them.
RESERVED = frozenset({"self", "signature", "model", "loss", "generator", "data_dir", "chunk", "names"})
#: The same of a task, which may ask for a signature.
RESERVED_OF_TASKS = frozenset({"self", "data_dir"})


@dataclass(frozen=True)
class RunSpec:
    """One run.

    Attributes:
        suite: name of the suite (no part of the id: two suites share the runs they have in common).
        canonical: the resolved configuration as canonical JSON (sorted keys, no spaces).
        variant: the settings that tell it from other runs of its suite with the same model and method.
    """

    suite: str
    canonical: str
    variant: str = field(default="", compare=False)

    @classmethod
    def of(cls, suite: str, config: Mapping[str, Any]) -> "RunSpec":
        """Make a spec from a configuration {task, model, symmetry, train, evaluate, seed}, every default filled in."""
        return cls(suite, canonical(present_settings(config)))

    @property
    def config(self) -> dict[str, Any]:
        """The resolved configuration: task, model and symmetry as {"name": …, options}, train, evaluate, seed."""
        loaded: dict[str, Any] = json.loads(self.canonical)
        return loaded

    @property
    def precision(self) -> str:
        """Of its training, one of `PRECISIONS`."""
        precision: str = self.config.get("train", {}).get("precision", "32")
        return precision

    @contextmanager
    def arithmetic(self, device: "torch.device") -> Iterator[None]:
        """Set torch as the run computes; its model is built in this context, too (see `precision.arithmetic`)."""
        with arithmetic(self.precision, device, self.config.get("train", {}).get("deterministic", True)):
            yield

    @cached_property
    def run_id(self) -> str:
        """Twelve hexadecimal digits that follow from what decides the weights: see `records.identity`."""
        return identity(self.config)

    @cached_property
    def former_id(self) -> str:
        """The run id by the formula of schema 1, which `evaluate` was a part of."""
        return former_identity(self.config)

    @cached_property
    def key(self) -> str:
        """What the configurations of this run have in common, whichever version wrote them."""
        return key(self.config)

    def part(self, kind: str) -> tuple[str, dict[str, Any]]:
        """Name and options of the "task", the "model" or the "symmetry"."""
        options = self.config[kind]
        return options.pop("name"), options

    @property
    def title(self) -> str:
        """One line for people: model, method, what tells it from its like, seed."""
        config, (model, label) = self.config, self.labels
        return f"{model}{f' ({self.variant})' if self.variant else ''} · {label} · seed {config['seed']}"

    @cached_property
    def labels(self) -> tuple[str, str]:
        """Model and method, as boards call them."""
        config = self.config
        method = config["symmetry"]
        return config["model"]["name"], run_of_method(method.pop("name"), method)["label"]
