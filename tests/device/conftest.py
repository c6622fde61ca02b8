"""The pretend accelerator is registered with torch for good: its tests run in a process of their own."""

import os
from pathlib import Path

#: set in that process
APART = "GEOEQUIV_PRETEND_DEVICE"
#: files that need no pretend accelerator
HERE = {"test_apart.py"}


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what belongs to the other process; importing `pretend` for its doctests registers it as well."""
    if collection_path.suffix != ".py" or collection_path.name in ("__init__.py", "conftest.py"):
        return None
    return True if (collection_path.name in HERE) == (APART in os.environ) else None
