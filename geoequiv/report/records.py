"""Read the records of a results folder: one `record.json` per run, checked against its schema."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geoequiv.errors import DataError

Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    """A piece of a record: frozen, typed, and tolerant of keys that later versions add."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Measured(_Part):
    """A test value over `n` items."""

    value: Number
    n: int | None = None


class FurtherMetricOfRun(Measured):
    """A number that is measured besides the one that ranks."""

    name: str
    unit: str = ""


class MetricOfRun(_Part):
    """The task's metric on the test split, on named groups of its items, and on further splits; further metrics."""

    name: str
    unit: str = ""
    better: Literal["lower", "higher"] = "lower"
    value: Number
    n: int | None = None
    marks: Mapping[str, Mapping[str, Measured | None]] = Field(default_factory=dict)
    splits: Mapping[str, Measured | None] = Field(default_factory=dict)
    further: tuple[FurtherMetricOfRun, ...] = ()


class StandardErrorOfRun(_Part):
    """Standard error of one number of a run: of both sources together, of the items seen, of the elements drawn."""

    se: Number | None = None
    se_items: Number | None = None
    se_elements: Number | None = None


class SymmetryErrorOfRun(_Part):
    """E, E′, the relative error and the worst case of one trained model."""

    group: str
    E: Number | None = None
    E_prime: Number | None = None
    relative: Number | None = None
    worst: Number | None = None
    num_items: int | None = None
    num_samples: int | None = None
    dtype: str | None = None
    standard_errors: Mapping[str, StandardErrorOfRun] = Field(default_factory=dict)


class SecondsOfRun(_Part):
    """Seconds of the whole training, and of one sample at inference."""

    train: Number | None = None
    inference: Number | None = None
    batch_size: int | None = None
    threads: int | None = None


class ReferenceOfTask(_Part):
    """A published number: its source, and how it was read (P primary, S transcribed, M memory)."""

    model: str
    value: Number
    source: str
    state: Literal["P", "S", "M"]
    symmetry: str | None = None
    note: str | None = None


class TaskCard(_Part):
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


class MergeOfRun(_Part):
    """A network merged halfway with its transformed copy, or with another training; barriers are relative."""

    method: str
    element: str = ""
    angle: Number | None = None
    seed: int | None = None
    first: Number | None = None
    second: Number | None = None
    middle: Number | None = None
    barrier: Number | None = None
    absolute: Number | None = None
    without_repair: Number | None = None
    without_matching: Number | None = None
    own_copy: bool = False
    correlation: Mapping[str, Number | None] = Field(default_factory=dict)
    layers: Mapping[str, Mapping[str, Number | None]] = Field(default_factory=dict)
    cycles: Mapping[str, int] = Field(default_factory=dict)
    path: Mapping[str, tuple[Number | None, ...]] | None = None


class BarriersOfRun(_Part):
    """Means over all merges of one kind."""

    n: int
    barrier: Number | None = None
    absolute: Number | None = None
    without_repair: Number | None = None
    without_matching: Number | None = None


class AlignmentOfRun(_Part):
    """Barriers of one trained model, by the way its units were matched, with every merge."""

    settings: Mapping[str, Any] = Field(default_factory=dict)
    error: str | None = None
    metric: Mapping[str, str] = Field(default_factory=dict)
    methods: Mapping[str, Mapping[str, BarriersOfRun | None]] = Field(default_factory=dict)
    copies: tuple[MergeOfRun, ...] = ()
    trainings: tuple[MergeOfRun, ...] = ()


class Record(_Part):
    """One run, finished or failed, as the bench wrote it."""

    version: Literal[1] = Field(alias="schema")
    run_id: str
    suite: str = ""
    status: Literal["finished", "failed"]
    error: str | None = None
    task: str
    protocol: str | None = None
    model: str
    symmetry: str
    seed: int
    config: Mapping[str, Any]
    metric: MetricOfRun | None = None
    validation: Mapping[str, Any] | None = None
    equivariance: SymmetryErrorOfRun | None = None
    equivariance_own: SymmetryErrorOfRun | None = None
    equivariance_before: SymmetryErrorOfRun | None = None
    params: int | None = None
    seconds: SecondsOfRun | None = None
    task_card: TaskCard | None = None
    alignment: AlignmentOfRun | None = None
    environment: Mapping[str, Any] = Field(default_factory=dict)
    started: str | None = None
    finished: str | None = None
    path: str = ""

    @model_validator(mode="after")
    def _finished_runs_have_numbers(self) -> Self:
        if self.status == "finished" and (self.metric is None or not self.protocol):
            raise ValueError("a finished run needs a protocol and a metric with a finite value")
        return self


@dataclass(frozen=True)
class LeftOut:
    """A record that could not be used: its path inside the results folder, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Store:
    """All records of a results folder, those left out, and the runs that have no record yet."""

    records: tuple[Record, ...]
    left_out: tuple[LeftOut, ...]
    unfinished: tuple[str, ...]


def read_store(directory: str | Path) -> Store:
    """Read every `DIR/*/record.json` in the order of the folder names.

    Args:
        directory: a results folder as `geoequiv run` writes it.

    Returns:
        The valid records, failed runs among them; what is broken or truncated is named in `left_out`.

    Raises:
        DataError: the folder does not exist, or holds not one readable record.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise DataError(
            f"No results folder at '{directory}'. Make one with `geoequiv run SUITE.yaml --output {directory}`."
        )
    try:
        folders = sorted(entry for entry in directory.iterdir() if entry.is_dir())
    except OSError as error:
        raise DataError(f"The results folder '{directory}' cannot be read: {error.strerror}.") from error
    records, left_out, unfinished = [], [], []
    for folder in folders:
        path = folder / "record.json"
        name = f"{folder.name}/record.json"
        if not path.exists():
            if (folder / "config.yaml").exists():
                unfinished.append(folder.name)
            continue
        outcome = _read(path, name)
        if isinstance(outcome, Record):
            records.append(outcome)
        else:
            left_out.append(outcome)
    if not records:
        raise DataError(_nothing_to_show(directory, left_out, unfinished))
    return Store(tuple(records), tuple(left_out), tuple(unfinished))


def read_stores(directories: Sequence[str | Path]) -> Store:
    """Several results folders as one; paths then begin with their folder.

    Of a run that more than one of them holds the first record counts, and the others are named in `left_out`, with
    their checksum where it was made on other data.

    Raises:
        DataError: as `read_store`, for any of them.
    """
    stores = [read_store(directory) for directory in directories]
    if len(stores) == 1:
        return stores[0]
    records: dict[str, Record] = {}
    left_out: list[LeftOut] = []
    unfinished: list[str] = []
    for directory, store in zip(directories, stores, strict=True):
        left_out += [LeftOut(f"{directory}/{item.path}", item.reason) for item in store.left_out]
        unfinished += [f"{directory}/{name}" for name in store.unfinished]
        for record in store.records:
            path = f"{directory}/{record.path}"
            if record.run_id in records:
                left_out.append(LeftOut(path, _same_run(record, records[record.run_id])))
            else:
                records[record.run_id] = record.model_copy(update={"path": path})
    return Store(tuple(records.values()), tuple(left_out), tuple(unfinished))


def _same_run(record: Record, counted: Record) -> str:
    """Why a run that is there already does not count again; data may differ, which no run id knows."""
    sums = [card.checksum for card in (record.task_card, counted.task_card) if card is not None]
    if len(sums) == 2 and sums[0] != sums[1]:
        return f"the settings of {counted.path} on other data (checksum {sums[0][:12]}…, there {sums[1][:12]}…)"
    return f"the same run as {counted.path}"


def read_run(directory: str | Path) -> Record | None:
    """The record of one run; None where it has none yet, or one that cannot be used."""
    path = Path(directory) / "record.json"
    outcome = _read(path, f"{path.parent.name}/record.json") if path.exists() else None
    return outcome if isinstance(outcome, Record) else None


def _read(path: Path, name: str) -> Record | LeftOut:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except OSError as error:
        return LeftOut(name, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return LeftOut(name, "not UTF-8 text")
    except json.JSONDecodeError as error:
        return LeftOut(name, f"not valid JSON, damaged or truncated: {error.msg} at line {error.lineno}")
    except RecursionError:
        return LeftOut(name, "nested too deeply")
    if not _is_unicode(content):
        return LeftOut(name, "holds text that is not valid Unicode")
    if not isinstance(content, dict):
        return LeftOut(name, f"expected a JSON object, got {type(content).__name__}")
    try:
        return Record.model_validate({**content, "path": name})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        return LeftOut(name, f"does not fit the schema: {where + ': ' if where else ''}{first['msg']}{more}")


def _is_unicode(content: Any) -> bool:
    """Whether every text can be written as UTF-8: JSON can spell half of a surrogate pair."""
    try:
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _nothing_to_show(directory: Path, left_out: list[LeftOut], unfinished: list[str]) -> str:
    if left_out:
        named = "; ".join(f"{item.path}: {item.reason}" for item in left_out[:5])
        return f"No usable record in '{directory}'. {named}. Delete these folders and run the suite again."
    if unfinished:
        return (
            f"'{directory}' holds {len(unfinished)} unfinished run(s) and no record.json yet. "
            f"Finish them with `geoequiv run SUITE.yaml --output {directory} --resume`."
        )
    return (
        f"'{directory}' holds no */record.json. Give the folder that `geoequiv run` wrote, "
        f"or make one with `geoequiv run SUITE.yaml --output {directory}`."
    )
