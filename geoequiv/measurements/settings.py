"""The `evaluate:` section of a suite: how a trained model is measured."""

from pydantic import Field

from geoequiv.config import Section


class EvaluateConfig(Section):
    """How a trained model is measured.

    Attributes:
        group: group of the equivariance error; None means the task's own.
        num_samples: group elements drawn per item.
        num_items: test items of the equivariance error (the metric always uses all of them).
        batch_size: items per forward pass, also when inference is timed.
        repeats: timed forward passes, of which the median counts.
    """

    group: str | None = None
    num_samples: int = Field(16, ge=1)
    num_items: int = Field(256, ge=1)
    batch_size: int = Field(100, ge=1)
    repeats: int = Field(10, ge=1)
