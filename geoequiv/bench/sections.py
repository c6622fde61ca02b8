"""The two kinds of section in a suite file, its top and its entries, and how settings of one lie over the other's."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from geoequiv.config import KeyPath, Problems, Section

SectionT = TypeVar("SectionT", bound=Section)


def no_booleans(value: Any) -> Any:
    """Refuse `[true]`, which Python would take for `[1]`."""
    if isinstance(value, list | tuple) and any(isinstance(each, bool) for each in value):
        raise ValueError("expected whole numbers, not true or false")
    return value


def one_or_several(value: Any) -> Any:
    """A text as a list of one."""
    return [value] if isinstance(value, str) else value


#: what torch takes as a seed
Seed = Annotated[int, Field(ge=-(2**63), lt=2**64)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(no_booleans)]
Names = Annotated[tuple[str, ...], BeforeValidator(one_or_several)]


class SuiteSection(Section):
    """The top of a suite file.

    Attributes:
        name: name of the suite; results go to results/<name>.
        description: one sentence, shown on the board.
        task: the task: a name, or {name: …, options}.
        fallback: the task that is used where the files of `task` are missing and cannot be downloaded.
        train: settings of `TrainConfig` for all entries.
        evaluate: settings of `EvaluateConfig` for all entries.
        measure: your own measurements, "package.module:function".
        align: settings of `AlignConfig`; if given, barriers are measured after training.
        seeds: seeds; every entry is run once with each.
        entries: the models and methods to compare, see `EntrySection`.
    """

    name: str
    description: str = ""
    task: Any
    fallback: Any = None
    train: dict[str, Any] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    measure: Names = ()
    align: dict[str, Any] | None = None
    seeds: Seeds = Field((0,), min_length=1)
    entries: tuple[Any, ...] = Field(min_length=1)


class EntrySection(Section):
    """One entry: models × methods × seeds, with settings that override the suite's.

    Attributes:
        model: the model: a name, {name: …, options}, or a list of these.
        symmetry: the method: a name, {name: {options}}, or a list of these.
        train: settings that override the suite's.
        evaluate: settings that override the suite's.
        seeds: seeds that replace the suite's.
    """

    model: Any
    symmetry: Any = "none"
    train: dict[str, Any] = Field(default_factory=dict)
    evaluate: dict[str, Any] = Field(default_factory=dict)
    seeds: Annotated[Seeds, Field(min_length=1)] | None = None


#: Keys of former versions and what they are called now.
FORMER_KEYS = {"otherwise": "fallback"}


def checked(
    section: type[SectionT], data: Any, problems: Problems, at: KeyPath, stand_ins: Mapping[str, Any]
) -> SectionT | None:
    """Validate one section; where a key of it is wrong, note that and go on with the others, to find all problems.

    Args:
        section: its class.
        data: what the file says.
        problems: where problems are noted.
        at: key path of `data` in the file.
        stand_ins: values of required keys that are missing or wrong.

    Returns:
        None if the data are no mapping.
    """
    if isinstance(data, Mapping):
        for former, present in FORMER_KEYS.items():
            if former in data and present in section.model_fields:
                problems.add((*at, former), f"'{former}' is called '{present}' now: write that.")
                data = {key: value for key, value in data.items() if key != former}
        if isinstance(data.get("seeds"), int) and not isinstance(data["seeds"], bool):
            data = {**data, "seeds": [data["seeds"]]}
    found = problems.check(section, data, at)
    if found is not None or not isinstance(data, Mapping):
        return found
    sound = dict(stand_ins)
    for key in data.keys() & section.model_fields.keys():
        if Problems(problems.document).check(section, {**stand_ins, key: data[key]}) is not None:
            sound[key] = data[key]
    return section.model_validate(sound)


def merged(
    section: type[Section],
    key: str,
    suite: Mapping[str, Any],
    entry: Mapping[str, Any],
    problems: Problems,
    at: KeyPath,
) -> dict[str, Any] | None:
    """An entry's settings laid over the suite's, validated, with problems located where each one was written.

    Args:
        section: what they are settings of.
        key: "train" or "evaluate".
        suite: the suite's.
        entry: the entry's.
        problems: where problems are noted.
        at: key path of the entry.
    """

    def locate(inner: KeyPath) -> KeyPath:
        return (*at, key, *inner) if inner and inner[0] in entry else (key, *inner)

    found = problems.check(section, {**suite, **entry}, locate)
    return found.model_dump(mode="json") if found is not None else None
