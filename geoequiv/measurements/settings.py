"""The `evaluate:` section of a suite: how a trained model is measured."""

from pydantic import Field

from geoequiv.config import Section


class EvaluateConfig(Section):
    """How a trained model is measured: no part of a run's identity, so a change measures again and trains nothing."""

    group: str | None = Field(None, description="Group of the equivariance error (None: the task's own).")
    num_samples: int = Field(16, ge=1, description="Group elements drawn for the equivariance error.")
    num_items: int = Field(
        256, ge=1, description="Test items of the equivariance error; the metric always uses all of them."
    )
    batch_size: int = Field(100, ge=1, description="Items per forward pass, also when inference is timed.")
    repeats: int = Field(10, ge=1, description="Timed forward passes, of which the median counts.")
