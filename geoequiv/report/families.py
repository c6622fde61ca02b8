"""The family of a run's method, and the colours of the page and of the families."""

from geoequiv.methods.families import FAMILIES, Family
from geoequiv.records import Record

_BY_KEY = {family.key: family for family in FAMILIES}


def family_of_record(record: Record) -> Family:
    """The family of a run's method; "other" where the table of methods has no such family now."""
    return _BY_KEY.get(record.method.family, _BY_KEY["other"])


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
