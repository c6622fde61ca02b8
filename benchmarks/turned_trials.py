"""Recorded running with headings at random: does what a network gains by knowing the room go away?

    geoequiv run benchmarks/turned_trials.yaml --data-dir DIR           from the repository's folder

All recorded trials run one way (`geoequiv data info mocap/run`). Here each item, input and target, is rotated about
the vertical by an angle of its own. Frames about the vertical do not notice.
"""

import os
from dataclasses import replace

import torch

from geoequiv.fields import act
from geoequiv.groups import group
from geoequiv.tasks import Split, Task
from geoequiv.tasks.motion_capture import run


def turned_run(data_dir: str | os.PathLike[str] | None = None, *, seed: int = 0) -> Task:
    """Running, subject 9, each item rotated about the vertical at random.

    Args:
        data_dir: see mocap/run.
        seed: of the angles.
    """
    task = run(data_dir, dtype="float64")
    generator = torch.Generator().manual_seed(seed)

    def rotated(split: Split) -> Split:
        rotations = group("SO(2)@y").sample(len(split), generator=generator)
        moved = (
            act(rotations, fields, side)
            for fields, side in ((split.inputs, task.signature.inputs), (split.targets, task.signature.outputs))
        )
        inputs, targets = ({name: values.float() for name, values in fields.items()} for fields in moved)
        return Split(inputs, targets, item_group=split.item_group)

    splits = {name: rotated(split) for name, split in task.splits.items()}
    protocol = task.protocol.replace("/mse", "/turned/mse") + (f"/turns{seed}" if seed else "")
    return replace(
        task,
        name="turned/run",
        protocol=protocol,
        splits=splits,
        references=(),
        drawing=replace(task.drawing, paths=None),
    )
