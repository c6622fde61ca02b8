"""Outputs up to sign in metrics: compared by their projectors, which both signs share."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from geoequiv.fields import Signature, call_model, projected, projected_signature


class ProjectedModel(nn.Module):
    """A model whose outputs up to sign are v vᵀ / ‖v‖, of the same norm and with the same for both signs.

    Args:
        model: a module or function; its mode is that of this module.
        signature: its own.
    """

    def __init__(self, model: Callable[..., Any], signature: Signature) -> None:
        super().__init__()
        self.model, self.signature = model, signature

    def forward(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Named inputs, or a PyG object → outputs of the projected signature by name."""
        return projected(call_model(self.model, self.signature, inputs), self.signature.outputs)


def comparable(model: Callable[..., Any], signature: Signature) -> tuple[Callable[..., Any], Signature]:
    """A model and signature whose outputs can be subtracted: themselves, unless some output is up to sign."""
    compared = projected_signature(signature)
    return (model, signature) if compared is signature else (ProjectedModel(model, signature), compared)
