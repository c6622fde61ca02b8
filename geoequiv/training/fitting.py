"""Train a model on a task in a run directory, from the start or from its checkpoint."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from geoequiv.errors import ConfigError, RunError, unknown
from geoequiv.signals import Ended
from geoequiv.training.config import TrainConfig
from geoequiv.training.evaluate import check_outputs
from geoequiv.training.files import make_folder
from geoequiv.training.interrupt import Interrupted, Interrupts
from geoequiv.training.progress import FitResult

#: Others of Lightning's (16-mixed) need the loss to be scaled, which a step here does not do.
PRECISIONS = ("32", "bf16-mixed")


def fit(
    model: nn.Module,
    objective: Callable[..., Any],
    task: Any,
    config: TrainConfig,
    *,
    seed: int,
    directory: str | Path,
    device: str | torch.device = "cpu",
    precision: str = "32",
    compile: bool = False,
    progress: bool = True,
) -> FitResult:
    """Train a model; on return it holds the weights of its best validation and is in evaluation mode.

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
        precision: of training steps, as Lightning names it: "32", or "bf16-mixed", which autocasts; validation and the
            weights are in float32.
        compile: whether to apply ``torch.compile`` to the model.
        progress: show a progress bar on stderr.

    Returns:
        The outcome.

    Raises:
        ModelOutputError: outputs of the wrong shape, missing, or not finite at validation.
        ConfigError: this precision is not supported.
        RunError: a loss is not finite; the directory cannot be written or belongs to another run.
        DataError: the checkpoint is damaged, or of another model.
        KeyboardInterrupt: on Ctrl-C, after the state was saved.
        Ended: a SystemExit, on SIGTERM (143), SIGHUP (129) and SIGUSR1 (138), likewise; not where the caller has a
            handler of its own, which is then called.

    Exactness: the resumed run is equal bit for bit on the same machine with the same number of threads, on a CPU, and
    on a GPU with `config.deterministic`.
    """
    directory, device = Path(directory), torch.device(device)
    if precision not in PRECISIONS:
        raise ConfigError(unknown("precision", precision, PRECISIONS))
    make_folder(directory)
    if device.type == "cuda" and config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts; without it, it may not
    model.to(device)
    if isinstance(objective, nn.Module):
        objective.to(device)
    check_outputs(model, task, config.batch_size)
    if compile:
        model.compile()
    interrupts = Interrupts()
    try:
        with interrupts:
            from geoequiv.training.engine import train  # imports Lightning, which takes seconds: only when needed

            result = train(model, objective, task, config, seed, directory, device, precision, progress, interrupts)
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
