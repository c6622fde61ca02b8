"""Groups of isometries and permutations of nodes: names, elements, Haar samples, subgroups.

The public names are imported on first use: ``parse_name`` checks a name without torch.
"""

from typing import TYPE_CHECKING

from geoequiv.importing import lazy_names

if TYPE_CHECKING:
    from geoequiv.groups.base import Group
    from geoequiv.groups.element import Element, compose, identity, inverse
    from geoequiv.groups.left_cosets import cosets
    from geoequiv.groups.names import group
    from geoequiv.groups.parsing import GroupName, parse_name
    from geoequiv.groups.quadrature_rule import quadrature
else:
    __getattr__ = lazy_names(
        __name__,
        {
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
        },
    )

__all__ = [
    "Element",
    "Group",
    "GroupName",
    "compose",
    "cosets",
    "group",
    "identity",
    "inverse",
    "parse_name",
    "quadrature",
]
