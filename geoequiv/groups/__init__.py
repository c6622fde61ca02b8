"""Groups of isometries and permutations of nodes: names, elements, Haar samples, subgroups.

The public names are imported on first use: ``parse_name`` checks a name without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoequiv.groups.base import Group
    from geoequiv.groups.element import Element, compose, identity, inverse
    from geoequiv.groups.left_cosets import cosets
    from geoequiv.groups.names import group
    from geoequiv.groups.parsing import GroupName, parse_name
    from geoequiv.groups.quadrature_rule import quadrature

#: public name → the file it lives in
PUBLIC = {
    "Element": "element",
    "Group": "base",
    "GroupName": "parsing",
    "compose": "element",
    "cosets": "left_cosets",
    "group": "names",
    "identity": "element",
    "inverse": "element",
    "parse_name": "parsing",
    "quadrature": "quadrature_rule",
}

__all__ = [
    "Element", "Group", "GroupName", "compose", "cosets", "group", "identity", "inverse", "parse_name", "quadrature",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'geoequiv.groups' has no attribute '{name}'")
    globals()[name] = getattr(import_module(f"geoequiv.groups.{PUBLIC[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted(PUBLIC)
