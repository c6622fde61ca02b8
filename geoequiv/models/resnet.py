"""Residual networks for small images (He et al. 2016)."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from geoequiv.errors import ConfigError
from geoequiv.fields import Signature
from geoequiv.models.layers.pictures import Picture, channels_of
from geoequiv.models.vgg import initialise
from geoequiv.ranges import PositiveFloat, check_ranges

#: depth → blocks of each stage, whether they are bottlenecks, channels of the first stage
SHAPES = {depth: ((depth - 2) // 6,) * 3 for depth in (8, 14, 20, 32, 44, 56)}
BOTTLENECKS = {50: (3, 4, 6, 3)}


@check_ranges
class ResNet(nn.Module):
    r"""Blocks of convolutions that add to what they read.

    .. math:: h \leftarrow \mathrm{relu}\big(S h + \mathrm{BN}(W_2 * \mathrm{relu}(\mathrm{BN}(W_1 * h)))\big)

    S is the identity, or a 1 × 1 convolution with batch norm where the number of channels changes. Depths 8, 14, 20,
    32, 44 and 56 have three stages of 16, 32 and 64 channels; depth 50 has bottlenecks in four stages of 64 to 512
    (times 4). The first convolution is 3 × 3 at full resolution. Stages are halved by 2 × 2 means in front of their
    first block, not by strides: strided filters read other pixels of a mirrored image, so that such a network could not
    be its own mirror image.

    Args:
        signature: one image with its channels stated, one scalar: ``image: image*3 -> logits: scalar*10``.
        width: multiplier of all channels; 1 is the published size.
        depth: layers with weights, by the published count.

    Raises:
        ConfigError: another depth.
        SignatureError: other fields.

    Exactness: no symmetry.
    Reference: He, Zhang, Ren & Sun 2016, section 4.2 (CIFAR) and table 1 (50 layers).
    """

    claims = None
    compiles = "one graph"

    def __init__(
        self, signature: Signature | str, width: PositiveFloat = 1.0, depth: Literal[8, 14, 20, 32, 44, 50, 56] = 20
    ) -> None:
        super().__init__()
        if depth not in SHAPES and depth not in BOTTLENECKS:
            raise ConfigError(
                f"ResNet has the depths {', '.join(map(str, sorted({*SHAPES, *BOTTLENECKS})))}; got {depth}."
            )
        self.picture = Picture.of(signature, "ResNet")
        wide = depth in BOTTLENECKS
        first = 64 if wide else 16
        before = channels_of(first, width)
        self.first = normed(self.picture.channels, before, 3)
        blocks = []
        for stage, count in enumerate(BOTTLENECKS[depth] if wide else SHAPES[depth]):
            inner = channels_of(first * 2**stage, width)
            for number in range(count):
                after = 4 * inner if wide else inner
                blocks.append(Block(before, inner, after, wide, halve=stage > 0 and number == 0))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(before, self.picture.outputs)
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """``[..., C, H, W]`` → ``[..., outputs]``."""
        seen = self.blocks(F.relu(self.first(self.picture.flat(image)))).mean((-2, -1))
        return self.last(seen).reshape(*image.shape[:-3], -1)


class Block(nn.Module):
    """A residual block: two 3 × 3 convolutions, or a 3 × 3 one between two of 1 × 1.

    Args:
        before, inner, after: channels.
        bottleneck: which of the two.
        halve: whether the image is halved first.
    """

    def __init__(self, before: int, inner: int, after: int, bottleneck: bool, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        sizes = ((before, inner, 1), (inner, inner, 3), (inner, after, 1))
        self.steps = nn.ModuleList(
            normed(*size) for size in (sizes if bottleneck else ((before, inner, 3), (inner, after, 3)))
        )
        self.shortcut = nn.Identity() if before == after else normed(before, after, 1)

    def forward(self, features: Tensor) -> Tensor:
        """``[n, before, H, W]`` → ``[n, after, H or H/2, W or W/2]``."""
        if self.halve:
            features = F.avg_pool2d(features, 2)
        inside = features
        for step in self.steps[:-1]:
            inside = F.relu(step(inside))
        return F.relu(self.shortcut(features) + self.steps[-1](inside))


def normed(before: int, after: int, side: int) -> nn.Sequential:
    """A convolution and its batch norm."""
    return nn.Sequential(nn.Conv2d(before, after, side, padding=side // 2, bias=False), nn.BatchNorm2d(after))
