"""Test-time averaging: trained as the model is, or with augmentation over the same group; averaged in evaluation."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from geoequiv.methods.labels import short_group, with_notes
from geoequiv.methods.method import Trained, objective_of, wrapped

if TYPE_CHECKING:
    from torch import nn

    from geoequiv.tasks import Task

TARGET = "geoequiv.symmetrize:TestTimeAveraging"


def label(options: Mapping[str, Any], claims: str | None) -> str:
    """Group, draws, and what it is trained with.

    >>> label({"group": "O", "training": "augmentation"}, None)
    'test-time averaging O (trained with augmentation)'
    """
    samples = f"{options['num_samples']} samples" if options.get("num_samples") else ""
    trained = options.get("training", "none")
    notes = [each for each in (samples, "" if trained == "none" else f"trained with {trained}") if each]
    return with_notes(f"test-time averaging {short_group(options['group'])}", notes)


def build(model: "nn.Module", task: "Task", options: Mapping[str, Any]) -> Trained:
    """The averaged model, with the objective that its option `training` names."""
    finished = task.finished(wrapped(TARGET, model, task, options))
    if options.get("training") == "augmentation":
        over = {"group": options["group"]}
        return Trained(finished, objective_of("geoequiv.objectives:Augmentation", finished, task, over))
    return Trained(finished, objective_of("geoequiv.objectives:TaskObjective", finished, task, {}))
