"""The items that a measurement looks at: the first ones of a split."""

from collections.abc import Mapping

from torch import Tensor, nn

from geoequiv.tasks import Split
from geoequiv.training.evaluate import device_of


def first_items(split: Split, count: int, model: nn.Module) -> Mapping[str, Tensor]:
    """The inputs of the first `count` items (or all where there are fewer), on the device of the model."""
    return {name: tensor[:count].to(device_of(model)) for name, tensor in split.inputs.items()}
