"""Eigenvectors of symmetric matrices with gradients that stay finite where eigenvalues coincide."""

from typing import Any

import torch
from torch import Tensor


class _PrincipalAxes(torch.autograd.Function):
    """Eigenvectors by ``torch.linalg.eigh``, with derivatives that leave out coinciding pairs."""

    generate_vmap_rule = True

    @staticmethod
    def forward(matrix: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        return values, vectors

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        values, vectors = output
        ctx.save_for_backward(inputs[0], vectors)
        ctx.save_for_forward(inputs[0], vectors)
        ctx.mark_non_differentiable(values)

    @staticmethod
    def backward(ctx: Any, _: Tensor, grad: Tensor) -> Tensor:
        matrix, vectors = ctx.saved_tensors
        inner = inverse_gaps(matrix, vectors) * (vectors.mT @ grad)
        gradient = vectors @ inner @ vectors.mT
        return 0.5 * (gradient + gradient.mT)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor) -> tuple[None, Tensor]:
        matrix, vectors = ctx.saved_tensors
        symmetric = 0.5 * (tangent + tangent.mT)
        return None, vectors @ (inverse_gaps(matrix, vectors) * (vectors.mT @ symmetric @ vectors))


def inverse_gaps(matrix: Tensor, vectors: Tensor) -> Tensor:
    """1 / (λ_j - λ_i), and 0 for a pair that coincides to round-off; differentiable in matrix and vectors."""
    values = ((vectors.mT @ matrix) * vectors.mT).sum(-1)  # not saved: so that double backward goes through them
    gap = values.unsqueeze(-2) - values.unsqueeze(-1)
    scale = values.detach().abs().amax(-1, keepdim=True).unsqueeze(-1)
    apart = gap.detach().abs() > torch.finfo(values.dtype).eps * matrix.shape[-1] * scale
    return torch.where(apart, 1 / torch.where(apart, gap, 1), 0)


def principal_axes(matrix: Tensor) -> tuple[Tensor, Tensor]:
    r"""Orthonormal eigenvectors of symmetric matrices, as columns, eigenvalues ascending.

    .. math:: \bar A = V \big( K \circ (V^\top \bar V) \big) V^\top, \qquad \dot V = V (K \circ V^\top \dot A V),
              \qquad K_{ij} = 1 / (\lambda_j - \lambda_i)

    Args:
        matrix: ``[..., d, d]`` symmetric.

    Returns:
        Eigenvalues ``[..., d]`` (without gradient) and eigenvectors ``[..., d, d]``. Signs, and bases of eigenspaces of
        dimension above one, are LAPACK's choice.

    Exactness: the derivative is exact for distinct eigenvalues; the terms of a pair that coincides to round-off are
    left out, where the true derivative does not exist. Twice differentiable; in forward mode as well.
    """
    return _PrincipalAxes.apply(matrix)
