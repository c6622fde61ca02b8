"""The pages of the reference that are made from the code: docs/reference/suite.md and docs/reference/commands.md.

    python docs/generate.py

writes both. A test compares the committed pages with what this script makes.
"""

import argparse
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from geoequiv import catalog
from geoequiv.bench.options import options_of
from geoequiv.bench.sections import EntrySection, SuiteSection
from geoequiv.bench.spec import RESERVED, RESERVED_OF_TASKS
from geoequiv.cli import command
from geoequiv.config import Section
from geoequiv.declared import Declaration
from geoequiv.measurements import MEASUREMENTS, RANKING
from geoequiv.measurements.barriers.settings import AlignConfig
from geoequiv.measurements.settings import EvaluateConfig
from geoequiv.methods import FAMILIES, METHODS
from geoequiv.section_keys import as_yaml, keys_of
from geoequiv.training.config import TrainConfig

REFERENCE = Path(__file__).parent / "reference"

SUITE = """\
# Every key of a suite

A suite is a YAML file: models × methods × seeds on one task. `geoequiv run` checks all of it before anything is trained
and reports every problem with file, line and key. This page is made from the code by `python docs/generate.py`;
`geoequiv list train` (or `models`, `methods`, `tasks`, `frames`, `measurements`, …) prints the same.

```yaml
# example.yaml
name: example
task: {name: nbody/charged, train: 500}
train: {epochs: 60, lr: 1e-3}
evaluate: {group: SE(3)}
seeds: [0, 1, 2]
entries:
  - model: [gnn, {name: transformer, width: [32, 64]}]
    symmetry: [none, {remul: {group: SO(3), beta: [0.1, 1, 10]}}, {frame_averaging: {group: SE(3), frame: minimal}}]
  - model: egnn
    train: {lr: 5e-4}
```

Models and methods are written as a name, as `{name: …, option: value}`, or as a list of these; tasks in the first two
ways. A method can also be written `{name: {option: value}}`. An option that is a list is a sweep: one run per value.

## Top level

{top}

## An entry

{entry}

## `train`

How a model is trained. A setting of an entry overrides that of the suite.

{train}

## `evaluate`

How a trained model is measured. It is no part of the identity of a run: finished runs are measured again from their
checkpoints when it changes, and nothing is trained.

{evaluate}

## `align`

Which transformed copies every trained network is merged with, and how their units are matched: see
[look inside a trained network](../how-to/look-inside.md). No part of the identity of a run either.

{align}

## Methods

The key `symmetry` of an entry. Your own is written `module:METHOD`, see
[add your own](../how-to/add-your-own.md#a-method).

{methods}

The families, which give markers and colors on the boards:

{families}

## Frames

The option `frame` of `frame_averaging`: a name, `{name: …, option: value}`, or your own `module:Class`.
[Choosing a frame](../explanation/choosing-a-frame.md) compares them.

{frames}

## Models

The key `model` of an entry. [Models](models.md) has their size, cost and references.

{models}

## Tasks

The key `task` of a suite. Every task also takes `limit`, the largest number of items of each split.

{tasks}

## Numbers

What is measured, by its key in records and in the JSON of a board. The last part of
`metric/split/…` and the like is a name.
`measure: ["module:function"]` adds your own, see [add your own](../how-to/add-your-own.md#a-measurement).

{numbers}
"""

COMMANDS = """\
# Commands

Every command and option of `geoequiv`, made from the code by `python docs/generate.py`. `geoequiv COMMAND --help`
prints the same with examples. Every command also takes `--debug`, which shows the traceback of an error.

| command | |
|---|---|
{overview}

## Exit status

{statuses}

## Completion in the shell

`pip install 'geoequiv[completion]'`, and `eval "$(register-python-argcomplete geoequiv)"` in `.bashrc`, or in `.zshrc`
after `compinit`. The tab key then completes commands, options, names of models, tasks, methods, frames and groups,
suite files, and options of a task (`geoequiv data make nbody/charged tr`). It asks the installed program, by
[argcomplete](https://kislyuk.github.io/argcomplete/), so that nothing has to be set up anew after an update.

{commands}
"""


def cell(text: object) -> str:
    """Text as one cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("<", "&lt;")


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table."""
    lines = [list(head)]
    lines.append(["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(map(cell, row)) + " |" for row in [*lines, *rows])


def linked(meaning: str) -> str:
    """Names of sections as links to their tables."""
    names = {"TrainConfig": "train", "EvaluateConfig": "evaluate", "AlignConfig": "align", "EntrySection": "an-entry"}
    for name, anchor in names.items():
        meaning = meaning.replace(f"`{name}`", f"[{anchor.replace('-', ' ')}](#{anchor})")
    return meaning


def section(model: type[Section]) -> str:
    """The keys of a section of a suite."""
    return table(
        ("key", "meaning", "type", "default"),
        (
            (f"`{key.name}`", linked(key.meaning), key.type, "required" if key.default is None else f"`{key.default}`")
            for key in keys_of(model)
        ),
    )


def described(declarations: Iterable[tuple[str, Declaration]], reserved: frozenset[str]) -> str:
    """Names with what their docstrings say, and their options with defaults."""
    rows = []
    for name, declaration in declarations:
        found = options_of(declaration, reserved)
        taken = [
            f"`{each}: {as_yaml(found.defaults[each])}`" if each in found.defaults else f"`{each}`"
            for each in found.names
        ]
        rows.append((f"`{name}`", declaration.summary, ", ".join(taken)))
    return table(("name", "what it is", "options: defaults"), rows)


def of_catalog(kind: str, reserved: frozenset[str]) -> str:
    """All names of a kind."""
    return described(((name, catalog.declaration(kind, name)) for name in catalog.names(kind)), reserved)


def numbers() -> str:
    """The table of measurements; of the errors over the own group and before training, the first stands for all."""
    rows = []
    for row in MEASUREMENTS:
        prefix, _, error = row.key.partition("/")
        if prefix in ("own", "before") and error != "relative":
            continue
        named = row.of(f"{row.key}/{row.example}" if row.qualified else row.key)
        keys = f"`{named.key}`" if prefix not in ("own", "before") else f"`{row.key}`, `{prefix}/E`, …"
        hint = "The metric of the task, which ranks the rows" if row.key == RANKING else named.hint
        rows.append((keys, named.title, hint, named.unit, named.better or ""))
    return table(("key", "title", "meaning", "unit", "better"), rows)


def suite_page() -> str:
    """docs/reference/suite.md."""
    parts = {
        "top": section(SuiteSection),
        "entry": section(EntrySection),
        "train": section(TrainConfig),
        "evaluate": section(EvaluateConfig),
        "align": section(AlignConfig),
        "methods": described(((name, method.declaration) for name, method in METHODS.items()), RESERVED),
        "families": table(("family", "name", "meaning"), ((f"`{f.key}`", f.name, f.meaning) for f in FAMILIES)),
        "frames": of_catalog("frame", RESERVED | {"group"}),
        "models": of_catalog("model", RESERVED),
        "tasks": of_catalog("task", RESERVED_OF_TASKS),
        "numbers": numbers(),
    }
    return re.sub(r"^\{(\w+)\}$", lambda match: parts[match[1]], SUITE, flags=re.MULTILINE)


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, help and parser of each subcommand."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, inner in action.choices.items():
                yield name, helps.get(name, ""), inner


def arguments(parser: argparse.ArgumentParser) -> str:
    """Arguments and options of a command as a table."""
    rows = []
    for action in parser._actions:
        if action.dest == "debug" or isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        value = action.metavar if isinstance(action.metavar, str) else ""
        if not value and action.choices:
            value = "{" + ",".join(map(str, action.choices)) + "}"
        value = value or ("" if action.nargs == 0 else action.dest.upper())
        names = ", ".join(action.option_strings)
        rows.append((f"`{f'{names} {value}'.strip()}`", (action.help or "").replace("%%", "%")))
    return table(("argument", "meaning"), rows) if rows else ""


def command_sections(parser: argparse.ArgumentParser, name: str, depth: int) -> Iterator[str]:
    """One section a command, with its subcommands."""
    yield f"{'#' * depth} geoequiv {name}"
    if parser.description:
        yield f"```text\n{parser.description.strip()}\n```"
    if found := arguments(parser):
        yield found
    for inner, _, each in subcommands(parser):
        yield from command_sections(each, f"{name} {inner}", depth + 1)


def commands_page() -> str:
    """docs/reference/commands.md."""
    parser = command.make_parser()
    statuses = table(("status", "meaning"), command.EXIT_STATUS.items())
    found = list(subcommands(parser))
    overview = "\n".join(f"| [`geoequiv {name}`](#geoequiv-{name}) | {cell(text)} |" for name, text, _ in found)
    sections = "\n\n".join(part for name, _, each in found for part in command_sections(each, name, 2))
    filled = COMMANDS.replace("{overview}", overview).replace("{statuses}", statuses)
    return filled.replace("{commands}", sections)


PAGES = {"suite.md": suite_page, "commands.md": commands_page}


if __name__ == "__main__":
    for page, make in PAGES.items():
        (REFERENCE / page).write_text(make(), encoding="utf-8")
        print(f"Wrote {REFERENCE / page}")
