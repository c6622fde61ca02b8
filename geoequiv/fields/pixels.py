"""Permuting the pixels of images: the representation of reflections and rotations by 90°."""

import torch
from torch import Tensor

from geoequiv.errors import BatchError, SignatureError
from geoequiv.groups import Element

#: Said wherever an image meets a group that does not map its grid to itself.
GRID_GROUPS = (
    "images are transformed by groups that keep the pixel grid of the plane (x, y), such as flip, C4, D4, D4@plane"
)


def permute_pixels(element: Element, images: Tensor, name: str) -> Tensor:
    r"""Transform each pixel's position with the plane.

    .. math:: (\rho(g) f)(x) = f(g^{-1} x)

    The first coordinate of the plane points right (along W), the second up (against H), the origin is the middle of
    the image; so the rotation of C4 by 90° is ``torch.rot90(images, 1, (-2, -1))``, counter-clockwise as seen. In
    3-space the image lies in the plane of x and y, and is seen through from behind where z changes sign.

    Args:
        element: batch shape S, isometries that fix the origin and map the square grid to itself.
        images: ``[*S, ..., C, H, W]``; lengths of 1 in the element's S broadcast.
        name: of the field, for messages.

    Raises:
        SignatureError: an element that is no reflection or rotation by 90° of the grid.
        BatchError: a rotation by 90° of an image that is not square.

    Exactness: bit for bit (pixels are looked up, never interpolated); differentiable in the pixels.
    """
    linear = element.linear.double()
    grid = linear[..., :2, :2].round()
    off = torch.cat([(linear[..., :2, :2] - grid).flatten(), linear[..., 2:, :2].flatten()])
    if bool(off.abs().max() > 1e-4):
        raise SignatureError(f"Field '{name}': {GRID_GROUPS}; this group element does not map pixels to pixels.")
    height, width = images.shape[-2:]
    if height != width and bool(grid[..., 0, 1].abs().max() > 0):
        raise BatchError(
            f"Field '{name}': images of {height} × {width} pixels cannot be rotated by 90°; make them square."
        )
    row = torch.arange(height, dtype=torch.float64, device=images.device)[:, None].expand(height, width)
    column = torch.arange(width, dtype=torch.float64, device=images.device).expand(height, width)
    place = torch.stack([2 * column - (width - 1), (height - 1) - 2 * row], -1).flatten(0, 1)  # [H·W, 2], half pixels
    source = place @ grid.to(images.device)  # row vectors times R: R⁻¹ of each place
    from_column = (source[..., 0] + (width - 1)) / 2
    from_row = ((height - 1) - source[..., 1]) / 2
    index = (from_row * width + from_column).long()  # [*S, H·W]
    flat = images.flatten(-2)
    if index.numel() == height * width:  # the same for every item
        return flat.index_select(-1, index.flatten()).reshape(images.shape)
    index = index.reshape(*index.shape[:-1], *(1,) * (flat.ndim - index.ndim), -1)
    return torch.take_along_dim(flat, index, -1).unflatten(-1, (height, width))
