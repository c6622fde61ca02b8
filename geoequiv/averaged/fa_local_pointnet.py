"""FA-Local-PointNet (Puny et al. 2022): frames per neighbourhood, then per cloud."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.averaged.frame_choice import FrameChoice, chosen
from geoequiv.errors import SignatureError
from geoequiv.fields import FieldType, Side, Signature
from geoequiv.groups import group
from geoequiv.models.layers.cloud import SignatureAdapter
from geoequiv.models.layers.point_sets import Head, PointLayer, PointSet, pooled
from geoequiv.ranges import PositiveInt, check_ranges
from geoequiv.symmetrize import LocalFrameAveraging, Symmetrizer
from geoequiv.symmetrize.frames import PCAFrame
from geoequiv.symmetrize.frames.latent import LatentFrame

WRITABLE = ("vector", "vector up to sign", "scalar", "pseudovector")


@check_ranges
class FALocalPointNet(nn.Module):
    r"""Vectors of each neighbourhood, averaged over its frames; then a PointNet of these, averaged over theirs.

    .. math:: v_i = \langle \phi \rangle_{F(x_{N(i)})} (x_{N(i)}), \qquad
              y = \langle \mathrm{PointNet} \rangle_{F(v)} (v)

    φ sees the k nearest nodes in the order of their distance and has layers of 1, 2 and 2 widths, whose outputs are
    vectors. The PointNet has no T-Nets and layers of 2, 4, 4, 8 and 32 widths, the last without ReLU; its frames are
    those of the cloud of all vectors of all nodes.

    **Flat neighbourhoods.** A reflection in its plane leaves a flat neighbourhood as it is, so that every equivariant
    vector of it lies in the plane: v cannot point along the normal, which the second network has to find as the
    direction that is missing.

    Args:
        signature: one point of each node → vectors (up to sign or not), pseudovectors and scalars of each node.
        width: unit of the widths, 3 or more; 64 is published.
        neighbours: k, the node itself included; 20 is published.
        frame: of the clouds: "pca" with its 8 elements, as published, or "stochastic": one of them in training, all in
            evaluation. Neighbourhoods always have all 8: the second network reads their mean, and one draw in its place
            is another input than in evaluation (errors were 1.5 times those of training).

    Raises:
        SignatureError: for other fields.

    Frames are constants in the backward pass, as in the published code.

    Exactness: equivariant to E(3) in evaluation up to round-off, unless nodes are equally far (see
    ``LocalFrameAveraging``). Outputs up to sign are averaged as projectors, where the published network takes the mean
    of vectors.
    Reference: Puny et al. 2022, section 4.1, and widths of their code.
    """

    claims = "E(3)"
    compiles = "in parts: frames look at values"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        *,
        neighbours: PositiveInt = 20,
        frame: FrameChoice = "pca",
    ) -> None:
        super().__init__()
        parsed = Signature.parse(signature)
        check_fields(parsed)
        self.adapter = SignatureAdapter(parsed, architecture="FALocalPointNet", needs_point=True)
        (self.point,) = parsed.inputs
        vectors = max(2 * width // 3, 1)
        self.local = LocalFrameAveraging(
            NeighbourhoodLayer(neighbours, width, vectors), f"pos: point -> v: vector*{vectors} per graph", "E(3)",
            neighbours,
        )  # fmt: skip
        inner = Signature(Side((("v", FieldType("point", vectors)),)), parsed.outputs)
        acting = group("E(3)")
        latent = chosen(LatentFrame(acting, PCAFrame(acting), detach=True), frame, "FALocalPointNet")
        self.whole = Symmetrizer(VectorPointNet(vectors, width, self.adapter.out_width, parsed.outputs), inner, latent)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        points = PointSet.of(cloud)
        pos = points.fill(cloud.points[..., 0, :])
        layout = {} if points.mask is None else {"mask": points.mask}
        outputs = self.whole(v=self.local(pos=pos, **layout), **layout)
        if isinstance(outputs, Tensor):
            return points.strip(outputs)
        return {name: points.strip(values) for name, values in outputs.items()}


def check_fields(signature: Signature) -> None:
    """Raise SignatureError unless one point goes in and what rotates about the origin comes out, at each node."""
    kinds = [kind.kind for kind in signature.inputs.values()]
    several = any(kind.multiplicity > 1 or kind.rows not in (None, "node") for kind in signature.inputs.values())
    if kinds != ["point"] or several:
        raise SignatureError(f"FALocalPointNet reads one point of each node; the inputs are ({signature.inputs}).")
    for name, kind in signature.outputs.items():
        if kind.kind not in WRITABLE or kind.rows not in (None, "node"):
            raise SignatureError(
                f"FALocalPointNet gives {', '.join(WRITABLE)} of each node; '{name}' is a {kind} in '{signature}'."
            )


class NeighbourhoodLayer(nn.Module):
    """Vectors of a neighbourhood from its coordinates, nearest node first.

    Args:
        neighbours: nodes.
        width: unit of the widths.
        vectors: outputs.
    """

    def __init__(self, neighbours: int, width: int, vectors: int) -> None:
        super().__init__()
        one = 3 * max(width // 3, 1)
        self.layers = nn.ModuleList(
            [PointLayer(3 * neighbours, one), PointLayer(one, 3 * vectors), PointLayer(3 * vectors, 3 * vectors, 1.0)]
        )

    def forward(self, pos: Tensor) -> Tensor:
        """``[M, k, 3]`` → ``[M, vectors, 3]``."""
        values = pos.flatten(1)
        for layer in self.layers:
            values = layer(values)
        return values.unflatten(-1, (-1, 3))


class VectorPointNet(nn.Module):
    """PointNet without T-Nets on the vectors of each node.

    Args:
        vectors: of a node.
        width: unit of the widths.
        outputs: channels.
        side: the types of the outputs.
    """

    def __init__(self, vectors: int, width: int, outputs: int, side: Side) -> None:
        super().__init__()
        w = width
        sizes = (3 * vectors, 2 * w, 4 * w, 4 * w, 8 * w, 32 * w)
        self.layers = nn.ModuleList(PointLayer(a, b, 1.0 if b == 32 * w else 0.0) for a, b in pairwise(sizes))
        self.head = Head(sum(sizes[1:]) + sizes[-1], w, outputs)
        self.side = side

    def forward(self, v: Tensor, mask: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """``[B, N, vectors, 3]`` → the outputs, 0 at padding."""
        values, found = v.flatten(-2), []
        for layer in self.layers:
            values = layer(values, mask)
            found.append(values)
        whole = pooled(values, mask, "max").unsqueeze(-2).expand_as(values)
        channels = self.head(torch.cat([whole, *found], dim=-1), mask)
        channels = channels if mask is None else channels.masked_fill(~mask.unsqueeze(-1), 0.0)
        parts = channels.split([kind.size() for kind in self.side.values()], dim=-1)
        outputs = {
            name: part.unflatten(-1, (kind.multiplicity, -1)) if kind.multiplicity > 1 and not kind.is_scalar else part
            for (name, kind), part in zip(self.side.items(), parts, strict=True)
        }
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))
