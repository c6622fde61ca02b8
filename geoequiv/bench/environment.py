"""What a number was computed with: versions, hardware, git commit."""

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from geoequiv import __version__
from geoequiv.precision import TF32
from geoequiv.session import DEFAULT, Session

PACKAGES = {
    "torch": "torch",
    "torch_geometric": "torch-geometric",
    "e3nn": "e3nn",
    "lightning": "lightning",
    "numpy": "numpy",
}


@cache
def _described() -> tuple[tuple[str, Any], ...]:
    commit, dirty = _git()
    return (
        ("geoequiv", __version__),
        *((name, _version(package)) for name, package in PACKAGES.items()),
        ("python", platform.python_version()),
        ("platform", platform.platform()),
        ("cpu", _cpu()),
        ("cores", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        ("git_commit", commit),
        ("git_dirty", dirty),
    )


def environment(session: Session = DEFAULT, precision: str = "32", compiled: bool = False) -> dict[str, Any]:
    """Versions of the packages that decide the numbers, the git commit (None outside a checkout), and the machine.

    Of the machine: the processor, its cores and the threads in use, the device, its name, the precision, and whether
    products or convolutions of float32 may be rounded to TF32.

    Args:
        session: where it is computed.
        precision: in which the numbers are computed.
        compiled: whether a model was trained through `torch.compile`.
    """
    device = session.torch_device
    return {
        **dict(_described()),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu(),
        "precision": precision,
        "tf32": TF32,
        **({"compile": True} if compiled else {}),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        return platform.processor() or platform.machine()
    return platform.processor() or platform.machine()


def _git() -> tuple[str | None, bool | None]:
    """Commit and whether tracked files differ from it: of this package if git tracks it, else of the current folder."""
    here = Path(__file__).resolve().parent
    tracked = _run_git(here, "ls-files", "--error-unmatch", Path(__file__).name) is not None
    folder = here if tracked else Path.cwd()
    commit = _run_git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None, None
    return commit, bool(_run_git(folder, "status", "--porcelain", "--untracked-files=no"))


def _run_git(folder: Path, *arguments: str) -> str | None:
    if (git := shutil.which("git")) is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  (fixed arguments)
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
