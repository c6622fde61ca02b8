"""Linear motion: each point moves in a straight line."""

from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import GEOMETRIC, SignatureAdapter
from geoequiv.ranges import PositiveInt, check_ranges


@check_ranges
class Linear(nn.Module):
    r"""Straight lines with learned times, the weakest exactly equivariant model.

    .. math:: \hat x = x + \sum_c t_c\, v_c, \qquad \hat v = \sum_c t'_c\, v_c, \qquad \hat s = W s + b

    where :math:`v_c` are the vectors, and the differences of further points to the one displaced.

    Args:
        signature: of points, vectors and scalars; an ``adjacency`` is not read, nor is ``edge_index``.
        width: unused; models share this argument.
        depth: unused; models share this argument.

    Raises:
        SignatureError: for other field types, or scalar outputs without scalar inputs.

    Exactness: equivariant to E(3) up to round-off.
    Reference: Satorras et al. 2021, baseline "Linear".
    """

    claims = "E(3)"
    compiles = "one graph"

    def __init__(self, signature: Signature | str, width: PositiveInt = 64, depth: PositiveInt = 4) -> None:
        super().__init__()
        self.adapter = SignatureAdapter(signature, kinds=GEOMETRIC, architecture="Linear")
        if self.adapter.out_scalars and not self.adapter.scalars:
            raise SignatureError(f"Linear has no scalars to predict scalars from: '{signature}'.")
        self.times = nn.Parameter(
            torch.zeros(self.adapter.out_points + self.adapter.out_vectors, self.adapter.directions)
        )
        self.scalars = nn.Linear(self.adapter.scalars, self.adapter.out_scalars) if self.adapter.out_scalars else None

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        directions = self.adapter.start(cloud)[1] if self.adapter.points else cloud.vectors
        moves = self.times @ directions  # [..., N, out_points + out_vectors, 3]
        steps, vectors = moves.split([self.adapter.out_points, self.adapter.out_vectors], dim=-2)
        return self.adapter.write(
            cloud,
            points=self.adapter.origins(cloud) + steps,
            vectors=vectors,
            scalars=cloud.scalars[..., :0] if self.scalars is None else self.scalars(cloud.scalars),
        )
