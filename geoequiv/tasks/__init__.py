"""Benchmark tasks: splits, signature, loss, metric and published numbers, one task a file.

What they are made of is in `data` (files, downloads, formats) and in `simulation`.

The public names are imported on first use: simulating and listing data then do without torch.
"""

from importlib import import_module
from typing import Any

#: public name → the file it lives in
PUBLIC = {
    "Head": "task",
    "Metric": "task",
    "Reference": "reference",
    "Split": "task",
    "Task": "task",
    "data_directory": "data.cache",
    "list_cached": "data.cache",
    "verify": "data.cache",
}

__all__ = list(PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'geoequiv.tasks' has no attribute '{name}'")
    globals()[name] = getattr(import_module(f"geoequiv.tasks.{PUBLIC[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(PUBLIC)
