"""Named objects of a suite: tasks, models and methods, with their options checked and lists expanded."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from geoequiv import catalog
from geoequiv.bench.frame_options import check_frame
from geoequiv.bench.options import expand
from geoequiv.bench.spec import RESERVED, RESERVED_OF_TASKS
from geoequiv.config import KeyPath, Problems, mismatch
from geoequiv.errors import GeoequivError, GroupError
from geoequiv.groups.parsing import parse_name
from geoequiv.methods import WrongOption, method

Limit = Annotated[int, Field(ge=1)]
#: What a kind is called in messages; suites call the method of an entry its symmetry.
SPOKEN = {"symmetry": "method"}


class Named(NamedTuple):
    """One object: its name, all of its options, and where the options stand in the file."""

    name: str
    options: dict[str, Any]
    at: KeyPath

    @property
    def config(self) -> dict[str, Any]:
        """As a run's configuration has it."""
        return {"name": self.name, **self.options}


def named(kind: str, written: Any, problems: Problems, at: KeyPath, sweep: bool = True) -> Iterator[Named]:
    """What `gnn`, `{name: gnn, width: [32, 64]}`, `{remul: {…}}` or a list of these stand for.

    Args:
        kind: "task", "model" or "symmetry".
        written: what the file says.
        problems: where problems are noted.
        at: key path of `written` in the file.
        sweep: whether lists expand.
    """
    if written is None and kind != "symmetry" and problems.found:  # the key was missing, which is noted already
        return
    if isinstance(written, list) and sweep:
        if not written:
            problems.add(at, f"an empty list of {SPOKEN.get(kind, kind)}s gives no run.")
        for index, each in enumerate(written):
            yield from named(kind, each, problems, (*at, index))
        return
    split = _split(kind, written, problems, at)
    if split is None:
        return
    name, options, inner = split
    try:
        declaration = method(name).declaration if kind == "symmetry" else catalog.declaration(kind, name)
    except GeoequivError as error:
        problems.add((*at, "name") if isinstance(written, Mapping) and "name" in written else inner, str(error))
        return
    what, before = f"{SPOKEN.get(kind, kind)} '{name}'", len(problems.found)
    if kind == "task":
        limit, options = _limit(options, problems, inner)
        for combo in expand(what, declaration, options, RESERVED_OF_TASKS, problems, inner, sweep):
            yield Named(name, combo | limit, inner)
        return
    for combo in expand(what, declaration, options, RESERVED, problems, inner, sweep):
        if kind == "symmetry":
            combo = _checked_method(name, combo, problems, inner, len(problems.found) == before)
        yield Named(name, combo, inner)


def group_name(name: str, problems: Problems, at: KeyPath) -> str:
    """A group's name written in one way; as it is, where it is none, which is noted."""
    try:
        return parse_name(name).name
    except GroupError as error:
        problems.add(at, str(error))
        return name


def _split(kind: str, written: Any, problems: Problems, at: KeyPath) -> tuple[str, dict[str, Any], KeyPath] | None:
    """Name, options, and where the options stand; None where it is neither, which is noted."""
    if written is None and kind == "symmetry":
        written = "none"
    if isinstance(written, str):
        return written, {}, at
    if isinstance(written, Mapping) and isinstance(written.get("name"), str):
        return written["name"], {key: value for key, value in written.items() if key != "name"}, at
    if isinstance(written, Mapping) and len(written) == 1 and kind == "symmetry":
        name, options = next(iter(written.items()))
        options = {} if options is None else options
        if isinstance(options, Mapping):
            return name, dict(options), (*at, name)
        problems.add((*at, name), f"expected the options of '{name}' as key: value, got {options!r}.")
        return None
    form = "{remul: {group: SO(3), beta: 1}}" if kind == "symmetry" else f"{{name: …, options}} of a {kind}"
    problems.add(at, f"expected a name or {form}, got {written!r}.")
    return None


def _limit(options: dict[str, Any], problems: Problems, at: KeyPath) -> tuple[dict[str, int], dict[str, Any]]:
    """The option `limit`, which every task has, and the others."""
    if "limit" not in options:
        return {}, options
    others = {key: value for key, value in options.items() if key != "limit"}
    if problem := mismatch(Limit, options["limit"]):
        problems.add((*at, "limit"), problem)
        return {}, others
    return {"limit": int(options["limit"])}, others


def _checked_method(name: str, options: dict[str, Any], problems: Problems, at: KeyPath, sound: bool) -> dict[str, Any]:
    """A method's options with its group written in one way; groups, frames and what must go together are checked."""
    if isinstance(options.get("group"), str):
        options = {**options, "group": group_name(options["group"], problems, (*at, "group"))}
    if isinstance(options.get("subgroup"), str):
        group_name(options["subgroup"], problems, (*at, "subgroup"))
    if method(name).family == "frame" and isinstance(options.get("frame"), str | Mapping):
        check_frame(options["frame"], problems, (*at, "frame"))
    if sound:
        try:
            method(name).check(options)
        except WrongOption as error:
            problems.add((*at, error.option), str(error))
    return options
