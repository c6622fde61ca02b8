"""Architectures, one a file: built from a task's signature, each declaring the symmetry it claims."""

from geoequiv.models.deepsets import DeepSets
from geoequiv.models.egnn import EGNN
from geoequiv.models.gnn import GNN
from geoequiv.models.linear import Linear
from geoequiv.models.mlp import MLP
from geoequiv.models.radial_field import RadialField
from geoequiv.models.transformer import Transformer

__all__ = ["EGNN", "GNN", "MLP", "DeepSets", "Linear", "RadialField", "Transformer"]
