r"""Vectors whose sign does not matter, as the projectors that they are averaged and compared by.

.. math:: v \mapsto P(v) = v v^\top / \|v\|, \qquad P(v) = P(-v), \qquad \|P(v)\|_F = \|v\|
"""

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from geoequiv.fields.signature import Side, Signature
from geoequiv.fields.types import UNSIGNED, FieldType

#: under the root of ‖v‖²: lengths below 1e-12 are round-off of vectors of length one
TINY = 1e-24


def projected_side(side: Side) -> Side:
    """The types of what ``projected`` makes of a side: tensors for vectors up to sign."""
    return Side(tuple((n, replace(k, kind="tensor") if k.kind == UNSIGNED else k) for n, k in side.items()))


def projected_signature(signature: Signature) -> Signature:
    """A signature whose outputs up to sign are the tensors that ``projected`` makes of them; itself without such."""
    if not signature.outputs.of_kind(UNSIGNED):
        return signature
    return replace(signature, outputs=projected_side(signature.outputs))


def projected(outputs: Mapping[str, Tensor], side: Side) -> dict[str, Tensor]:
    r"""Outputs with :math:`v v^\top / \|v\|` in place of each vector up to sign.

    Args:
        outputs: name → ``[..., d]`` for a vector up to sign, ``[..., k, d]`` or ``[..., k·d]`` for k of them.
        side: types of the outputs.

    Returns:
        The same; vectors up to sign as ``[..., d, d]``, or ``[..., k, d, d]``.

    Exactness: round-off, and continuous at 0, where the gradient is 0.
    """
    return {n: projector(v, side[n]) if n in side and side[n].kind == UNSIGNED else v for n, v in outputs.items()}


def projector(values: Tensor, kind: FieldType) -> Tensor:
    """One field of ``projected``."""
    copies = kind.multiplicity
    if copies > 1 and (values.ndim < 2 or values.shape[-2] != copies):
        values = values.unflatten(-1, (copies, -1))
    length = (values.square().sum(-1, keepdim=True) + TINY).sqrt()
    return values.unsqueeze(-1) * (values / length).unsqueeze(-2)
