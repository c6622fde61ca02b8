"""Adapts a signature to architectures for images: one image in, one row of numbers out."""

from dataclasses import dataclass

from torch import Tensor

from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import Signature


@dataclass(frozen=True)
class Picture:
    """Channels of the image and number of outputs.

    Args:
        channels: of the input.
        outputs: of the output.
        architecture: for messages.
    """

    channels: int
    outputs: int
    architecture: str

    @classmethod
    def of(cls, signature: Signature | str, architecture: str) -> "Picture":
        """Read it off ``image: image*3 -> logits: scalar*10``.

        Raises:
            SignatureError: other inputs than one image whose channels are stated, or other outputs than one scalar.
        """
        signature = Signature.parse(signature)
        inputs, outputs = list(signature.inputs.values()), list(signature.outputs.values())
        if [kind.kind for kind in inputs] != ["image"] or [kind.kind for kind in outputs] not in (
            ["scalar"],
            ["label"],
        ):
            raise SignatureError(
                f"{architecture} reads one image and predicts one row of scalars, as in 'image: image*3 -> logits: "
                f"scalar*10'; got '{signature}'."
            )
        return cls(inputs[0].multiplicity, outputs[0].multiplicity, architecture)

    def flat(self, image: Tensor) -> Tensor:
        """Images with one batch axis, ``[..., C, H, W]`` → ``[n, C, H, W]``.

        Raises:
            BatchError: another number of channels.
        """
        if image.ndim < 3 or image.shape[-3] != self.channels:
            raise BatchError(
                f"{self.architecture} reads images [..., {self.channels}, H, W]; got shape {list(image.shape)}."
            )
        return image.reshape(-1, *image.shape[-3:])


def channels_of(base: int, width: float) -> int:
    """So many channels of a published number at a width multiplier: even, so that they can come in mirrored pairs.

    >>> channels_of(64, 0.125), channels_of(64, 0.01)
    (8, 2)
    """
    return max(2, 2 * round(base * width / 2))
