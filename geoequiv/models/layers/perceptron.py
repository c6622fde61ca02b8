"""The two-layer perceptron that every architecture here is made of."""

from torch import Tensor, nn
from torch.nn import functional as F


def perceptron(inputs: int, width: int, outputs: int, *, active: bool = False) -> nn.Sequential:
    r""":math:`W_2\,\mathrm{SiLU}(W_1 x + b_1) + b_2`, with a further SiLU if ``active``."""
    layers = [nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, outputs)]
    return nn.Sequential(*layers, nn.SiLU()) if active else nn.Sequential(*layers)


def gain(inputs: int, width: int, scale: float = 1e-3) -> nn.Sequential:
    """A perceptron with one output, without bias, that starts near 0: steps of coordinates begin small.

    Reference: Satorras et al. 2021 (published code): Xavier initialisation with gain 0.001.
    """
    last = nn.Linear(width, 1, bias=False)
    nn.init.xavier_uniform_(last.weight, gain=scale)
    return nn.Sequential(nn.Linear(inputs, width), nn.SiLU(), last)


def linear_at(layers: nn.Sequential, index: int) -> nn.Linear:
    """The linear map at an index of a perceptron."""
    found = layers[index]
    assert isinstance(found, nn.Linear)
    return found


def silu(fresh: Tensor) -> Tensor:
    """SiLU of a temporary tensor: in place where no gradient needs it."""
    return F.silu(fresh, inplace=not fresh.requires_grad)
