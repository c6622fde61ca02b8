"""The ways a model gets its symmetry, each with a colour (light, dark) and a marker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One way of getting symmetry: a name for the legend, a CSS key, a marker and two colours."""

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
    Family("frame", "frame averaging", "averaged over the data's own frames", "square", "#1d4ed8", "#7fabff"),
    Family("group", "group averaging", "averaged over the elements of a group", "hexagon", "#0f766e", "#4cc9b8"),
    Family("builtin", "built-in", "equivariant by architecture", "disc", "#6d28d9", "#b99cff"),
    Family("other", "other", "another way", "cross", "#57534e", "#b8b2a9"),
)

_PREFIXES = (
    ("none", "none"),
    ("augment", "augmentation"),
    ("remul", "remul"),
    ("frame", "frame"),
    ("group", "group"),
    ("test-time", "group"),
    ("built-in", "builtin"),
    ("builtin", "builtin"),
)
_BY_KEY = {family.key: family for family in FAMILIES}


def family_of(label: str) -> Family:
    """The family a symmetry label belongs to.

    >>> family_of("REMUL β=1 SO(3)").name
    'REMUL'
    """
    lowered = label.strip().lower().replace("_", " ")
    for prefix, key in _PREFIXES:
        if lowered.startswith(prefix):
            return _BY_KEY[key]
    return _BY_KEY["other"]


_LIGHT = {
    "paper": "#fcfbf8",
    "card": "#ffffff",
    "ink": "#1c1e21",
    "soft": "#4d525a",
    "muted": "#6c717a",
    "line": "#e7e4dc",
    "wash": "#f4f2ec",
    "accent": "#1d4ed8",
    "bad": "#b42318",
}
_DARK = {
    "paper": "#121417",
    "card": "#181b1f",
    "ink": "#e9e7e2",
    "soft": "#bfc2c7",
    "muted": "#93989f",
    "line": "#2b2f35",
    "wash": "#1f2328",
    "accent": "#8ab4ff",
    "bad": "#ff8f85",
}


def colour(name: str, scheme: str = "light") -> str:
    """The hexadecimal colour of a family's key, or of a part of the page ("ink", "line", …).

    >>> colour("remul")
    '#be185d'
    """
    base = {"light": _LIGHT, "dark": _DARK}[scheme]
    return base[name] if name in base else getattr(_BY_KEY[name], scheme)


def colours(scheme: str) -> str:
    """CSS custom properties of a scheme, "light" or "dark", as declarations."""
    base = {"light": _LIGHT, "dark": _DARK}[scheme]
    named = base | {family.key: getattr(family, scheme) for family in FAMILIES}
    return ";".join(f"--{name}:{value}" for name, value in named.items())


def colour_rules(selector: str, scheme: str = "auto") -> str:
    """CSS that gives `selector` the colours: one scheme, or the reader's preference with "auto"."""
    if scheme != "auto":
        return f"{selector}{{{colours(scheme)}}}"
    return f"{selector}{{{colours('light')}}}\n@media (prefers-color-scheme:dark){{{selector}{{{colours('dark')}}}}}"
