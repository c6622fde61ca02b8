"""The vectors that averaged projectors stand for: how outputs up to sign come back from an average."""

from collections.abc import Mapping

import torch
from torch import Tensor

from geoequiv.fields import UNSIGNED, Side
from geoequiv.symmetrize.frames.eigen import principal_axes


def leading_vectors(tensors: Tensor) -> Tensor:
    r"""The vector whose projector is nearest to each of some positive symmetric tensors.

    .. math:: T = \sum_i \lambda_i u_i u_i^\top \mapsto \lambda_1 u_1, \qquad \lambda_1 \ge \lambda_2 \ge \dots \ge 0

    Args:
        tensors: ``[..., d, d]`` symmetric, positive semidefinite.

    Returns:
        ``[..., d]``, whose sign means nothing; NaN where the tensor is not finite.

    Exactness: round-off; of v vᵀ / ‖v‖ it is ±v. Discontinuous where the two largest eigenvalues cross: there the
    averaged directions disagree so much that none stands out. Of eigenvalues that coincide to round-off the
    derivative leaves out the pair (see ``principal_axes``).
    """
    finite = tensors.isfinite().all(-1).all(-1)[..., None, None]
    tensors = torch.where(finite, tensors, 0)
    direction = principal_axes(tensors)[1][..., -1]
    vectors = (tensors @ direction.unsqueeze(-1)).squeeze(-1)
    return torch.where(finite.squeeze(-1), vectors, torch.nan)


def unprojected(outputs: Mapping[str, Tensor], side: Side, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of ``projected``, up to signs.

    Args:
        outputs: averages; of vectors up to sign those of their projectors.
        side: types of the outputs.
        like: what the model returned for some copies, whose trailing axes the result gets.
    """
    found = dict(outputs)
    for name in side.of_kind(UNSIGNED):
        vectors = leading_vectors(outputs[name])
        flat = side[name].multiplicity > 1 and like[name].shape[-2:] != vectors.shape[-2:]
        found[name] = vectors.flatten(-2) if flat else vectors
    return found
