"""Families of methods, each with a marker and a colour (light, dark) on boards."""

from dataclasses import dataclass

from geoequiv.errors import ConfigError, unknown


@dataclass(frozen=True)
class Family:
    """One family: a key for records and CSS, a name for legends, what it means, a marker and two colours."""

    key: str
    name: str
    meaning: str
    marker: str
    light: str
    dark: str


FAMILIES = (
    Family("none", "none", "trained on the data as they are", "ring", "#6b7280", "#a3a9b3"),
    Family("augmentation", "augmentation", "random group elements in training", "triangle", "#b45309", "#e9a94e"),
    Family("remul", "REMUL", "an equivariance penalty, weighted by β", "diamond", "#be185d", "#f286b5"),
    Family("invariance", "invariance loss", "‖f(gx) − g f(x)‖ added to the loss", "wedge", "#4d7c0f", "#a9d35f"),
    Family("latent", "latent equivariance", "a penalty on hidden features", "plus", "#7c2d12", "#dfa28c"),
    Family("frame", "frame averaging", "averaged over the data's own frames", "square", "#1d4ed8", "#7fabff"),
    Family("group", "group averaging", "averaged over the elements of a group", "hexagon", "#0f766e", "#4cc9b8"),
    Family("test_time", "test-time averaging", "averaged in evaluation only", "pentagon", "#0e7490", "#67c7dd"),
    Family("builtin", "built-in", "equivariant by architecture", "disc", "#6d28d9", "#b99cff"),
    Family("other", "other", "another way", "cross", "#57534e", "#b8b2a9"),
)
_BY_KEY = {each.key: each for each in FAMILIES}


def family(key: str) -> Family:
    """The family of a key.

    >>> family("remul").name
    'REMUL'

    Raises:
        ConfigError: there is none (the nearest one is named).
    """
    if key not in _BY_KEY:
        raise ConfigError(unknown("family of methods", key, _BY_KEY))
    return _BY_KEY[key]
