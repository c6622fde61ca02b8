"""Spectra of normalised Laplacians of graphs, and bands of them as weights of pairs."""

import torch
from torch import Tensor

from geoequiv.models.layers.graph_batches import DenseGraphs, SparseGraphs
from geoequiv.models.layers.padding import Padding


def normalised_laplacian(adjacency: Tensor) -> Tensor:
    r""":math:`I - D^{-1/2} A D^{-1/2}` of symmetric adjacencies ``[B, N, N]``; a node without edges has a row of I."""
    degree = adjacency.sum(-1)
    scale = torch.where(degree > 0, degree.clamp(min=torch.finfo(degree.dtype).tiny).rsqrt(), 0)
    eye = torch.eye(adjacency.shape[-1], dtype=adjacency.dtype, device=adjacency.device)
    return eye - scale.unsqueeze(-1) * adjacency * scale.unsqueeze(-2)


def largest_eigenvalues(graphs: SparseGraphs) -> Tensor:
    """The largest eigenvalue of the normalised Laplacian of each graph, ``[B]``; 2 for graphs without edges."""
    padding = Padding.of(graphs.batch)
    size = padding.longest
    first, second = padding.slot[graphs.edge_index[0]], padding.slot[graphs.edge_index[1]]
    flat = graphs.nodes.new_zeros(padding.clouds * size * size)
    adjacency = flat.index_fill(0, first * size + second % size, 1.0).reshape(-1, size, size)
    # a node without edges has the eigenvalue 1, below the largest of any graph with an edge
    found = torch.linalg.eigvalsh(normalised_laplacian(adjacency).double())[:, -1].to(adjacency)
    return torch.where(adjacency.flatten(1).any(1), found, 2.0)


def spectral_bands(graphs: DenseGraphs, bands: int, sharpness: float) -> Tensor:
    r"""Supports of spectral convolutions: Gaussian bands of the normalised Laplacian on edges and nodes, and I.

    .. math:: C_s = M \odot U \operatorname{diag}\big(e^{-\beta (\lambda - f_s)^2}\big) U^\top, \qquad
        M = \mathbb 1[A + I > 0], \quad f_s \text{ evenly from } \lambda_{\min} \text{ to } \lambda_{\max}

    Args:
        graphs: ``[B, N]`` nodes, the padded ones without any support.
        bands: number of centres f of each graph.
        sharpness: β.

    Returns:
        ``[B, bands + 1, N, N]``, the identity last.

    Exactness: functions of the Laplacian, which degenerate eigenvalues leave well defined; round-off of eigenvalues.
    """
    adjacency, mask = (graphs.adjacency != 0).double(), graphs.mask
    far = torch.full_like(adjacency[..., 0], 3.0)  # padding has an eigenvalue beyond 2, the largest possible one
    laplacian = normalised_laplacian(adjacency)
    laplacian = torch.where(mask.unsqueeze(-1), laplacian, torch.diag_embed(far))
    values, vectors = torch.linalg.eigh(laplacian)
    values = values.clamp(min=0)
    real = values < 2.5
    least = values[:, 0]
    most = torch.where(real, values, 0).amax(-1)
    steps = torch.linspace(0, 1, bands, dtype=values.dtype, device=values.device)
    centres = least.unsqueeze(-1) + (most - least).unsqueeze(-1) * steps  # [B, bands]
    weights = torch.exp(-sharpness * (values.unsqueeze(1) - centres.unsqueeze(-1)).square())
    spectral = (vectors.unsqueeze(1) * weights.unsqueeze(-2)) @ vectors.mT.unsqueeze(1)
    eye = torch.diag_embed(mask.to(adjacency))
    spectral = torch.where(((adjacency + eye) > 0).unsqueeze(1), spectral, 0)
    return torch.cat([spectral, eye.unsqueeze(1)], 1).to(graphs.nodes)
