"""Architectures, one a file: built from a task's signature, each declaring the symmetry it claims."""

from geoequiv.models.chebnet import ChebNet
from geoequiv.models.deepsets import DeepSets
from geoequiv.models.dgcnn import DGCNN
from geoequiv.models.egnn import EGNN
from geoequiv.models.gat import GAT
from geoequiv.models.gatr import GATr
from geoequiv.models.gatr_published import PublishedGATr
from geoequiv.models.gcn import GCN
from geoequiv.models.gcnn import GCNN
from geoequiv.models.gin import GIN
from geoequiv.models.gnn import GNN
from geoequiv.models.gnnml1 import GNNML1
from geoequiv.models.gnnml3 import GNNML3
from geoequiv.models.integrator import Integrator
from geoequiv.models.layers.neighbours import radius_graph
from geoequiv.models.linear import Linear
from geoequiv.models.mlp import MLP
from geoequiv.models.nequip import NequIP
from geoequiv.models.painn import PaiNN
from geoequiv.models.pgcnn import PGCNN
from geoequiv.models.pointnet import PointNet
from geoequiv.models.ponita import PONITA
from geoequiv.models.ppgn import PPGN
from geoequiv.models.radial_field import RadialField
from geoequiv.models.resnet import ResNet
from geoequiv.models.se3_transformer import SE3Transformer
from geoequiv.models.second_order import SecondOrder
from geoequiv.models.segnn import SEGNN
from geoequiv.models.tfn import TFN
from geoequiv.models.transformer import Transformer
from geoequiv.models.vgg import VGG11
from geoequiv.models.vn_dgcnn import VNDGCNN
from geoequiv.models.vn_pointnet import VNPointNet

__all__ = [
    "DGCNN",
    "EGNN",
    "GAT",
    "GCN",
    "GCNN",
    "GIN",
    "GNN",
    "GNNML1",
    "GNNML3",
    "MLP",
    "PGCNN",
    "PONITA",
    "PPGN",
    "SEGNN",
    "TFN",
    "VGG11",
    "VNDGCNN",
    "ChebNet",
    "DeepSets",
    "GATr",
    "Integrator",
    "Linear",
    "NequIP",
    "PaiNN",
    "PointNet",
    "PublishedGATr",
    "RadialField",
    "ResNet",
    "SE3Transformer",
    "SecondOrder",
    "Transformer",
    "VNPointNet",
    "radius_graph",
]
