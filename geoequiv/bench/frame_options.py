"""A frame as a suite writes it: its name and its options, checked without making it."""

from collections.abc import Mapping
from typing import Any

from geoequiv import catalog
from geoequiv.bench.options import options_of, why_not
from geoequiv.config import KeyPath, Problems
from geoequiv.errors import GeoequivError, unknown

#: Parameters of a frame that a suite cannot set.
RESERVED = frozenset({"group", "generator"})


def check_frame(written: Any, problems: Problems, at: KeyPath) -> None:
    """Note what is wrong with `pca`, `{name: weighted, threshold: 0.5}` or `{name: stochastic, of: minimal}`.

    What only the frame of a group can tell is found when it is made, before any training.

    Args:
        written: what the file says.
        problems: where problems are noted.
        at: key path of `written` in the file.
    """
    name = written.get("name") if isinstance(written, Mapping) else written
    if not isinstance(name, str):
        problems.add(at, f"expected a frame's name or {{name: …, options}}, got {written!r}.")
        return
    try:
        declaration = catalog.declaration("frame", name)
    except GeoequivError as error:
        problems.add(at, str(error))
        return
    known = options_of(declaration, RESERVED)
    options = {key: value for key, value in written.items() if key != "name"} if isinstance(written, Mapping) else {}
    for option, value in options.items():
        if option not in known.names and not known.open:
            hint = unknown(f"option of frame '{name}'", str(option), known.names)
            problems.add((*at, option), hint if known.names else f"Frame '{name}' takes no options, got '{option}'.")
        elif option == "of":
            check_frame(value, problems, (*at, option))
        elif message := why_not(known.annotations.get(option, Any), value):
            problems.add((*at, option), message)
