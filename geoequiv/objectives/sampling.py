"""Group elements of an objective: Haar draws, or small angles that grow to Haar."""

from math import pi

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from geoequiv.errors import ConfigError
from geoequiv.fields import Layout
from geoequiv.groups import Element, Group
from geoequiv.groups.orthogonal import AxialGroup, OrthogonalGroup, plane_rotation
from geoequiv.sharding import item_draws, stream


def draw(group: Group, samples: int, layout: Layout, generator: torch.Generator | None) -> Element:
    """Haar draws ``[samples, *shape]`` for each item of a batch, from a generator (``None``: torch's global one)."""
    source = stream(generator)
    return item_draws(lambda shape: group.sample(*shape, generator=source), (samples, *layout.shape), axis=1)


def check_connected(group: Group) -> None:
    """Raise ConfigError unless every element of the group can be shrunk to the identity."""
    part = group.linear_part
    rotations = isinstance(part, OrthogonalGroup | AxialGroup) and part.is_proper
    if group.nodes is not None or not (rotations or part.order == 1):
        raise ConfigError(
            f"sampling 'small-angle' shrinks elements to the identity, which {group} does not allow: it has elements "
            "that are not connected to the identity. Use SO(d), SE(d), T(d) or SO(2) about an axis, or sampling 'haar'."
        )


def shrink(element: Element, scale: float) -> Element:
    r"""Elements scaled towards the identity.

    .. math:: R = \exp(\omega) \mapsto \exp(s\,\omega), \qquad t \mapsto s\,t

    ω is the shortest rotation vector of R, so that the angle of the result has the law of s · (angle of R): shrunk
    Haar draws of SO(3) have angles θ ∈ [0, sπ] with density (1 − cos(θ/s)) / (sπ), those of SO(2) are uniform in
    [−sπ, sπ], and s = 1 changes nothing.

    Args:
        element: rotations and translations, ``[...]``.
        scale: s, in [0, 1].
    """
    translation = None if element.translation is None else scale * element.translation
    return Element(element.linear if scale == 1 else _part_of(element.linear, scale), translation)


def _part_of(linear: Tensor, scale: float) -> Tensor:
    if linear.shape[-1] == 2:
        return plane_rotation(scale * torch.atan2(linear[..., 1, 0], linear[..., 0, 0]))
    flat = linear.reshape(-1, 3, 3).double().cpu().numpy()
    scaled = Rotation.from_rotvec(scale * Rotation.from_matrix(flat).as_rotvec()).as_matrix()
    return torch.from_numpy(scaled).reshape(linear.shape).to(linear)


def largest_angle(sigma: float, passed: float) -> float:
    """The largest angle of the curriculum in radians, ``σ + (π − σ) · passed``: all of the group at the end.

    Args:
        sigma: largest angle at the start, in (0, π].
        passed: fraction of the curriculum that is done, in [0, 1].
    """
    return sigma + (pi - sigma) * passed
