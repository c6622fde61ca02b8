"""What only a task and a constructor can tell of a suite's options, found before anything is trained."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from geoequiv.bench.runner import build, build_model
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.suite import Place, Suite
from geoequiv.config import Document, KeyPath, Problems
from geoequiv.errors import GeoequivError
from geoequiv.fields import act
from geoequiv.groups import group
from geoequiv.records.identity import canonical
from geoequiv.signals import no_exit
from geoequiv.tasks import Task


def check_construction(suite: Suite, runs: Iterable[RunSpec], tasks: Mapping[str, Task]) -> None:
    """Construct each model with each method once, whatever the number of seeds, and forget it.

    Args:
        suite: its file is named in the error.
        runs: those that are to be trained.
        tasks: `canonical` of a run's task → the task; runs of other tasks are left out.

    Raises:
        ConfigError: a group acts in another dimension than the task's, or a constructor refuses its options; each such
            mistake with file, line and key.
    """
    problems = Problems(suite.document or Document(None, {}, Path(f"{suite.name}.yaml")))
    if suite.align is not None:
        for each in tasks.values():
            _group_fits(suite.align.group, each, problems, ("align", "group"))
    seen = set()
    for spec in runs:
        config = spec.config
        task = tasks.get(canonical(config["task"]))
        kind = canonical({name: config.get(name) for name in ("task", "model", "symmetry", "evaluate")})
        if task is None or kind in seen:
            continue
        seen.add(kind)
        place = suite.places.get(spec.run_id, Place((), (), ()))
        measured = (config.get("evaluate") or {}).get("group"), (*place.evaluate, "group")
        imposed = config["symmetry"].get("group"), (*place.method, "group")
        fits = [_group_fits(name, task, problems, at) for name, at in (measured, imposed)]
        if all(fits):
            _construct(spec, task, problems, place)
    problems.raise_if_any()


def _group_fits(name: object, task: Task, problems: Problems, at: KeyPath) -> bool:
    """Whether a group can act on a task's inputs, of which one is tried; None can."""
    if not isinstance(name, str):
        return True
    few = {key: values[:1] for key, values in task.splits["train"].inputs.items()}
    try:
        acting = group(name)
        task.signature.check_group(acting)
        act(acting.identity(), few, task.signature.inputs)
    except GeoequivError as error:
        problems.add(at, f"{name} cannot act on the data of {task.name}: {error}")
        return False
    return True


def _construct(spec: RunSpec, task: Task, problems: Problems, place: Place) -> None:
    with torch.random.fork_rng(devices=[]):
        try:
            with no_exit("The constructor"):
                model = build_model(spec, task)
        except ValueError as error:
            problems.add(place.model, str(error))
            return
        try:
            with no_exit("The constructor"):
                build(spec, task, model)
        except ValueError as error:
            problems.add(place.method, str(error))
