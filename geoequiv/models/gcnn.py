"""A regular group-convolutional network for horizontal flips (Cohen & Welling 2016)."""

import torch
from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.pictures import Picture
from geoequiv.models.pgcnn import CONVOLUTIONS, expanded, flip_layers
from geoequiv.models.vgg import VGG11
from geoequiv.ranges import PositiveFloat, check_ranges


@check_ranges
class GCNN(nn.Module):
    r"""VGG11 of group convolutions over {1, flip}: a lifting one, regular ones, batch norm shared by partners, a mean.

    .. math:: W_{\rho' i,\, \rho j}(x, y) = W_{ij}(-x, y), \qquad \hat y = A\, \tfrac12 (h_1 + h_2) + b

    All channels come in mirrored pairs. It has as many channels as ``VGG11`` at the same width, and half the weights:
    it is one of those (see ``plain``) with filters tied to each other, so that the two can be merged.

    Args:
        signature: one image with its channels stated, one scalar: ``image: image*3 -> logits: scalar*10``.
        width: multiplier of all channels (64 to 512, both partners counted).

    Raises:
        SignatureError: other fields.

    Exactness: invariant to flips up to round-off, for images whose width can be halved five times.
    Reference: Cohen & Welling 2016; for flips as Bökman & Kahl 2023.
    """

    claims = "flip"
    compiles = "one graph"

    def __init__(self, signature: Signature | str, width: PositiveFloat = 1.0) -> None:
        super().__init__()
        self.signature, self.width = signature, width
        self.picture = Picture.of(signature, "GCNN")
        steps, self.channels = flip_layers(self.picture.channels, width, CONVOLUTIONS, 0.0)
        self.features = nn.Sequential(*steps)
        self.last = nn.Linear(self.channels.regular, self.picture.outputs)

    def forward(self, image: Tensor) -> Tensor:
        """``[..., C, H, W]`` → ``[..., outputs]``."""
        seen = self.features(self.picture.flat(image)).mean((-2, -1)).unflatten(-1, (2, -1)).mean(-2)
        return self.last(seen).reshape(*image.shape[:-3], -1)

    def plain(self) -> VGG11:
        """The same network as a ``VGG11`` whose weights are tied by nothing; in evaluation mode."""
        return expanded(self, torch.cat([self.last.weight, self.last.weight], dim=1) / 2)
