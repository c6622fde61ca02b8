"""Architectures that average inside, layer by layer: built of models' layers and of frames, one a file."""

from geoequiv.averaged.fa_gnn import FAGNN
from geoequiv.averaged.fa_local_pointnet import FALocalPointNet

__all__ = ["FAGNN", "FALocalPointNet"]
