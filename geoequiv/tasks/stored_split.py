"""A split out of stored arrays."""

from collections.abc import Sequence

import torch

from geoequiv.tasks.data.cache import Arrays
from geoequiv.tasks.task import Split


def stored_split(
    arrays: Arrays, split: str, inputs: Sequence[str], dtype: torch.dtype, marks: Sequence[str] = ()
) -> Split:
    """The split whose arrays are named "<split>_<field>"; its target is "<split>_target", called "pos".

    Args:
        arrays: as the simulation stored them, [n, …].
        split: "train", "test_shifted" …
        inputs: names of the input fields.
        dtype: of inputs and targets.
        marks: names of the marks, stored as bool.
    """
    tensors = {name: torch.from_numpy(arrays[f"{split}_{name}"]) for name in (*inputs, *marks, "target")}
    return Split(
        inputs={name: tensors[name].to(dtype) for name in inputs},
        targets={"pos": tensors["target"].to(dtype)},
        marks={name: tensors[name] for name in marks},
    )
