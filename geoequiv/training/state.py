"""The whole state of a run as plain data, and back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoequiv.errors import DataError
from geoequiv.training.module import TrainingModule
from geoequiv.training.progress import Progress

PLAIN = ("epoch", "batch", "steps", "seconds", "best_epoch", "best_value", "best_weights", "rows", "finished")


def capture(module: TrainingModule) -> dict[str, Any]:
    """All state of a run: weights, optimizer, objective, average, position, results.

    The random streams and the schedule have none: both are functions of the position.

    Raises:
        RunError: a loss of the current epoch is not finite (such a state is not saved).
    """
    progress = module.progress
    objective = getattr(module.objective, "state_dict", None)
    return {
        "model": module.model.state_dict(),
        "optimizer": module.optimizer.state_dict(),
        "scaler": module.scaler.state_dict(),
        "objective": objective() if objective is not None else None,
        "average": module.average.shadow if module.average is not None else None,
        "progress": {name: getattr(progress, name) for name in PLAIN}
        | {"losses": progress.loss_table().tolist(), "loss_names": list(progress.loss_names)},
    }


def restore(module: TrainingModule, state: Mapping[str, Any], path: Path) -> None:
    """Restore a captured state.

    Args:
        module: built like the one that was captured.
        state: what `capture` returned.
        path: of the checkpoint, for the message.

    Raises:
        DataError: the state is of another model, objective or optimizer.
    """
    try:
        module.model.load_state_dict(state["model"])
        module.optimizer.load_state_dict(state["optimizer"])
        if module.scaler.is_enabled():
            module.scaler.load_state_dict(state["scaler"])
        if state["objective"] is not None:
            module.objective.load_state_dict(state["objective"])
        if module.average is not None:
            module.average.load(state["average"])
        restore_progress(module.progress, state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            f"The checkpoint {path} does not fit this model or objective ({reason}). "
            "Train in another directory, or delete the checkpoint."
        ) from error


def restore_progress(progress: Progress, state: Mapping[str, Any]) -> None:
    """Restore a captured position and its results."""
    for name in PLAIN:
        setattr(progress, name, state["progress"][name])
    progress.losses = list(state["progress"]["losses"])
    progress.loss_names = tuple(state["progress"]["loss_names"])
