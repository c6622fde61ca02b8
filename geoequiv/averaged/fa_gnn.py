"""FA-GNN (Puny et al. 2022): a message-passing network whose layers are averaged one by one, in their own frames."""

from typing import Any

from torch import Tensor, nn

from geoequiv.averaged.frame_choice import FrameChoice, chosen
from geoequiv.errors import SignatureError
from geoequiv.fields import FieldType, Side, Signature
from geoequiv.groups import group
from geoequiv.models import GNN
from geoequiv.models.layers.batches import by_name
from geoequiv.ranges import PositiveInt, check_ranges
from geoequiv.symmetrize import Symmetrizer
from geoequiv.symmetrize.frames import PCAFrame
from geoequiv.symmetrize.frames.latent import LatentFrame

LATENT = "latent"  # the name of the hidden points
LAYOUT = ("mask", "batch", "edge_index")


@check_ranges
class FAGNN(nn.Module):
    r"""Hidden points of each node, updated by layers that are averaged over the frames of these points.

    .. math:: h^0 = \langle \phi^0 \rangle_{F(x)}(x), \qquad
              h^{l} = \langle \phi^l \rangle_{F(h^{l-1})}(h^{l-1}, x), \qquad
              y = \langle \psi \rangle_{F(h^{L})}(h^{L}, x)

    φ and ψ are one message-passing layer each (``GNN`` of depth 1), on raw coordinates. The frames of a layer are the
    principal axes of all hidden points of all nodes, about their mean, and constants in the backward pass; those of the
    first are the positions'. A ``GNN`` inside ``FrameAveraging`` has the latter for the whole network.

    Args:
        signature: as for ``GNN``, with at least one input point of each node.
        width: features of nodes and messages within a layer.
        depth: layers, two or more.
        points: hidden points of a node.
        frame: of all layers: "pca" with its 8 elements, or "stochastic": one of them in training, drawn for each layer,
            and all in evaluation.

    Raises:
        SignatureError: without an input point, or with a field called "latent".

    Exactness: equivariant to E(3) in evaluation, and to permutations, up to round-off. Discontinuous where the
    eigenvalues of a layer cross.
    Reference: Puny et al. 2022, section 4.3, for frames in latent space; layers and sizes are ours.
    """

    claims = "E(3)"
    compiles = "in parts: frames look at values"

    def __init__(
        self,
        signature: Signature | str,
        width: PositiveInt = 64,
        depth: PositiveInt = 4,
        *,
        points: PositiveInt = 8,
        frame: FrameChoice = "pca",
    ) -> None:
        super().__init__()
        if depth < 2:
            raise SignatureError(f"FAGNN has two layers or more, got depth={depth}.")
        self.signature = parsed = Signature.parse(signature)
        if LATENT in (*parsed.inputs, *parsed.outputs):
            raise SignatureError(
                f"FAGNN calls its hidden points '{LATENT}': give the field of '{parsed}' another name."
            )
        acting = group("E(3)")
        hidden = (LATENT, FieldType("point", points))
        seen, made = Side((hidden, *parsed.inputs.items())), Side((hidden,))
        hidden_frame = LatentFrame(acting, PCAFrame(acting), LATENT, detach=True)
        first, later = (chosen(each, frame, "FAGNN") for each in (PCAFrame(acting), hidden_frame))
        steps = [(Signature(parsed.inputs, made), first), *[(Signature(seen, made), later)] * (depth - 2)]
        steps.append((Signature(seen, parsed.outputs), later))
        self.layers = nn.ModuleList(Symmetrizer(GNN(each, width, 1), each, at) for each, at in steps)

    def forward(self, graph: Any = None, /, **fields: Tensor) -> Tensor | dict[str, Tensor]:
        """Fields of the signature, by name or as a PyG object → its outputs."""
        found = by_name(graph, fields)
        given = {name: found[name] for name in (*self.signature.inputs, *LAYOUT) if found.get(name) is not None}
        values = self.layers[0](**given)
        for layer in self.layers[1:]:
            values = layer(**given, **{LATENT: values})
        return values
