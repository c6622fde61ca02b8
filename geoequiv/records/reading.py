"""Read records: of run directories, of packed files, or of both as one."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from geoequiv.errors import DataError
from geoequiv.records.logs import Rows, log_rows
from geoequiv.records.schema import SCHEMA, Record, checksum
from geoequiv.records.sharing import Shared
from geoequiv.text import check_size, control_character, memory, read_text, shown

if TYPE_CHECKING:
    from geoequiv.records.items import Items

#: The packed records of a results folder, one a line.
PACKED = "records.jsonl"
#: nesting of a record; JSON of ours has a tenth of it
DEEPEST = 100
#: how half of a surrogate pair begins in JSON
SURROGATE = "\\ud"
#: how JSON spells characters that steer a terminal or a page, among others
ESCAPED = re.compile(r"\\([bfr]|u00[01789]|u061c|u20[026])", re.IGNORECASE)
LARGEST = 64 << 20  # bytes of one record


@dataclass(frozen=True)
class LeftOut:
    """A record that could not be used: its path inside the results folder, and why."""

    path: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", shown(self.path))
        object.__setattr__(self, "reason", shown(self.reason))


@dataclass(frozen=True)
class Records:
    """All records of one or several results folders, those left out, and the runs that have no record yet."""

    records: tuple[Record, ...]
    left_out: tuple[LeftOut, ...] = ()
    unfinished: tuple[str, ...] = ()
    #: the folder that the records' paths are seen from
    root: Path = field(default=Path(), compare=False)

    def directory(self, record: Record) -> Path:
        """The run directory of a record; of a packed one, where it would be."""
        return (self.root / record.path).parent

    def items(self, record: Record) -> "Items | None":
        """Numbers per test item, see `items.run_items`; None where none are kept."""
        from geoequiv.records.items import run_items  # numpy is imported where it is asked for

        return run_items(self.directory(record))

    def log(self, record: Record) -> "Rows | None":
        """The rows of its log, see `logs.log_rows`; None where none is kept."""
        return log_rows(self.directory(record))


def read(paths: str | Path | Sequence[str | Path]) -> Records:
    """Read results folders and packed files; several are read as one, and paths then begin with theirs.

    Of a run that a folder holds packed and in a run directory, the directory counts. Of a run that several paths
    hold the first record counts, and the others are named in `left_out`, with their checksum where it was made on
    other data.

    Args:
        paths: results folders as `geoequiv run` or `geoequiv pack` writes them, or packed `.jsonl` files.

    Returns:
        The valid records in the order of their paths, failed runs among them; what is damaged is in `left_out`.

    Raises:
        DataError: a path does not exist, or holds not one readable record.
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    found = [_read_one(Path(path)) for path in paths]
    if len(found) == 1:
        return found[0]
    records: dict[str, Record] = {}
    left_out: list[LeftOut] = []
    unfinished: list[str] = []
    for path, part in zip(map(folder_of, paths), found, strict=True):
        left_out += [LeftOut(f"{path}/{item.path}", item.reason) for item in part.left_out]
        unfinished += [f"{path}/{name}" for name in part.unfinished]
        for record in part.records:
            where = f"{path}/{record.path}"
            if record.run_id in records:
                left_out.append(LeftOut(where, _same_run(record, records[record.run_id])))
            else:
                records[record.run_id] = record.model_copy(update={"path": where})
    return Records(tuple(records.values()), tuple(left_out), tuple(unfinished))


def folder_of(path: str | Path) -> Path:
    """The results folder of a path: of a packed file, the one that it is in."""
    return Path(path).parent if Path(path).is_file() else Path(path)


def read_run(directory: str | Path) -> Record | None:
    """The record of one run directory; None where it has none yet, or one that cannot be used.

    Args:
        directory: the run directory, or, packed, where that would be in its results folder.
    """
    path = Path(directory) / "record.json"
    if path.exists():
        outcome = read_file(path, f"{path.parent.name}/record.json")
        return outcome if isinstance(outcome, Record) else None
    packed = path.parent.parent / PACKED
    if not packed.is_file() or path.parent.exists():
        return None
    name = path.parent.name
    found = (record for _, record in packed_lines(packed) if isinstance(record, Record) and record.run_id == name)
    return next((record.model_copy(update={"path": f"{name}/record.json"}) for record in found), None)


def read_file(path: Path, name: str, shared: Shared | None = None) -> Record | LeftOut:
    """The record in a file, or why it cannot be used; `name` is its path inside the results folder."""
    try:
        text = read_text(path, LARGEST)
    except OSError as error:
        return LeftOut(name, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        return LeftOut(name, "not UTF-8 text")
    except ValueError as error:
        return LeftOut(name, str(error))
    return parsed(text, name, shared)


def parsed(text: str, name: str, shared: Shared | None = None) -> Record | LeftOut:
    """A record from its JSON text, of whichever schema, or why it cannot be used.

    Args:
        text: of the record.
        name: its path inside the results folder.
        shared: what records read before it have in common with it.
    """
    shared = shared or Shared()
    try:
        content = json.loads(text, parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        return LeftOut(name, f"not valid JSON, damaged or truncated: {error.msg} at line {error.lineno}")
    except RecursionError:
        return LeftOut(name, "nested too deeply")
    except ValueError:  # Python's limit of digits
        return LeftOut(name, "a number has thousands of digits")
    if _depth(content) > DEEPEST:
        return LeftOut(name, "nested too deeply")
    if SURROGATE in text.lower() and not _is_unicode(content):
        return LeftOut(name, "holds text that is not valid Unicode")
    if (ESCAPED.search(text) or control_character(text)) and (wrong := _control_character(content)) is not None:
        return LeftOut(name, f"holds the control character U+{ord(wrong):04X}")
    if not isinstance(content, dict):
        return LeftOut(name, f"expected a JSON object, got {type(content).__name__}")
    if content.get("checksum", None) not in (None, checksum(content)):
        return LeftOut(name, "damaged or edited: its checksum does not match (without the key `checksum` it is read)")
    try:
        if content.get("schema") != SCHEMA:
            from geoequiv.records.upgrade import upgraded  # former schemas are loaded only for records of them

            content = upgraded(content)
        return shared.record(Record.model_validate({**shared.content(content), "path": name}))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        return LeftOut(name, f"does not fit the schema: {where + ': ' if where else ''}{first['msg']}{more}")
    except ValueError as error:
        return LeftOut(name, str(error))


def packed_lines(path: Path) -> Iterator[tuple[int, Record | LeftOut]]:
    """The records of a packed file with their line numbers; a line that cannot be used says why.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        check_size(path, memory() // 8)
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The packed records '{path}' cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"The packed records '{path}' cannot be read: {error}.") from error
    shared = Shared()
    for number, line in enumerate(content.split(b"\n"), 1):
        name = f"{path.name}, line {number}"
        try:
            text = line.decode("utf-8").strip()
        except UnicodeDecodeError:
            yield number, LeftOut(name, "not UTF-8 text")
            continue
        if text:
            yield number, parsed(text, name, shared)


def _read_one(path: Path) -> Records:
    if path.is_file():
        return _packed(path)
    if not path.is_dir():
        raise DataError(
            f"No results folder at '{path}', and no packed file. "
            f"Make one with `geoequiv run SUITE.yaml --output {path}`."
        )
    single, left_out, unfinished = _run_directories(path)
    if (path / PACKED).is_file():
        packed = _packed(path / PACKED, must_hold_one=False)
        ids = {record.run_id for record in single}
        single += [record for record in packed.records if record.run_id not in ids]
        left_out += packed.left_out
        single.sort(key=lambda record: record.path)
    if not single:
        raise DataError(_nothing_to_show(path, left_out, unfinished))
    return Records(tuple(single), tuple(left_out), tuple(unfinished), path)


def _run_directories(directory: Path) -> tuple[list[Record], list[LeftOut], list[str]]:
    try:
        folders = sorted(entry for entry in directory.iterdir() if entry.is_dir())
    except OSError as error:
        raise DataError(f"The results folder '{directory}' cannot be read: {error.strerror}.") from error
    records, left_out, unfinished, shared = [], [], [], Shared()
    for folder in folders:
        path = folder / "record.json"
        if not path.exists():
            if (folder / "config.yaml").exists():
                unfinished.append(folder.name)
            continue
        outcome = read_file(path, f"{folder.name}/record.json", shared)
        if isinstance(outcome, Record):
            records.append(outcome)
        else:
            left_out.append(outcome)
    return records, left_out, unfinished


def _packed(path: Path, must_hold_one: bool = True) -> Records:
    """A packed file; the path of each record is that of the run directory it came from, so that order stays."""
    records: dict[str, Record] = {}
    left_out: list[LeftOut] = []
    for number, outcome in packed_lines(path):
        if isinstance(outcome, LeftOut):
            left_out.append(outcome)
        elif outcome.run_id in records:
            reason = f"the same run as {records[outcome.run_id].path}"
            left_out.append(LeftOut(f"{path.name}, line {number}", reason))
        else:
            records[outcome.run_id] = outcome.model_copy(update={"path": f"{outcome.run_id}/record.json"})
    if not records and must_hold_one:
        named = "; ".join(f"{item.path}: {item.reason}" for item in left_out[:5])
        raise DataError(f"No usable record in '{path}'{'. ' + named if named else ': it is empty'}. Pack it anew.")
    return Records(tuple(sorted(records.values(), key=lambda record: record.path)), tuple(left_out), (), path.parent)


def _same_run(record: Record, counted: Record) -> str:
    """Why a run that is there already does not count again; data may differ, which no run id knows."""
    sums = [card.checksum for card in (record.task_card, counted.task_card) if card is not None]
    if len(sums) == 2 and sums[0] != sums[1]:
        return f"the settings of {counted.path} on other data (checksum {sums[0][:12]}…, there {sums[1][:12]}…)"
    return f"the same run as {counted.path}"


def _depth(content: Any) -> int:
    """How deeply lists and objects are nested; counted up to one more than a record may have."""
    level, depth = [content], 0
    while level and depth <= DEEPEST:
        level = [
            child
            for each in level
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        depth += 1
    return depth


def _control_character(content: Any) -> str | None:
    """The first character of a key or a text that would steer a terminal or a page."""
    if isinstance(content, str):
        return control_character(content)
    if isinstance(content, dict):
        content = [*content, *content.values()]
    found = (_control_character(each) for each in content) if isinstance(content, list) else ()
    return next((wrong for wrong in found if wrong is not None), None)


def _is_unicode(content: Mapping[str, Any] | Any) -> bool:
    """Whether every text can be written as UTF-8: JSON can spell half of a surrogate pair."""
    try:
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _nothing_to_show(directory: Path, left_out: Sequence[LeftOut], unfinished: Sequence[str]) -> str:
    if left_out:
        named = "; ".join(f"{item.path}: {item.reason}" for item in left_out[:5])
        return f"No usable record in '{directory}'. {named}. Delete these folders and run the suite again."
    if unfinished:
        return (
            f"'{directory}' holds {len(unfinished)} unfinished run(s) and no record.json yet. "
            f"Finish them with `geoequiv run SUITE.yaml --output {directory} --resume`."
        )
    return (
        f"'{directory}' holds no */record.json and no {PACKED}. Give the folder that `geoequiv run` wrote, "
        f"or make one with `geoequiv run SUITE.yaml --output {directory}`."
    )
