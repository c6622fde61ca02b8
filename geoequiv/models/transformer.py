"""A plain transformer with one token per node: equivariant to permutations only."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields import Signature
from geoequiv.models.layers.cloud import Cloud, SignatureAdapter, smooth_norm
from geoequiv.models.layers.padding import Padding
from geoequiv.models.layers.perceptron import perceptron
from geoequiv.ranges import PositiveInt, check_ranges

#: norm → the module that a width makes
NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}


@check_ranges
class Transformer(nn.Module):
    r"""Pre-norm self-attention over the nodes of each cloud, without positional encoding.

    .. math:: h \leftarrow h + \mathrm{MHA}(\mathrm{LN}(h)), \qquad h \leftarrow h + \mathrm{MLP}(\mathrm{LN}(h))

    A token is all fields of a node concatenated; an output point is the input point plus the predicted displacement.
    Ragged batches are padded to their largest cloud. ``edge_index`` is not read: attention is over all nodes of a
    cloud.

    Args:
        signature: any field types; a point output needs a point input.
        width: features of a token.
        depth: blocks.
        heads: attention heads, a divisor of ``width``.
        expansion: hidden features of the perceptron over ``width``.
        norm: "layer" or "rms" (without mean and bias).
        distance_bias: whether a learned function of the distances between two nodes, one per head and the same in all
            blocks, is added to the logits of their attention. It depends on all points of the signature. Tokens are
            unchanged, so this adds no symmetry. An ``adjacency`` input always adds a linear function of its values.

    Raises:
        SignatureError: for a point output without a point input, a width that heads do not divide, another norm, or a
            distance bias without points.

    Exactness: equivariant to permutations up to round-off; not to rotations, reflections or translations.
    Inputs that require grad (forces) take the attention kernel that can be differentiated twice.
    Reference: Vaswani et al. 2017; pre-norm as Xiong et al. 2020. REMUL's gravity backbone is 384 × 10 with 8 heads
    (batch 64, lr 3e-4, 50 000 steps); distances as logits as in Ying et al. 2021 (Graphormer), there of hops.
    """

    claims = None
    compiles = "one graph; ragged batches in parts (their padding has a size that depends on the batch)"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        *,
        heads: PositiveInt = 4,
        expansion: PositiveInt = 4,
        norm: Literal["layer", "rms"] = "layer",
        distance_bias: bool = False,
    ) -> None:
        super().__init__()
        if width % heads:
            raise SignatureError(f"Transformer: {heads} heads do not divide a width of {width}.")
        if norm not in NORMS:
            raise SignatureError(unknown("norm of Transformer", norm, NORMS))
        self.adapter = adapter = SignatureAdapter(signature, architecture="Transformer", needs_point=distance_bias)
        self.embed = nn.Linear(adapter.width, width)
        self.blocks = nn.ModuleList(Block(width, heads, expansion, norm) for _ in range(depth))
        self.distances = perceptron(adapter.points, 32, heads) if distance_bias else None
        self.relations = nn.Linear(adapter.relations, heads, bias=False) if adapter.relations else None
        self.norm = NORMS[norm](width)
        self.head = nn.Linear(width, self.adapter.out_width)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        cloud = self.adapter.read(fields, graph)
        flat = cloud.flat
        padding = None if cloud.batch is None else Padding.of(cloud.batch)
        tokens, positions, mask = self.embed(flat), cloud.points.flatten(-2), cloud.mask
        if padding is not None:
            tokens, positions, mask = padding.fill(tokens), padding.fill(positions), padding.mask
        unbatched = tokens.ndim == 2
        tokens = tokens.unsqueeze(0) if unbatched else tokens
        visible = None
        if mask is not None:
            visible = (mask | ~mask.any(-1, keepdim=True))[..., None, None, :]  # an empty cloud attends to its padding
        bias = self.bias(cloud, positions)
        if bias is not None:
            visible = bias if visible is None else bias.masked_fill(~visible, float("-inf"))
        for block in self.blocks:
            tokens = block(tokens, visible, twice=flat.requires_grad)
        tokens = tokens.squeeze(0) if unbatched else tokens
        if padding is not None:
            tokens = padding.strip(tokens)
        return self.adapter.write_flat(cloud, self.head(self.norm(tokens)))

    def bias(self, cloud: Cloud, positions: Tensor) -> Tensor | None:
        """What is added to the logits of attention, ``[..., heads, N, N]``, or None.

        Args:
            cloud: with its relations.
            positions: ``[..., N, 3P]``, in the layout of the tokens.
        """
        parts = []
        if self.distances is not None:
            between = (positions.unsqueeze(-2) - positions.unsqueeze(-3)).unflatten(-1, (-1, 3))  # [..., N, N, P, 3]
            parts.append(self.distances(smooth_norm(between)))
        if self.relations is not None:
            parts.append(self.relations(cloud.relations))
        return torch.stack(parts).sum(0).movedim(-1, -3) if parts else None


class Block(nn.Module):
    """Attention and perceptron, each on a normalised copy and added back.

    Args:
        width: features of a token.
        heads: attention heads.
        expansion: hidden features over ``width``.
        norm: a name of `NORMS`.
    """

    def __init__(self, width: int, heads: int, expansion: int, norm: str = "layer") -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = NORMS[norm](width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.norm_perceptron = NORMS[norm](width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU(), nn.Linear(expansion * width, width)
        )

    def forward(self, tokens: Tensor, visible: Tensor | None, *, twice: bool) -> Tensor:
        """Tokens ``[..., N, width]`` → the same.

        Args:
            tokens: of each node.
            visible: mask of the keys (bool), or bias of the logits; broadcasts to ``[..., heads, N, N]``.
            twice: take the kernel that has a second derivative.
        """
        joint = self.query_key_value(self.norm_attention(tokens)).unflatten(-1, (3, self.heads, -1))
        query, key, value = joint.movedim(-3, 0).transpose(-3, -2)  # [..., heads, N, width / heads]
        if twice:
            with sdpa_kernel(SDPBackend.MATH):
                seen = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        else:
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        tokens = tokens + self.mix(seen.transpose(-3, -2).flatten(-2))
        return tokens + self.perceptron(self.norm_perceptron(tokens))
