"""Objects named by path: ``package.module:object``, imported when they are asked for."""

import importlib
import os
import sys
from typing import Any

from geoequiv.errors import GeoequivError, unknown


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
    except Exception as error:
        raise GeoequivError(f"Cannot import the {kind} '{path}': {type(error).__name__}: {error}.") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [each for each in vars(found) if not each.startswith("_")]
            raise GeoequivError(unknown(f"object in '{module_name}'", part, public))
        found = getattr(found, part)
    return found
