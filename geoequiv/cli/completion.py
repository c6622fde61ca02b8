"""Completion in the shell: what can be written where, answered without torch.

argcomplete asks this program at each press of the tab key, so that names come from the catalog as it is installed, and
options of a task from that task. It is an extra; without it nothing here is called.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

#: (what is written so far, the options parsed so far) → what it may become
Completer = Callable[[str, argparse.Namespace], Iterable[str]]

SUITES = (".yaml", ".yml")


def completes(action: argparse.Action, completer: Completer) -> None:
    """Complete the values of an option or argument by a function."""

    def complete(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        return [each for each in completer(prefix, parsed_args) if each.startswith(prefix)]

    vars(action)["completer"] = complete  # where argcomplete looks


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell and leave the process; called where the shell asks (``_ARGCOMPLETE`` is set)."""
    try:
        import argcomplete
    except ImportError:
        print("\ngeoequiv: completion needs argcomplete: pip install 'geoequiv[completion]'", file=sys.stderr)
        sys.exit(1)
    argcomplete.autocomplete(parser, always_complete_options="long")


def models(prefix: str, options: argparse.Namespace) -> Iterable[str]:
    """Names of models."""
    return _names("model")


def tasks(prefix: str, options: argparse.Namespace) -> Iterable[str]:
    """Names of tasks."""
    return _names("task")


def _names(kind: str) -> Iterable[str]:
    from geoequiv import catalog

    return catalog.names(kind)


def groups(prefix: str, options: argparse.Namespace) -> Iterable[str]:
    """Names of groups, an example of each kind."""
    from geoequiv.groups.parsing import EXAMPLES

    return EXAMPLES


def suites(prefix: str, options: argparse.Namespace) -> Iterable[str]:
    """Suite files, and folders that lead to some."""
    folder = Path(prefix) if prefix.endswith("/") else Path(prefix).parent
    shown = prefix[: prefix.rfind("/") + 1]
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") and not prefix.rpartition("/")[2].startswith("."):
            continue
        if path.is_dir():
            yield f"{shown}{path.name}/"
        elif path.suffix in SUITES:
            yield f"{shown}{path.name}"


def options_of_task(prefix: str, options: argparse.Namespace) -> Iterator[str]:
    """``OPTION=`` of the task that is named before it, with ``true`` and ``false`` or its choices where it has some."""
    from geoequiv import catalog
    from geoequiv.bench.options import options_of

    if options.task not in catalog.names("task"):
        return
    found = options_of(catalog.declaration("task", options.task), frozenset({"data_dir"}))
    for name in found.names:
        yield from _assignments(name, found.annotations.get(name), prefix)


def overrides(prefix: str, options: argparse.Namespace) -> Iterator[str]:
    """``KEY=`` of the sections of a suite, with ``true`` and ``false`` or the choices of a key that has some."""
    from geoequiv.measurements.barriers.settings import AlignConfig
    from geoequiv.measurements.settings import EvaluateConfig
    from geoequiv.training.config import TrainConfig

    for name, section in (("train", TrainConfig), ("evaluate", EvaluateConfig), ("align", AlignConfig)):
        for key, field in section.model_fields.items():
            yield from _assignments(f"{name}.{key}", field.annotation, prefix)
    yield "seeds="


def _assignments(name: str, annotation: Any, prefix: str) -> Iterator[str]:
    from typing import Literal, get_args, get_origin

    if not prefix.startswith(f"{name}="):
        yield f"{name}="
    elif annotation is bool:
        yield from (f"{name}=true", f"{name}=false")
    elif get_origin(annotation) is Literal:
        yield from (f"{name}={each}" for each in get_args(annotation))


def listed(lists: Mapping[str, Callable[[], Iterable[tuple[str, str]]]]) -> Completer:
    """Names of the list that is chosen before them."""

    def complete(prefix: str, options: argparse.Namespace) -> Iterator[str]:
        return (name for name, _ in lists[options.what]()) if options.what in lists else iter(())

    return complete
