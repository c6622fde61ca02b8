"""Frames of hidden features: principal axes of the vectors that a layer has made, instead of the positions."""

from dataclasses import dataclass
from typing import Any

from geoequiv.errors import SignatureError
from geoequiv.fields import FieldType, Layout, Side
from geoequiv.groups import Element
from geoequiv.symmetrize.frames.diagnosis import read_fields
from geoequiv.symmetrize.frames.frame import Frame

KIND = {True: ("point",), False: ("point", "vector")}


@dataclass(frozen=True)
class LatentFrame(Frame):
    r"""Another frame, of the cloud of all vectors of one field: C of each node, N·C of an item.

    .. math:: F(h) = F'\big(\{ h_{nc} : n \le N, c \le C \}\big)

    Where layers are averaged one by one, each has the frames of the features that it reads (``point*C``, which are
    centred, under groups that translate; ``vector*C`` under O(d) and SO(d)).

    Args:
        group: of the frame.
        of: the frame of a cloud of points.
        source: name of the field; ``None`` takes the first that can be used.
        detach: whether the frame counts as constant in the backward pass, as in the published code. Its derivative
            grows where two eigenvalues come near.

    Exactness: that of the frame, if the field is equivariant. With ``detach``, gradients to the field leave out the
    part through the frame.

    Reference: Puny et al. 2022, the second frame of FA-Local-PointNet and the layers of FA-GNN.
    """

    of: Frame
    source: str | None = None
    detach: bool = False

    @property
    def is_exact(self) -> bool:
        return self.of.is_exact

    def check_inputs(self, side: Side) -> None:
        self._source(side)

    def check_outputs(self, side: Side) -> None:
        self.of.check_outputs(side)

    def _source(self, side: Side) -> str:
        kinds = KIND[self.group.translates]
        for name in side if self.source is None else [self.source]:
            if name in side and side[name].kind in kinds and side[name].rows in (None, "node"):
                return name
        raise SignatureError(
            f"A latent frame of {self.group} needs an input of type {' or '.join(kinds)} of each node"
            f"{'' if self.source is None else f' called {self.source!r}'}; the inputs are ({side})."
        )

    def __call__(
        self, fields: Any, side: str | Side = "pos: point", layout: Layout | None = None, *, training: bool = False
    ) -> tuple[Element, Any]:
        fields, side, layout = read_fields(fields, side, self.group.dim, layout)
        name = self._source(side)
        copies, dim = side[name].multiplicity, self.group.dim
        values = fields[name].detach() if self.detach else fields[name]
        lead = 1 if layout.is_ragged else len(layout.shape) + 1
        flat = values.reshape(*values.shape[:lead], copies, dim).flatten(lead - 1, lead)
        many = Layout(
            layout.shape,
            layout.nodes * copies,
            None if layout.mask is None else layout.mask.repeat_interleave(copies, -1),
            None if layout.batch is None else layout.batch.repeat_interleave(copies),
            dim=dim,
            round_off=layout.round_off,
        )
        return self.of({"cloud": flat}, Side((("cloud", FieldType("point")),)), many, training=training)
