"""The record of a run, schema 2: one class that writes and reads."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from geoequiv.records.alignment import AlignmentOfRun, barrier_numbers
from geoequiv.records.identity import identity
from geoequiv.records.part import Finite, Part, finite

SCHEMA = 2


class Number(Part):
    """A measured number.

    Attributes:
        value: finite; what could not be measured is no number of a record.
        se: standard error of the measurement on one trained model, of both sources together.
        se_items: of the items that were seen.
        se_elements: of the group elements that were drawn.
        n: how many values it is a mean over.
    """

    value: int | Finite
    se: Finite | None = None
    se_items: Finite | None = None
    se_elements: Finite | None = None
    n: int | None = None

    @classmethod
    def of(cls, value: float | None, **further: Any) -> Self | None:
        """The number, or None where there is none or it is not finite; errors that are not finite are left out."""
        if value is None or not math.isfinite(value):
            return None
        return cls(value=value, **finite(further))

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}


class MethodOfRun(Part):
    """How the model got its symmetry: the method's name in a suite, its family, and the label of its options."""

    name: str = ""
    family: str = "other"
    label: str


class MetricOfRun(Part):
    """The number that ranks runs of a task, `numbers["metric"]`."""

    name: str
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"


class Description(Part):
    """What a board needs of a number that the table of measurements does not know."""

    title: str
    hint: str = ""
    unit: str = ""
    better: Literal["lower", "higher"] | None = None
    format: str = ""
    heading: str = ""


class ReferenceOfTask(Part):
    """A published number: its source, and how it was read (P primary, S transcribed, M memory)."""

    model: str
    value: Finite
    source: str
    state: Literal["P", "S", "M"]
    symmetry: str | None = None
    note: str | None = None


class TaskCard(Part):
    """What a task says about itself."""

    description: str = ""
    signature: str = ""
    symmetry: str = ""
    metric: Mapping[str, Any] = Field(default_factory=dict)
    symmetry_error: Mapping[str, Any] | None = None
    checksum: str = ""
    registered_checksum: str | None = None
    citation: str = ""
    references: tuple[ReferenceOfTask, ...] = ()


class Record(Part):
    """One run, finished or failed.

    Attributes:
        run_id: under which it was made; see also `identity`.
        suite: name of the suite that asked for it.
        error: the traceback of a failed run.
        config: the resolved configuration: task, model, symmetry, train, evaluate, seed.
        metric: the number that ranks; None of a failed run.
        numbers: all that was measured, by key; "/" qualifies ("before/relative", "metric/split/test_rotated").
        settings: how it was measured: of "equivariance", "own" and "before" the group, items, samples and dtype; of
            "timing" the batch size and threads; "evaluate" as the suite asked.
        described: titles of numbers that the table of measurements does not know, by key.
        alignment: every merge behind the barriers.
        environment: versions, device, threads, commit.
        path: where it was read; not written.
    """

    version: Literal[2] = Field(default=2, alias="schema")
    run_id: str
    suite: str = ""
    status: Literal["finished", "failed"]
    error: str | None = None
    task: str
    protocol: str | None = None
    model: str
    method: MethodOfRun
    seed: int
    config: Mapping[str, Any]
    metric: MetricOfRun | None = None
    numbers: Mapping[str, Number] = Field(default_factory=dict)
    settings: Mapping[str, Any] = Field(default_factory=dict)
    described: Mapping[str, Description] = Field(default_factory=dict)
    task_card: TaskCard | None = None
    alignment: Mapping[str, Any] | None = None
    environment: Mapping[str, Any] = Field(default_factory=dict)
    started: str | None = None
    finished: str | None = None
    path: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.status == "finished" and (self.metric is None or "metric" not in self.numbers or not self.protocol):
            raise ValueError("a finished run needs a protocol and a metric with a finite value")
        _ = self.merges  # checked with the rest
        return self

    @cached_property
    def merges(self) -> AlignmentOfRun | None:
        """The merges behind the barriers, typed; None where none were measured."""
        return AlignmentOfRun.model_validate(self.alignment) if self.alignment is not None else None

    @cached_property
    def identity(self) -> str:
        """The run id that its configuration has now, whatever it was made under."""
        return identity(self.config)

    @property
    def done(self) -> bool:
        """Whether it has finished."""
        return self.status == "finished"

    def value(self, key: str) -> float | None:
        """A number's value, None if it was not measured."""
        number = self.numbers.get(key)
        return number.value if number is not None else None

    def below(self, key: str) -> dict[str, Number]:
        """The numbers that a key qualifies, by the rest of their keys: `below("before")` has "relative", …."""
        return {name[len(key) + 1 :]: number for name, number in self.numbers.items() if name.startswith(f"{key}/")}

    def with_alignment(self, alignment: Mapping[str, Any]) -> Self:
        """The record with these barriers in the place of those that it has."""
        kept = {key: number for key, number in self.numbers.items() if not key.startswith("barrier/")}
        barriers = {key: Number(**parts) for key, parts in barrier_numbers(alignment).items()}
        return self.changed(numbers={**kept, **barriers}, alignment=alignment)

    def changed(self, **fields: Any) -> Self:
        """The record with other values of some fields, checked like any."""
        return type(self).model_validate({**dict(self), **fields})

    def as_json(self) -> dict[str, Any]:
        """For JSON, without NaN and infinity."""
        content: dict[str, Any] = finite(self.model_dump(mode="json", by_alias=True))
        return content

    def text(self, indent: int | None = None) -> str:
        """As JSON with its checksum, in one line or indented."""
        separators = None if indent else (",", ":")
        content = self.as_json()
        content["checksum"] = checksum(content)
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)


def checksum(content: Mapping[str, Any]) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of a record's content, less the checksum itself.

    >>> checksum({"a": 1, "b": 2}) == checksum({"b": 2, "a": 1, "checksum": "0"}) != checksum({"a": 1, "b": 3})
    True
    """
    kept = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def further_keys(metrics: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Keys of a task's further metrics, given as (name, unit): a name that comes again has its unit in the key.

    >>> further_keys([("mae", "meV"), ("mae", "kcal/mol")])
    ('metric/further/mae', 'metric/further/mae [kcal/mol]')
    """
    keys: list[str] = []
    for name, unit in metrics:
        key = f"metric/further/{name}"
        keys.append(f"{key} [{unit}]" if key in keys else key)
    return tuple(keys)
