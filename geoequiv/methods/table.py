"""The table of methods: one row each. What they build is imported when it is built."""

from collections.abc import Mapping
from typing import Any

from geoequiv.errors import GeoequivError, unknown
from geoequiv.importing import import_object
from geoequiv.methods import labels, remul, test_time
from geoequiv.methods.method import Method

_ROWS = (
    Method.objective("geoequiv.objectives:TaskObjective", name="none", family="none", label=labels.none_label),
    Method.objective(
        "geoequiv.objectives:Augmentation", name="augmentation", family="augmentation", label=labels.augmentation_label
    ),
    Method.objective("geoequiv.objectives:REMUL", name="remul", family="remul", label=remul.label, check=remul.check),
    Method.objective(
        "geoequiv.objectives:InvarianceLoss", name="invariance_loss", family="invariance", label=labels.invariance_label
    ),
    Method.objective(
        "geoequiv.objectives:LatentEquivariance", name="latent_equivariance", family="latent", label=labels.latent_label
    ),
    Method("test_time_averaging", "test_time", test_time.TARGET, test_time.label, test_time.build),
    Method.wrapper(
        "geoequiv.symmetrize:FrameAveraging", name="frame_averaging", family="frame", label=labels.frame_label
    ),
    Method.wrapper(
        "geoequiv.symmetrize:GroupAveraging", name="group_averaging", family="group", label=labels.group_label
    ),
)
#: name → method
METHODS: Mapping[str, Method] = {row.name: row for row in _ROWS}


def method(name: str) -> Method:
    """The method of a name, or a user's own by ``package.module:OBJECT``, which is imported.

    >>> method("remul").family
    'remul'

    Raises:
        GeoequivError: there is none (the nearest name is given), or the object is no `Method`.
    """
    if name in METHODS:
        return METHODS[name]
    if ":" not in name:
        raise GeoequivError(f"{unknown('method', name, METHODS)} Your own method is written 'package.module:METHOD'.")
    found = import_object("method", name)
    if isinstance(found, Method):
        return found
    module, _, attribute = name.partition(":")
    raise GeoequivError(
        f"'{name}' is a {type(found).__name__}, not a Method. Declare one beside it in {module}, and name that:\n"
        f'  METHOD = ge.Method.objective({attribute}, family="other")   # an objective: it takes model, loss, …\n'
        f'  METHOD = ge.Method.wrapper({attribute}, family="other")     # a wrapper around the model'
    )


def run_of_method(name: str, options: Mapping[str, Any], claims: str | None = None) -> dict[str, str]:
    """What a record says of a run's method: name, family, and the label of its options.

    >>> run_of_method("none", {}, claims="E(3)")
    {'name': 'none', 'family': 'builtin', 'label': 'built-in E(3)'}

    Args:
        name: in the suite.
        options: resolved.
        claims: the group that the model claims to be equivariant to by construction.
    """
    found = method(name)
    family = "builtin" if found.family == "none" and claims else found.family
    return {"name": name, "family": family, "label": found.label(options, claims)}
