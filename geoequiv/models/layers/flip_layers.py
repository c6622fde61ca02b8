"""Layers that commute with the mirror image: channels are invariant, or come in mirrored pairs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class FlipChannels:
    r"""How channels transform under a horizontal flip, besides that their pixels are mirrored.

    .. math:: \rho(\tau) = I_a \oplus \Big(\begin{smallmatrix} 0 & I_r \\ I_r & 0 \end{smallmatrix}\Big)

    Args:
        invariant: a, channels that are their own partners (trivial representation); they come first.
        regular: r, pairs: the first of all pairs, then the second.
    """

    invariant: int
    regular: int

    @property
    def total(self) -> int:
        """All of them, a + 2 r."""
        return self.invariant + 2 * self.regular

    def partners(self) -> Tensor:
        """The partner of each channel, ``[total]``."""
        own, first = torch.arange(self.invariant), torch.arange(self.invariant, self.invariant + self.regular)
        return torch.cat([own, first + self.regular, first])


class FlipConvolution(nn.Module):
    r"""A convolution that commutes with flips: filters of partners are mirror images of each other.

    .. math:: W * (\rho\, \tau h) = \rho'\, \tau\, (W * h), \qquad W_{\rho' i,\, \rho j}(x, y) = W_{ij}(-x, y)

    From an image (invariant channels) to pairs it is the lifting convolution, between pairs the regular one.

    Args:
        before, after: channels.
        side: pixels of a filter, odd.

    Exactness: exact, for images of any size.
    Reference: Cohen & Welling 2016 (group convolutions), for the group of two elements.
    """

    partners: Tensor

    def __init__(self, before: FlipChannels, after: FlipChannels, side: int = 3) -> None:
        super().__init__()
        self.before, self.after, self.side = before, after, side
        deviation = (2 / (after.total * side * side)) ** 0.5  # as He et al. 2015
        shape = before.total, side, side
        pairs = deviation * torch.randn(after.regular, *shape)
        own = 2**0.5 * deviation * torch.randn(after.invariant, *shape)  # the mean of two has half the variance
        self.regular = nn.Parameter(pairs) if after.regular else None
        self.invariant = nn.Parameter(own) if after.invariant else None
        self.register_buffer("partners", before.partners(), persistent=False)

    def filters(self) -> Tensor:
        """All filters, ``[after, before, side, side]``."""
        parts = [] if self.invariant is None else [(self.invariant + self.mirrored(self.invariant)) / 2]
        if self.regular is not None:
            parts += [self.regular, self.mirrored(self.regular)]
        return torch.cat(parts)

    def mirrored(self, filters: Tensor) -> Tensor:
        """Filters whose output on a mirrored image is that of these on the image."""
        return filters.flip(-1).index_select(1, self.partners)

    def forward(self, features: Tensor) -> Tensor:
        """``[n, before, H, W]`` → ``[n, after, H, W]``."""
        return F.conv2d(features, self.filters(), padding=self.side // 2)

    def plain(self) -> nn.Conv2d:
        """The same map as a convolution without constraints."""
        filters = self.filters().detach()
        found = nn.Conv2d(self.before.total, self.after.total, self.side, padding=self.side // 2, bias=False)
        found.to(filters).load_state_dict({"weight": filters})
        return found


class FlipNorm(nn.Module):
    """Batch norm whose moments and weights are shared by partners.

    Args:
        channels: of the features.
    """

    def __init__(self, channels: FlipChannels) -> None:
        super().__init__()
        self.channels = channels
        self.regular = nn.BatchNorm2d(channels.regular) if channels.regular else None
        self.invariant = nn.BatchNorm2d(channels.invariant) if channels.invariant else None

    def forward(self, features: Tensor) -> Tensor:
        """``[n, total, H, W]`` → the same."""
        own, pairs = features.split([self.channels.invariant, 2 * self.channels.regular], dim=1)
        parts = [] if self.invariant is None else [self.invariant(own)]
        if self.regular is not None:
            sides = pairs.unflatten(1, (2, -1)).transpose(1, 2)  # [n, r, 2, H, W]: partners are one channel
            parts.append(self.regular(sides.flatten(2, 3)).reshape(sides.shape).transpose(1, 2).flatten(1, 2))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def plain(self) -> nn.BatchNorm2d:
        """The same map, in evaluation mode, as a batch norm without shared weights."""
        parts = [part for part in (self.invariant, self.regular, self.regular) if part is not None]
        found = nn.BatchNorm2d(self.channels.total).to(parts[0].weight)
        states = [part.state_dict() for part in parts]
        whole = {name: torch.cat([state[name] for state in states]) for name, value in states[0].items() if value.ndim}
        found.load_state_dict(states[0] | whole)
        return found
