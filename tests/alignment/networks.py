"""Networks that the tests of alignment share, with a small batch for each."""

import torch
from torch import nn
from torch.nn import functional as F

from geoequiv.models import (
    EGNN,
    GCNN,
    GNN,
    MLP,
    PGCNN,
    PONITA,
    SEGNN,
    TFN,
    VGG11,
    DeepSets,
    GATr,
    Linear,
    NequIP,
    PaiNN,
    RadialField,
    ResNet,
    SE3Transformer,
    Transformer,
)
from geoequiv.models.layers.vector_neurons import (
    VNBatchNorm,
    VNInvariant,
    VNLeakyReLU,
    VNLinear,
    VNMaxPool,
    VNMeanPool,
)
from geoequiv.testing.inputs import random_inputs

SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"
MOLECULES = "pos: point, species: scalar*2 -> energy: scalar per graph, force: vector"
PICTURES = "image: image*3 -> logits: scalar*10"


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.a, self.b = (nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.m, self.n = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(x + self.n(self.b(F.relu(self.m(self.a(x)), inplace=True))))


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Embedding(11, 8), nn.Parameter(torch.randn(1, 5, 8))
        self.mix = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.last = nn.Linear(8, 3)

    def forward(self, words):
        return self.last(self.mix(self.embed(words) + self.place).mean(1))


class Positions(Words):
    """Looks up where a word stands in a table, whose rows grow no more with the data."""

    def __init__(self):
        super().__init__()
        self.where = nn.Embedding(5, 8)

    def forward(self, words):
        return self.last(self.mix(self.embed(words) + self.place + self.where(torch.arange(5))).mean(1))


class Concat(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.last = nn.Linear(3, 4), nn.Linear(3, 6), nn.Linear(11, 2)

    def forward(self, x):
        return self.last(torch.cat([self.b(x).tanh(), x[:, :1], F.gelu(self.a(x))], -1))


class VectorNeurons(nn.Module):
    """An invariant of a cloud of vectors."""

    def __init__(self, pool):
        super().__init__()
        self.first = nn.Sequential(VNLinear(1, 8), VNBatchNorm(8), VNLeakyReLU(8), VNLinear(8, 6), VNLeakyReLU(6))
        self.pool, self.read = pool, VNInvariant(6)
        self.last = nn.Sequential(nn.Linear(18, 5), nn.SiLU(), nn.Linear(5, 1))

    def forward(self, vel):
        return self.last(self.read(self.pool(self.first(vel.unsqueeze(-2)))))


def clouds(items=2, points=4, seed=0):
    return random_inputs(SIGNATURE, items, points, generator=torch.Generator().manual_seed(seed))


def molecules(items=2, points=4, seed=0):
    return random_inputs(MOLECULES, items, points, generator=torch.Generator().manual_seed(seed))


def vectors(items=2):
    return {"vel": clouds(items)["vel"]}


def images(items=2):
    return torch.randn(items, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def pictures(items=2):
    return {"image": torch.randn(items, 3, 32, 32, generator=torch.Generator().manual_seed(0))}


def rows(items=7):
    return torch.randn(items, 3, generator=torch.Generator().manual_seed(0))


def plain():
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))


def vgg():
    first = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))


def resnet():
    body = [nn.Conv2d(3, 6, 3), Residual(6), Residual(6), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*body, nn.Linear(6, 4))


def group_norm():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6), nn.GELU(), nn.Conv2d(6, 6, 3, groups=6), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(24, 4),
    )  # fmt: skip


def upscaled():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.Hardswish(), nn.ConvTranspose2d(6, 8, 2, stride=2), nn.GLU(1), nn.Conv2d(4, 2, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def sentences(items=3):
    return torch.randint(11, (items, 5), generator=torch.Generator().manual_seed(0))


#: name → (maker, batch, streams that the network has)
NETWORKS = {
    "plain": (plain, rows, 2),
    "concat": (Concat, rows, 2),
    "vgg": (vgg, images, 2),
    "resnet": (resnet, images, 3),
    "group norm": (group_norm, images, 3),
    "vgg11": (lambda: VGG11(PICTURES, 1 / 16), pictures, 8),
    "resnet, 8": (lambda: ResNet(PICTURES, 1 / 2, 8), pictures, 6),
    "gcnn": (lambda: GCNN(PICTURES, 1 / 8), pictures, 8),
    "pgcnn": (lambda: PGCNN(PICTURES, 1 / 8, 2, 0.5), pictures, None),
    "upscaled": (upscaled, images, 2),
    "words": (Words, sentences, 7),
    "positions": (Positions, sentences, 7),
    "mlp": (lambda: MLP(SIGNATURE, 8, 3, nodes=4), clouds, 3),
    "deepsets": (lambda: DeepSets(SIGNATURE, 8, 2), clouds, 4),
    "gnn": (lambda: GNN(SIGNATURE, 8, 2), clouds, 8),
    "egnn": (lambda: EGNN(SIGNATURE, 8, 2), clouds, 10),
    "egnn, gated": (lambda: EGNN(SIGNATURE, 8, 2, attention=True, normalize=True), clouds, 10),
    "transformer": (lambda: Transformer(SIGNATURE, 8, 2, heads=2, expansion=2), clouds, 13),
    "transformer, rms": (
        lambda: Transformer(SIGNATURE, 8, 2, heads=2, expansion=2, norm="rms", distance_bias=True), clouds, 13
    ),
    "radial field": (lambda: RadialField(SIGNATURE, 8, 2), clouds, 4),
    "painn": (lambda: PaiNN(SIGNATURE, 8, 2), clouds, 6),
    "tfn": (lambda: TFN(SIGNATURE, 4, 2), clouds, None),
    "segnn": (lambda: SEGNN(SIGNATURE, 8, 2), clouds, None),
    "se3 transformer": (lambda: SE3Transformer(SIGNATURE, 8, 2), clouds, None),
    "gatr": (lambda: GATr(f"{SIGNATURE}, energy: scalar", 8, 1, heads=2, multivectors=8), clouds, 15),
    "nequip": (lambda: NequIP(MOLECULES, 4, 2, l_max=1, radial=8), molecules, 12),
    "vector neurons": (lambda: VectorNeurons(VNMeanPool()), vectors, 4),
    "vector neurons, max": (lambda: VectorNeurons(VNMaxPool(6)), vectors, 4),
    "ponita": (lambda: PONITA(SIGNATURE, 8, 2), clouds, 7),
    "linear": (lambda: Linear(SIGNATURE), clouds, 0),
}  # fmt: skip


def make(name, seed=0, double=True):
    """The network in float64, with biases and statistics that are not zero, and its batch."""
    maker, batch, _ = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = maker()
        for key, tensor in model.state_dict().items():
            if tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.3 * torch.randn(tensor.shape).abs() if "var" in key else 0.3 * torch.randn(tensor.shape))
    inputs = batch()
    if double:
        cast = {k: v.double() for k, v in inputs.items()} if isinstance(inputs, dict) else inputs
        inputs = cast.double() if isinstance(cast, torch.Tensor) and cast.is_floating_point() else cast
        model = model.double()
    return model.eval(), inputs
