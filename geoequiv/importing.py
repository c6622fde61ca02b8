"""Objects named by path: ``package.module:object``, imported when they are asked for."""

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from geoequiv.errors import GeoequivError, unknown
from geoequiv.signals import Ended


def import_object(kind: str, path: str) -> Any:
    """Import what ``package.module:object`` names. This runs the module's code.

    The current directory is on the import path for this, so that a file beside a suite can be named.

    Args:
        kind: what the object is meant to be, such as "model", for messages.
        path: ``package.module:object``; ``module:Class.method`` reaches into the object.

    Raises:
        GeoequivError: the path is not of this form, the module cannot be imported, or has no such object.
    """
    module_name, colon, attribute = path.partition(":")
    if not (colon and module_name and attribute):
        raise GeoequivError(f"Your own {kind} is written 'package.module:object', got '{path}'.")
    ours = module_name.split(".")[0] == "geoequiv"
    if not ours and os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except (KeyboardInterrupt, Ended):
        raise
    except SystemExit as error:
        raise GeoequivError(
            f"Cannot import the {kind} '{path}': importing {module_name} calls sys.exit({error.code!r}). "
            'Put what the file runs as a program under: if __name__ == "__main__".'
        ) from error
    except BaseException as error:  # whatever the code of a user raises
        raise GeoequivError(f"Cannot import the {kind} '{path}': {type(error).__name__}: {error}.") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [each for each in vars(found) if not each.startswith("_")]
            raise GeoequivError(unknown(f"object in '{module_name}'", part, public))
        found = getattr(found, part)
    return found


def lazy_names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package that imports each public name from its module when it is first asked for.

    Args:
        package: its ``__name__``.
        homes: public name → the submodule that defines it.

    >>> lazy_names("geoequiv", {"unknown": "errors"})("unknown")("model", "a", ["b"])
    "Unknown model 'a'. Available: b."
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        found = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, found)
        return found

    return find
