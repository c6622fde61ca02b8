"""A suite file becomes runs: every name and option is checked, and every list expanded, before anything is trained."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from geoequiv import catalog
from geoequiv.bench.options import expand
from geoequiv.bench.spec import RESERVED, RESERVED_OF_TASKS, RunSpec
from geoequiv.config import KeyPath, Problems, Section, mismatch, read_yaml
from geoequiv.errors import GeoequivError, GroupError
from geoequiv.groups import group as named_group
from geoequiv.measurements import EvaluateConfig
from geoequiv.methods import WrongOption, method
from geoequiv.symmetrize.frames.by_name import FRAME_OPTIONS, frame_by_name
from geoequiv.training import TrainConfig

if TYPE_CHECKING:
    from geoequiv.measurements.barriers import AlignConfig

SectionT = TypeVar("SectionT", bound=Section)


def no_booleans(value: Any) -> Any:
    """Refuse `[true]`, which Python would take for `[1]`."""
    if isinstance(value, list | tuple) and any(isinstance(each, bool) for each in value):
        raise ValueError("expected whole numbers, not true or false")
    return value


Seeds = Annotated[tuple[int, ...], BeforeValidator(no_booleans)]
Limit = Annotated[int, Field(ge=1)]


class SuiteSection(Section):
    """The top of a suite file."""

    name: str
    description: str = ""
    task: Any
    otherwise: Any = None
    train: dict[str, Any] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    align: dict[str, Any] | None = None
    seeds: Seeds = Field((0,), min_length=1)
    entries: tuple[Any, ...] = Field(min_length=1)


class EntrySection(Section):
    """One entry: models × symmetries × seeds, with settings that override the suite's."""

    model: Any
    symmetry: Any = "none"
    train: dict[str, Any] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    seeds: Annotated[Seeds, Field(min_length=1)] | None = None


@dataclass(frozen=True)
class Suite:
    """A checked suite: its name, its runs, each listed once, and the barriers to measure when they are trained.

    ``otherwise`` are the same runs on the task that takes the place of one whose files cannot be had (see `at_hand`).
    """

    name: str
    description: str
    runs: tuple[RunSpec, ...]
    align: "AlignConfig | None" = None
    otherwise: tuple[RunSpec, ...] = ()


def read_suite(path: str | Path, limit: int | None = None) -> Suite:
    """Read a suite file.

    Args:
        path: the YAML file.
        limit: for a quick look, at most so many items of each split of the task; the same as its option `limit`.

    Returns:
        The suite; its runs are in the order of the file, a run that two entries ask for is there once.

    Raises:
        ConfigError: lists everything that is wrong, each with file, line, key and the nearest valid choice.
    """
    document = read_yaml(path)
    problems = Problems(document)
    top = _checked(
        SuiteSection, document.data or {}, problems, (), {"name": "unnamed", "task": None, "entries": [None]}
    )
    if top is None:
        problems.raise_if_any()
    assert top is not None
    if not re.fullmatch(r"[\w.-]+", top.name) or top.name.startswith("."):
        problems.add(("name",), f"a suite's name may hold letters, digits, '-', '_' and '.'; got '{top.name}'.")
    tasks = _tasks(top.task, limit, problems, ("task",))
    others = _tasks(top.otherwise, limit, problems, ("otherwise",)) if top.otherwise is not None else []
    configs = [
        config
        for index, entry in enumerate(top.entries)
        for config in _entry(top, entry, tasks, problems, ("entries", index))
    ]
    align = _align(top.align, problems) if top.align is not None else None
    problems.raise_if_any()
    otherwise = _runs(top.name, [{**config, "task": task} for config in configs for task in others])
    return Suite(top.name, top.description, _runs(top.name, configs), align, otherwise)


def _tasks(written: Any, limit: int | None, problems: Problems, at: KeyPath) -> list[dict[str, Any]]:
    """The task, if it is sound, with its limit."""
    shortened = {"limit": limit} if limit else {}
    return [
        {"name": name, **options, **shortened} for name, options in _named("task", written, problems, at, sweep=False)
    ]


def _runs(suite: str, configs: list[dict[str, Any]]) -> tuple[RunSpec, ...]:
    """Each run once, in the order of the file."""
    runs: dict[str, RunSpec] = {}
    for config in configs:
        spec = RunSpec.of(suite, config)
        runs.setdefault(spec.run_id, spec)
    return tuple(runs.values())


def _align(data: Mapping[str, Any], problems: Problems) -> "AlignConfig | None":
    """The `align:` section: not part of the runs, so that barriers can be asked for when they are trained already."""
    from geoequiv.measurements.barriers import AlignConfig  # alignment is loaded only for suites that ask for it

    checked = problems.check(AlignConfig, data, ("align",))
    if checked is None or checked.group is None:
        return checked
    return checked.model_copy(update={"group": _group(checked.group, problems, ("align", "group"))})


def _entry(
    top: SuiteSection, data: Any, tasks: list[dict[str, Any]], problems: Problems, at: KeyPath
) -> Iterator[dict[str, Any]]:
    if data is None and problems.found:  # the stand-in of a list that was missing, which is noted already
        return
    entry = _checked(EntrySection, data, problems, at, {"model": None})
    if entry is None:
        return
    train = _merged(TrainConfig, "train", top.train, entry.train, problems, at)
    evaluate = _merged(EvaluateConfig, "evaluate", top.evaluate, entry.evaluate, problems, at)
    if evaluate is not None and evaluate["group"] is not None:
        place = at if "group" in entry.evaluate else ()
        evaluate["group"] = _group(evaluate["group"], problems, (*place, "evaluate", "group"))
    models = list(_named("model", entry.model, problems, (*at, "model")))
    symmetries = list(_named("symmetry", entry.symmetry, problems, (*at, "symmetry")))
    for model, model_options in models:
        for symmetry, symmetry_options in symmetries:
            for seed in entry.seeds if entry.seeds is not None else top.seeds:
                for each in tasks:
                    yield {
                        "task": each,
                        "model": {"name": model, **model_options},
                        "symmetry": {"name": symmetry, **symmetry_options},
                        "train": train,
                        "evaluate": evaluate,
                        "seed": seed,
                    }


def _checked(
    section: type[SectionT], data: Any, problems: Problems, at: KeyPath, stand_ins: Mapping[str, Any]
) -> SectionT | None:
    """Validate one section; where a key of it is wrong, note that and go on with the others, to find all problems."""
    if isinstance(data, Mapping) and isinstance(data.get("seeds"), int) and not isinstance(data["seeds"], bool):
        data = {**data, "seeds": [data["seeds"]]}
    checked = problems.check(section, data, at)
    if checked is not None or not isinstance(data, Mapping):
        return checked
    sound = dict(stand_ins)
    for key in data.keys() & section.model_fields.keys():
        if Problems(problems.document).check(section, {**stand_ins, key: data[key]}) is not None:
            sound[key] = data[key]
    return section.model_validate(sound)


def _merged(
    section: type[Section],
    key: str,
    suite: Mapping[str, Any],
    entry: Mapping[str, Any],
    problems: Problems,
    at: KeyPath,
) -> dict[str, Any] | None:
    """An entry's settings laid over the suite's, validated, with problems located where each one was written."""

    def locate(inner: KeyPath) -> KeyPath:
        return (*at, key, *inner) if inner and inner[0] in entry else (key, *inner)

    checked = problems.check(section, {**suite, **entry}, locate)
    return checked.model_dump(mode="json") if checked is not None else None


def _named(
    kind: str, written: Any, problems: Problems, at: KeyPath, sweep: bool = True
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The (name, options) that `gnn`, `{name: gnn, width: [32, 64]}`, `{remul: {…}}` or a list of these stand for."""
    if written is None and kind != "symmetry" and problems.found:  # the key was missing, which is noted already
        return
    if isinstance(written, list) and sweep:
        if not written:
            problems.add(at, f"an empty list of {kind}s asks for no run at all.")
        for index, each in enumerate(written):
            yield from _named(kind, each, problems, (*at, index))
        return
    if written is None and kind == "symmetry":
        written = "none"
    if isinstance(written, str):
        name, options, inner = written, {}, at
    elif isinstance(written, Mapping) and isinstance(written.get("name"), str):
        name, inner = written["name"], at
        options = {key: value for key, value in written.items() if key != "name"}
    elif isinstance(written, Mapping) and len(written) == 1 and kind == "symmetry":
        name, options = next(iter(written.items()))
        inner = (*at, name)
        options = {} if options is None else options
        if not isinstance(options, Mapping):
            problems.add(inner, f"expected the options of '{name}' as key: value, got {options!r}.")
            return
    else:
        form = "{remul: {group: SO(3), beta: 1}}" if kind == "symmetry" else f"{{name: …, options}} of a {kind}"
        problems.add(at, f"expected a name or {form}, got {written!r}.")
        return
    try:
        declaration = method(name).declaration if kind == "symmetry" else catalog.declaration(kind, name)
    except GeoequivError as error:
        problems.add((*at, "name") if isinstance(written, Mapping) and "name" in written else inner, str(error))
        return
    shortened = {}
    if kind == "task" and "limit" in options:  # of every task, see `limited`
        problem = mismatch(Limit, options["limit"])
        if problem:
            problems.add((*inner, "limit"), problem)
        else:
            shortened = {"limit": int(options["limit"])}
        options = {key: value for key, value in options.items() if key != "limit"}
    before = len(problems.found)
    reserved = RESERVED_OF_TASKS if kind == "task" else RESERVED
    for combo in expand(f"{kind} '{name}'", declaration, options, reserved, problems, inner, sweep):
        chosen = _checked_names(kind, combo | shortened, problems, inner)
        if kind == "symmetry" and len(problems.found) == before:
            try:
                method(name).check(chosen)
            except WrongOption as error:
                problems.add((*inner, error.option), str(error))
        yield name, chosen


def _checked_names(kind: str, options: dict[str, Any], problems: Problems, at: KeyPath) -> dict[str, Any]:
    """Groups and frames named among a symmetry's options, checked and written in one way."""
    if kind != "symmetry":
        return options
    if isinstance(options.get("group"), str):
        options = {**options, "group": _group(options["group"], problems, (*at, "group"))}
    if "frame" in options and isinstance(options.get("group"), str):
        given = {name: options[name] for name in FRAME_OPTIONS if options.get(name) is not None}
        try:
            frame_by_name(options["frame"], named_group(options["group"]), **given)
        except GeoequivError as error:
            problems.add((*at, "frame"), str(error))
    return options


def _group(name: str, problems: Problems, at: KeyPath) -> str:
    try:
        return named_group(name).name
    except GroupError as error:
        problems.add(at, str(error))
        return name
