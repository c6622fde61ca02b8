"""Where and how runs are computed: one frozen value that every function of the bench takes."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoequiv.errors import ConfigError, unknown

if TYPE_CHECKING:
    import torch
    from rich.console import Console
    from torch import nn

#: "32": all in float32; "bf16-mixed": the model's products in bfloat16, its weights and the losses in float32.
PRECISIONS = ("32", "bf16-mixed")
ENGINES = ("local",)
DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps|auto")


@dataclass(frozen=True)
class Session:
    """Device, precision, number of processes, data cache and console of a command.

    Nothing of it changes what a run is, except precision and compile, which a run's identity has where they are not the
    default (see `RunSpec.of`). A session without a console can be pickled: workers are started with one.

    Attributes:
        device: "cpu", "cuda", "cuda:1", "mps", or "auto", which takes a GPU where there is one.
        precision: of training steps, and of the model when it is measured, one of `PRECISIONS`.
        compile: whether models go through `torch.compile` before they are trained.
        jobs: runs at the same time, each in a process of its own; 1 means in this process.
        engine: what starts the processes, one of `ENGINES`.
        data_dir: the data cache; None means $GEOEQUIV_DATA, or else ~/.cache/geoequiv.
        console: where progress goes; None means nowhere.

    Raises:
        ConfigError: a value is none of these.

    Examples:
        >>> Session(device="cuda:1").device
        'cuda:1'
        >>> Session(device="gpu")
        Traceback (most recent call last):
        ...
        geoequiv.errors.ConfigError: Unknown device 'gpu'. Did you mean 'cpu'? Available: cpu, cuda, cuda:N, mps, auto.
    """

    device: str = "cpu"
    precision: str = "32"
    compile: bool = False
    jobs: int = 1
    engine: str = "local"
    data_dir: Path | None = None
    console: "Console | None" = None

    def __post_init__(self) -> None:
        if not DEVICE.fullmatch(self.device):
            raise ConfigError(unknown("device", self.device, ("cpu", "cuda", "cuda:N", "mps", "auto")))
        if self.precision not in PRECISIONS:
            raise ConfigError(unknown("precision", self.precision, PRECISIONS))
        if self.engine not in ENGINES:
            raise ConfigError(unknown("engine", self.engine, ENGINES))
        if self.jobs < 1:
            raise ConfigError(f"The number of jobs must be 1 or more; got {self.jobs}.")

    @property
    def torch_device(self) -> "torch.device":
        """The device, "auto" resolved.

        Raises:
            ConfigError: this machine has no such device.
        """
        import torch

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        mps = torch.backends.mps.is_available()
        if self.device == "auto":
            return torch.device("cuda" if gpus else "mps" if mps else "cpu")
        asked = torch.device(self.device)
        if (asked.type == "cuda" and (asked.index or 0) >= gpus) or (asked.type == "mps" and not mps):
            has = [*(f"cuda:{index}" for index in range(gpus)), *(["mps"] if mps else []), "cpu"]
            raise ConfigError(f"This machine has no device '{self.device}'. Available: {', '.join(has)}.")
        return asked

    @property
    def progress(self) -> bool:
        """Whether a progress bar is shown: where the console is a terminal."""
        return self.console is not None and self.console.is_terminal

    @contextmanager
    def casting(self, model: "nn.Module | Callable[..., Any]") -> Iterator[None]:
        """Let a model compute in this precision for as long as the context lasts.

        Only the model does: the group elements that its inputs are transformed by, and metrics of what it returns, are
        as precise as ever. What it returns in bfloat16 is returned in float32.

        Raises:
            ConfigError: the model is no module, so that its calls cannot be intercepted.
        """
        if self.precision == "32":
            yield
            return
        import torch

        if not isinstance(model, torch.nn.Module):
            raise ConfigError(f"Precision {self.precision} needs an nn.Module; the model is a {type(model).__name__}.")
        device, entered = self.torch_device.type, []

        def enter(*_: Any) -> None:
            context = torch.autocast(device, dtype=torch.bfloat16)
            context.__enter__()
            entered.append(context)

        def leave(_module: Any, _inputs: Any, outputs: Any) -> Any:
            entered.pop().__exit__(None, None, None)
            return _single(outputs)

        handles = [
            model.register_forward_pre_hook(enter, prepend=True),
            model.register_forward_hook(leave, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def _single(outputs: Any) -> Any:
    """Tensors in bfloat16 as float32, in dicts, lists and tuples as well."""
    import torch

    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.dtype == torch.bfloat16 else outputs
    if isinstance(outputs, dict):
        return {name: _single(each) for name, each in outputs.items()}
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return type(outputs)(*map(_single, outputs))
    if isinstance(outputs, list | tuple):
        return type(outputs)(map(_single, outputs))
    return outputs


#: On the CPU, one run after the other, with the usual data cache and no output.
DEFAULT = Session()
