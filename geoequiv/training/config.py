"""Every option of a training, with its range."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from geoequiv.config import Section
from geoequiv.precision import Precision


class TrainConfig(Section):
    """How a model is trained: frozen, and an unknown key is an error.

    Numbers may come as text (PyYAML reads `5e-4` as a string) or as whole floats (`epochs: 1e3`).

    >>> TrainConfig(lr="5e-4", epochs="1e3").lr
    0.0005
    """

    epochs: int = Field(100, ge=1, description="Passes over the training items.")
    batch_size: int = Field(100, ge=1, description="Training items a step; the last batch of an epoch may be smaller.")
    lr: float = Field(5e-4, gt=0, allow_inf_nan=False, description="Peak learning rate.")
    weight_decay: float = Field(
        1e-12, ge=0, allow_inf_nan=False, description="L2 penalty (adam) or decoupled decay (adamw)."
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="Optimizer.")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="Learning rate after the warm-up: constant, or half a cosine down to 0, step by step."
    )
    warmup_epochs: int = Field(0, ge=0, description="Epochs over which the learning rate rises linearly to its peak.")
    patience: int | None = Field(
        None, ge=1, description="Stop at the first validation this many epochs after the best one (None: never)."
    )
    ema: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Decay of an exponential moving average of the weights, per step; validation and the best "
        "weights then use the average (None: off).",
    )
    gradient_clip: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Largest norm of the gradient of all weights (None: no clipping)."
    )
    validate_every: int = Field(1, ge=1, description="Epochs between validations; the last epoch is always validated.")
    log_every: int = Field(
        1, ge=1, description="Epochs between rows of log.csv, besides those with a validation; changes no other result."
    )
    equivariance_every: int = Field(5, ge=1, description="Validations between measurements of E′.")
    equivariance_items: int = Field(64, ge=0, description="Validation items on which E′ is measured (0: never).")
    equivariance_samples: int = Field(4, ge=1, description="Group elements per item for E′.")
    eval_batch_size: int | None = Field(
        None, ge=1, description="Items a forward pass in evaluation (None: the training batch size)."
    )
    checkpoint_seconds: float = Field(
        30.0, ge=0, allow_inf_nan=False, description="Seconds between checkpoints; does not change the results."
    )
    deterministic: bool = Field(
        True, description="On a GPU, allow deterministic kernels only (a CPU is deterministic anyway)."
    )
    precision: Precision = Field(
        "32",
        description="Of the model's products: float32, bfloat16 or float16 (mixed: weights and losses are float32), or "
        "float64 for all.",
    )
    compile: bool = Field(False, description="Train the model through torch.compile.")
    devices: int = Field(1, ge=1, description="Devices that share each step; does not change the results.")

    @field_validator("*", mode="before")
    @classmethod
    def _number(cls, value: Any, info: Any) -> Any:
        """Read text such as `1e3` as a number, and the number 32 as a precision; refuse true/false as a number."""
        if info.field_name in ("optimizer", "schedule", "deterministic", "compile"):
            return value
        if info.field_name == "precision":
            return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if isinstance(value, bool):
            raise ValueError("expected a number, got true or false")
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                return value  # pydantic names what was expected
        return value

    @model_validator(mode="after")
    def _warmup_fits(self) -> "TrainConfig":
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs}) is more than epochs ({self.epochs})")
        return self
