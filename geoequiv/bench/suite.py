"""A suite file becomes runs: every name and option is checked, and every list expanded, before anything is trained."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from geoequiv.bench.named import Named, group_name, named
from geoequiv.bench.overrides import overridden
from geoequiv.bench.sections import EntrySection, SuiteSection, checked, merged
from geoequiv.bench.spec import RunSpec
from geoequiv.config import Document, KeyPath, Problems, read_yaml
from geoequiv.errors import ConfigError, GeoequivError
from geoequiv.measurements.own import own_measurement
from geoequiv.measurements.settings import EvaluateConfig
from geoequiv.precision import check_precision
from geoequiv.records.store import Store
from geoequiv.records.variants import settled, variants
from geoequiv.session import DEFAULT, Session
from geoequiv.training.config import TrainConfig

if TYPE_CHECKING:
    from geoequiv.measurements.barriers import AlignConfig


class Place(NamedTuple):
    """Where a run stands in the file: key paths of its model's options, of its method's, and of its `evaluate`."""

    model: KeyPath
    method: KeyPath
    evaluate: KeyPath


#: the seed of a run in its canonical configuration, whose keys are sorted
SEED = re.compile(r'"seed":\d+,(?="symmetry":)')


@dataclass(frozen=True)
class Suite:
    """A checked suite.

    Attributes:
        name: of the suite.
        description: of the suite.
        runs: in the order of the file, each once.
        align: the barriers to measure when they are trained.
        fallback: the same runs on the task that takes the place of one whose files cannot be had (see `with_fallback`).
        document: the file.
        places: run id → where the run stands in the file.
    """

    name: str
    description: str
    runs: tuple[RunSpec, ...]
    align: "AlignConfig | None" = None
    fallback: tuple[RunSpec, ...] = ()
    document: Document | None = field(default=None, compare=False, repr=False)
    places: Mapping[str, Place] = field(default_factory=dict, compare=False, repr=False)


def read_suite(
    path: str | Path, limit: int | None = None, overrides: Iterable[str] = (), session: Session = DEFAULT
) -> Suite:
    """Read a suite file; built-in names are checked without importing torch.

    Args:
        path: the YAML file.
        limit: for a quick look, at most so many items of each split of the task; the same as its option `limit`.
        overrides: settings in place of the file's, such as "train.epochs=3".
        session: its device must have the precisions that the suite asks for.

    Returns:
        The suite; its runs are in the order of the file, a run of two entries is there once.

    Raises:
        ConfigError: lists everything that is wrong, each with file, line, key and the nearest valid choice.
    """
    document = overridden(read_yaml(path), overrides)
    problems = Problems(document)
    top = checked(SuiteSection, document.data or {}, problems, (), {"name": "unnamed", "task": None, "entries": [None]})
    if top is None:
        problems.raise_if_any()
    assert top is not None
    if not re.fullmatch(r"[\w.-]+", top.name) or top.name.startswith("."):
        problems.add(("name",), f"a suite's name may hold letters, digits, '-', '_' and '.'; got '{top.name}'.")
    tasks = _tasks(top.task, limit, problems, ("task",))
    others = _tasks(top.fallback, limit, problems, ("fallback",)) if top.fallback is not None else []
    own = _own_measurements(top, problems)
    entries = [
        (config | own, place)
        for index, entry in enumerate(top.entries)
        for config, place in _entry(top, entry, tasks, problems, ("entries", index), session)
    ]
    align = _align(top.align, problems) if top.align is not None else None
    problems.raise_if_any()
    places: dict[str, Place] = {}
    runs = _runs(top.name, entries, places, problems)
    elsewhere = [({**config, "task": task}, place) for config, place in entries for task in others]
    fallback = _runs(top.name, elsewhere, places, problems)
    problems.raise_if_any()
    return Suite(top.name, top.description, runs, align, fallback, document, places)


def told_apart(runs: tuple[RunSpec, ...]) -> tuple[RunSpec, ...]:
    """The same runs, each with the settings that tell it from others of its model and method."""
    unseeded = [SEED.sub("", spec.canonical) for spec in runs]
    one_of = dict(zip(unseeded, runs, strict=True))  # seeds do not count: a tenth of the work
    configs = {text: settled(spec.config) for text, spec in one_of.items()}
    found = variants(configs, {text: spec.labels for text, spec in one_of.items()})
    return tuple(
        replace(spec, variant=found[text]) if found[text] else spec for spec, text in zip(runs, unseeded, strict=True)
    )


def only(suite: Suite, ids: Collection[str], store: Store) -> Suite:
    """The suite with some of its runs alone.

    Args:
        suite: whose runs they are.
        ids: of the runs, or the names of their directories; none for all.
        store: of its results.

    Raises:
        ConfigError: the suite has no such run.
    """
    if not ids:
        return suite
    named = {spec: {spec.run_id, store.directory(spec).name} for spec in suite.runs}
    for each in ids:
        if not any(each in names for names in named.values()):
            raise ConfigError(
                f"The suite '{suite.name}' has no run '{each}'. `geoequiv run SUITE.yaml --dry-run` lists its runs."
            )
    return replace(suite, runs=tuple(spec for spec, names in named.items() if names & set(ids)))


def _tasks(written: Any, limit: int | None, problems: Problems, at: KeyPath) -> list[dict[str, Any]]:
    """The task, if it is sound, with its limit."""
    shortened = {"limit": limit} if limit else {}
    return [{**task.config, **shortened} for task in named("task", written, problems, at, sweep=False)]


def _own_measurements(top: SuiteSection, problems: Problems) -> dict[str, Any]:
    """The `measure:` key, where there is one: each is imported, so that a mistake is found before anything runs."""
    for index, path in enumerate(top.measure):
        try:
            own_measurement(path)
        except GeoequivError as error:
            written = (problems.document.data or {}).get("measure")
            problems.add(("measure", index) if isinstance(written, list) else ("measure",), str(error))
    return {"measure": list(top.measure)} if top.measure else {}


def _runs(
    suite: str, entries: Iterable[tuple[dict[str, Any], Place]], places: dict[str, Place], problems: Problems
) -> tuple[RunSpec, ...]:
    """Each run once, in the order of the file; asked for twice with other measurements, it is a mistake."""
    runs: dict[str, RunSpec] = {}
    entries = list(entries)
    specs = told_apart(tuple(RunSpec.of(suite, config) for config, _ in entries))
    for spec, (config, place) in zip(specs, entries, strict=True):
        known = runs.setdefault(spec.run_id, spec)
        places.setdefault(spec.run_id, place)
        if known.canonical != spec.canonical and known.config.get("evaluate") != config.get("evaluate"):
            first = places[spec.run_id].model
            problems.add(
                place.evaluate,
                f"the same run as in entries[{first[1]}], measured in another way. A run is measured in one way: leave "
                "one of the two out.",
            )
    return tuple(runs.values())


def _align(data: Mapping[str, Any], problems: Problems) -> "AlignConfig | None":
    """The `align:` section: no part of the runs, so that barriers can be asked for when they are trained already."""
    from geoequiv.measurements.barriers import AlignConfig  # imports alignment: only where a suite asks for it

    found = problems.check(AlignConfig, data, ("align",))
    if found is None or found.group is None:
        return found
    return found.model_copy(update={"group": group_name(found.group, problems, ("align", "group"))})


def _entry(
    top: SuiteSection, data: Any, tasks: list[dict[str, Any]], problems: Problems, at: KeyPath, session: Session
) -> Iterator[tuple[dict[str, Any], Place]]:
    """The configurations that an entry stands for, and where each stands in the file."""
    if data is None and problems.found:  # the list was missing, which is noted already
        return
    entry = checked(EntrySection, data, problems, at, {"model": None})
    if entry is None:
        return
    train = merged(TrainConfig, "train", top.train, entry.train, problems, at)
    evaluate = merged(EvaluateConfig, "evaluate", top.evaluate, entry.evaluate, problems, at)
    measured_at = (*(at if "group" in entry.evaluate else ()), "evaluate")
    if evaluate is not None and evaluate["group"] is not None:
        evaluate["group"] = group_name(evaluate["group"], problems, (*measured_at, "group"))
    models = list(named("model", entry.model, problems, (*at, "model")))
    methods = list(named("symmetry", entry.symmetry, problems, (*at, "symmetry")))
    if train is not None:
        _check_precision(train["precision"], session, problems, (*(at if "precision" in entry.train else ()), "train"))
    for model in models:
        for method in methods:
            place = Place(model.at, method.at, measured_at)
            for seed in entry.seeds if entry.seeds is not None else top.seeds:
                for task in tasks:
                    yield _config(task, model, method, train, evaluate, seed), place


def _check_precision(precision: str, session: Session, problems: Problems, at: KeyPath) -> None:
    """Note a precision that the session's device has not; what "auto" is, only torch knows."""
    if precision == TrainConfig.model_fields["precision"].default:
        return
    kind = session.torch_device.type if session.device == "auto" else session.device.partition(":")[0]
    try:
        check_precision(precision, kind)
    except GeoequivError as error:
        problems.add((*at, "precision"), str(error))


def _config(
    task: Mapping[str, Any], model: Named, method: Named, train: Any, evaluate: Any, seed: int
) -> dict[str, Any]:
    return {
        "task": task,
        "model": model.config,
        "symmetry": method.config,
        "train": train,
        "evaluate": evaluate,
        "seed": seed,
    }
