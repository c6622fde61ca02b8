"""Where and how runs are computed: one frozen value that every function of the bench takes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geoequiv.errors import ConfigError, unknown

if TYPE_CHECKING:
    import torch
    from rich.console import Console

ENGINES = ("local", "slurm")
DEVICE = re.compile(r"cpu|cuda(:\d+)?|mps|auto")


@dataclass(frozen=True)
class Slurm:
    """How the engine "slurm" makes its jobs: an array, each element of which does some runs.

    Attributes:
        partition: to which they are submitted; None for the cluster's usual one.
        minutes: time limit of a job. A job that reaches it saves its training and is queued again.
        gpus: of a job.
        cpus: of a job, and threads of its computations.
        array_parallelism: jobs at the same time.
        runs_per_task: runs that one job does, one after the other.
        wait: whether the command waits until the jobs have ended.
        sbatch: more options of `sbatch`, such as ("account", "physics").
    """

    partition: str | None = None
    minutes: int = 60
    gpus: int = 0
    cpus: int = 1
    array_parallelism: int = 64
    runs_per_task: int = 1
    wait: bool = False
    sbatch: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Session:
    """Device, number of processes, data cache and console of a command.

    Nothing of it changes what a run is. A session without a console can be pickled: workers are started with one.

    Attributes:
        device: "cpu", "cuda", "cuda:1", "mps", or "auto", which takes a GPU where there is one.
        jobs: runs at the same time, each in a process of its own; 1 means in this process.
        engine: what starts the processes, one of `ENGINES`.
        slurm: how the engine "slurm" makes its jobs; None for another engine.
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
    jobs: int = 1
    engine: str = "local"
    slurm: Slurm | None = None
    data_dir: Path | None = None
    console: "Console | None" = None

    def __post_init__(self) -> None:
        if not DEVICE.fullmatch(self.device):
            raise ConfigError(unknown("device", self.device, ("cpu", "cuda", "cuda:N", "mps", "auto")))
        if self.engine not in ENGINES:
            raise ConfigError(unknown("engine", self.engine, ENGINES))
        if (self.engine == "slurm") != (self.slurm is not None):
            raise ConfigError(f"The engine '{self.engine}' does not go with slurm={self.slurm}.")
        if self.slurm is not None and self.jobs != 1:
            raise ConfigError(f"The engine 'slurm' does one run at a time in each job; got {self.jobs} at a time.")
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


#: On the CPU, one run after the other, with the usual data cache and no output.
DEFAULT = Session()
