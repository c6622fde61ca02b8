"""Groups of isometries and relabellings: names, elements, Haar samples, subgroups."""

from geoequiv.groups.cosets import cosets
from geoequiv.groups.element import Element, compose, identity, inverse
from geoequiv.groups.group import Group
from geoequiv.groups.names import group
from geoequiv.groups.quadrature import quadrature

__all__ = ["Element", "Group", "compose", "cosets", "group", "identity", "inverse", "quadrature"]
