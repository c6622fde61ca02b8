"""A convolutional network whose first layers commute with the mirror image."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.flip_layers import FlipChannels, FlipConvolution, FlipNorm
from geoequiv.models.layers.pictures import Picture, channels_of
from geoequiv.models.vgg import LAYERS, VGG11, initialise
from geoequiv.ranges import PositiveFloat, Probability, check_ranges

CONVOLUTIONS = sum(isinstance(entry, int) for entry in LAYERS)
Layers = Annotated[int, Field(ge=0, le=CONVOLUTIONS)]


@check_ranges
class PGCNN(nn.Module):
    r"""VGG11 whose first convolutions are equivariant to horizontal flips, and whose others are free.

    .. math:: W_{\rho' i,\, \rho j}(x, y) = W_{ij}(-x, y) \quad \text{in the first } L \text{ layers}

    It has the channels of ``VGG11`` at the same width: it is one of those (see ``plain``) with filters tied to each
    other, so that the two can be merged. A fraction of the channels of the equivariant layers is invariant (their own
    mirror images); all others are regular, in pairs. Layers after the first L see pairs as any channels.

    Args:
        signature: one image with its channels stated, one scalar: ``image: image*3 -> logits: scalar*10``.
        width: multiplier of all channels (64 to 512).
        layers: L, 0 to 8.
        invariant: fraction of invariant channels in the equivariant layers, 0 (all regular) to 1.

    Raises:
        ConfigError: layers or fraction out of range.
        SignatureError: other fields.

    Exactness: the first L layers commute with flips up to round-off; the network does not.
    Reference: Bökman & Kahl 2023, PGCNN: the paper's table has "first two layers"; the fraction of invariant channels
    stands for what it counts in trained networks, and is our reading.
    """

    claims: str | None = None
    compiles = "one graph"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveFloat = 1.0,
        layers: Layers = 2,
        invariant: Probability = 0.0,
    ) -> None:
        super().__init__()
        self.signature, self.width = signature, width
        self.picture = Picture.of(signature, type(self).__name__)
        steps, self.channels = flip_layers(self.picture.channels, width, layers, invariant)
        self.features = nn.Sequential(*steps)
        self.last = nn.Linear(self.channels.total, self.picture.outputs)
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """``[..., C, H, W]`` → ``[..., outputs]``."""
        seen = self.features(self.picture.flat(image)).mean((-2, -1))
        return self.last(seen).reshape(*image.shape[:-3], -1)

    def plain(self) -> VGG11:
        """The same network as a ``VGG11`` whose weights are tied by nothing; in evaluation mode."""
        return expanded(self, self.last.weight)


def flip_layers(before: int, width: float, count: int, invariant: float) -> tuple[list[nn.Module], FlipChannels]:
    """The layers of VGG11, the first ``count`` convolutions equivariant; and the channels at their end."""
    steps: list[nn.Module] = []
    now = FlipChannels(before, 0)
    for entry in LAYERS:
        if not isinstance(entry, int):
            steps.append(nn.MaxPool2d(2))
            continue
        total = channels_of(entry, width)
        if count > 0:
            pairs = round(total * (1 - invariant) / 2)
            after = FlipChannels(total - 2 * pairs, pairs)
            steps += [FlipConvolution(now, after), FlipNorm(after), nn.ReLU()]
        else:
            after = FlipChannels(total, 0)
            steps += [nn.Conv2d(now.total, total, 3, padding=1, bias=False), nn.BatchNorm2d(total), nn.ReLU()]
        now, count = after, count - 1
    return steps, now


def expanded(model: Any, last: Tensor) -> VGG11:
    """A ``VGG11`` with the filters, norms and pools of a network of flip layers, and these weights at its end."""
    plain = VGG11(model.signature, model.width).to(last)
    for number, layer in enumerate(model.features):
        if isinstance(layer, (FlipConvolution, FlipNorm)):
            layer = layer.plain()
        plain.features[number].load_state_dict(layer.state_dict())
    with torch.no_grad():
        plain.last.weight.copy_(last)
        plain.last.bias.copy_(model.last.bias)
    return plain.eval()
