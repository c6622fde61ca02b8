"""VGG11 with batch norm (Simonyan & Zisserman 2015), for small images."""

from torch import Tensor, nn

from geoequiv.fields import Signature
from geoequiv.models.layers.pictures import Picture, channels_of
from geoequiv.ranges import PositiveFloat, check_ranges

#: channels of each 3 × 3 convolution, and where the image is halved
LAYERS = (64, "halve", 128, "halve", 256, 256, "halve", 512, 512, "halve", 512, 512, "halve")


@check_ranges
class VGG11(nn.Module):
    r"""Eight convolutions, each with batch norm and ReLU, five poolings and one linear map.

    .. math:: h \leftarrow \mathrm{relu}(\mathrm{BN}(W * h)), \qquad \hat y = A\, \tfrac{1}{HW} \sum_{xy} h + b

    Convolutions have no bias (batch norm has one); the last features are averaged over the pixels, of which an image of
    32 × 32 has one left.

    Args:
        signature: one image with its channels stated, one scalar: ``image: image*3 -> logits: scalar*10``.
        width: multiplier of all channels (64 to 512); 1 is the published size.

    Raises:
        SignatureError: other fields.
        BatchError: images with other channels, or smaller than 32 × 32.

    Exactness: no symmetry.
    Reference: Simonyan & Zisserman 2015, configuration A; with batch norm and one linear layer as Bökman & Kahl 2023.
    """

    claims = None
    compiles = "one graph"

    def __init__(self, signature: Signature | str, width: PositiveFloat = 1.0) -> None:
        super().__init__()
        self.picture = Picture.of(signature, "VGG11")
        layers: list[nn.Module] = []
        before = self.picture.channels
        for entry in LAYERS:
            if isinstance(entry, int):
                after = channels_of(entry, width)
                layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
                before = after
            else:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.last = nn.Linear(before, self.picture.outputs)
        initialise(self)

    def forward(self, image: Tensor) -> Tensor:
        """``[..., C, H, W]`` → ``[..., outputs]``."""
        seen = self.features(self.picture.flat(image)).mean((-2, -1))
        return self.last(seen).reshape(*image.shape[:-3], -1)


def initialise(model: nn.Module) -> None:
    """Draw the filters of all convolutions so that ReLU keeps the variance (He et al. 2015)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
