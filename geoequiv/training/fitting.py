"""Train a model on a task in a run directory, from the start or from its checkpoint."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from geoequiv.errors import RunError
from geoequiv.precision import arithmetic
from geoequiv.signals import Ended
from geoequiv.training.config import TrainConfig
from geoequiv.training.devices import check_devices
from geoequiv.training.evaluate import check_outputs
from geoequiv.training.files import make_folder
from geoequiv.training.interrupt import Interrupted, Interrupts
from geoequiv.training.progress import FitResult


def fit(
    model: nn.Module,
    objective: Callable[..., Any],
    task: Any,
    config: TrainConfig,
    *,
    seed: int,
    directory: str | Path,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> FitResult:
    """Train a model; on return it holds the weights of its best validation and is in evaluation mode.

    In a mixed precision only training steps are; validation and the weights are in float32. With precision 64 the model
    and all items are float64. A compiled model is as it was, not compiled, on return.

    Writes `log.csv` (a row per epoch) and `checkpoint.ckpt` into `directory`; if there is a checkpoint, the
    training resumes from it and ends with the same numbers as without the interruption.

    Args:
        model: called with the named input fields; trained in place and moved to `device`.
        objective: callable (inputs, targets) → NamedTuple whose first field `total` is differentiated; calls the model.
            Its torch.Generator, if it has one as `generator`, is seeded at every step; its `at_step(step, total)`, if
            it has one, is called before each step with the number of steps done and of all steps. An `nn.Module`, or
            anything else with `state_dict` and `load_state_dict`, has its state in the checkpoint; own parameters of an
            `nn.Module` are trained with the model's.
        task: has name, signature, symmetry, metric and splits "train" and "val".
        config: the options.
        seed: decides the order of the items and every random draw during training (not the initial weights).
        directory: the run directory; created.
        device: "cpu", "cuda", "cuda:1", …
        progress: show a progress bar on stderr.

    Returns:
        The outcome.

    Raises:
        ModelOutputError: outputs of the wrong shape, missing, or not finite at validation.
        ConfigError: the device lacks this precision, or the machine so many devices.
        RunError: a loss is not finite; a kernel is not deterministic; the directory cannot be written or belongs to
            another run.
        DataError: the checkpoint is damaged, or of another model.
        KeyboardInterrupt: on Ctrl-C, after the state was saved.
        Ended: a SystemExit, on SIGTERM (143), SIGHUP (129), SIGUSR1 (138) and SIGUSR2 (140), likewise; not where
            the caller has a handler of its own, which is then called.

    Exactness: the resumed run is equal bit for bit on the same machine with the same number of threads, on a CPU, and
    on a GPU with `config.deterministic`.
    """
    directory, device = Path(directory), torch.device(device)
    check_devices(device, config.devices)
    with arithmetic(config.precision, device, config.deterministic):
        make_folder(directory)
        dtype = torch.float64 if config.precision == "64" else None
        task = task if dtype is None else task.to(dtype)
        model.to(device, dtype)
        if isinstance(objective, nn.Module):
            objective.to(device, dtype)
        check_outputs(model, task, config.batch_size)
        if config.compile:
            model.compile()
        try:
            return _train(model, objective, task, config, seed, directory, device, progress)
        finally:
            model._compiled_call_impl = None  # what `compile` has set


def _train(
    model: nn.Module,
    objective: Callable[..., Any],
    task: Any,
    config: TrainConfig,
    seed: int,
    directory: Path,
    device: torch.device,
    progress: bool,
) -> FitResult:
    """Train, and leave as a signal demands that came meanwhile."""
    interrupts = Interrupts()
    try:
        with interrupts:
            from geoequiv.training.engine import train  # imports Lightning, which takes seconds: only when needed

            result = train(model, objective, task, config, seed, directory, device, progress, interrupts)
    except Interrupted as stop:
        _leave(stop.signum, stop.saved, directory)
    except (Exception, SystemExit) as error:
        if interrupts.signum is not None:  # Lightning raises a SystemExit of its own on SIGTERM
            _leave(interrupts.signum, False, directory)
        if isinstance(error, SystemExit):
            raise RunError(f"The model or its objective called sys.exit({error.code!r}) during training.") from error
        raise
    if interrupts.signum is not None:  # it came after the last step
        _leave(interrupts.signum, True, directory)
    return result


def _leave(signum: int, saved: bool, directory: Path) -> NoReturn:
    """Exit as the signal demands, after the former handlers were restored."""
    if signum != signal.SIGINT:
        if callable(signal.getsignal(signum)):
            signal.raise_signal(signum)  # the caller's own handler
        raise Ended(signum)
    state = "its state was saved" if saved else "its last checkpoint is kept"
    raise KeyboardInterrupt(f"Training in {directory} was interrupted; {state}: run it again to go on from there.")
