"""``geoequiv align``: is a trained run equivariant inside?"""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoequiv.cli.arguments import RAW, Commands, common, data_folder, positive
from geoequiv.errors import DataError

if TYPE_CHECKING:
    from geoequiv.groups import Element, Group
    from geoequiv.tasks import Task

ALIGN = """\
Merge a trained network with its own transformed copies, units matched, and say what the halfway network is worth: the
barrier is 0 for a network that is equivariant inside. With --other, the network is merged with another run's instead,
which is the yardstick.
"""
EXAMPLES = """\
examples:
  geoequiv align results/nbody/01ca75b89dbe                                 draws of the task's group
  geoequiv align results/nbody/01ca75b89dbe --group "T" --json barrier.json all elements of a finite group
  geoequiv align results/nbody/01ca75b89dbe --angles 0,15,45,90,180         barrier against the angle
  geoequiv align results/nbody/01ca75b89dbe --other results/nbody/97e2428d54ad
"""
COLUMNS = ("barrier", "without_repair", "without_matching", "first", "second", "middle")


def add(commands: Commands) -> None:
    """Add the command."""
    align = commands.add_parser(
        "align", parents=[common(), data_folder()], help="barrier between a run and its transformed copies",
        description=ALIGN, epilog=EXAMPLES, formatter_class=RAW,
    )  # fmt: skip
    align.add_argument("run", type=Path, metavar="RUN_DIR", help="folder of a finished run")
    align.add_argument("--group", metavar="NAME", help="whose elements (the task's, without translations)")
    align.add_argument("--elements", type=positive, default=4, metavar="K", help="draws of an infinite group (4)")
    align.add_argument("--angles", metavar="DEG,…", help="rotations about the last axis by these angles instead")
    align.add_argument("--items", type=positive, default=500, metavar="N", help="of training and of test data (500)")
    align.add_argument(
        "--matching", choices=("activations", "rotations", "weights", "none"), default="activations",
        help="of units; rotations: by orthogonal matrices where units bear them (activations)",
    )  # fmt: skip
    align.add_argument("--other", type=Path, metavar="RUN_DIR", help="merge with this run instead of with copies")
    align.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    align.add_argument("--json", type=Path, metavar="FILE", help="write the reports here as well")
    align.set_defaults(command=_align)


def _align(options: argparse.Namespace) -> int:
    import torch

    from geoequiv.alignment import barrier, permutation_spec, symmetry_barrier
    from geoequiv.bench.trained import load_trained
    from geoequiv.groups import group

    trained = load_trained(options.run, options.data_dir)
    task, model = trained.task, trained.model
    data, loader = (pairs(task, split, options.items) for split in ("train", "test"))
    few = {name: value[:2] for name, value in data[0][0].items()}
    settings: dict[str, Any] = {
        "better": task.metric.better, "data": data, "matching": options.matching, "spec": permutation_spec(model, few),
    }  # fmt: skip
    metric = metric_of(task)
    if options.other:
        second = load_trained(options.other, options.data_dir).model
        found = {options.other.name: barrier(model, second, task.signature, loader, metric, **settings)}
    else:
        acting = group(options.group) if options.group else group(task.symmetry).linear_part
        elements = (
            turns(options.angles, acting.dim)
            if options.angles
            else (chosen(acting, options.elements, torch.Generator().manual_seed(options.seed)))
        )
        found = {
            describe(each): symmetry_barrier(model, task.signature, each, loader, metric, **settings)
            for each in elements
        }
    print(f"{task.metric.name} ({task.metric.better} is better), relative barriers of the halfway network")
    print(f"{'':32}" + "".join(f"{name.replace('_', ' '):>18}" for name in COLUMNS))
    for name, report in found.items():
        print(f"{name:32}" + "".join(f"{getattr(report, column):>18.4g}" for column in COLUMNS))
    if options.json:
        content = {"run": options.run.name, "metric": task.metric.name,
                   "barriers": {name: report.as_dict() for name, report in found.items()}}  # fmt: skip
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


def pairs(task: "Task", split: str, items: int, batch_size: int = 100) -> list[tuple[dict, dict]]:
    """Batches of inputs and targets of a split's first items."""
    part = task.splits[split]
    count = min(items, len(part))
    return [
        tuple({name: value[i : min(i + batch_size, count)] for name, value in side.items()}
              for side in (part.inputs, part.targets))
        for i in range(0, count, batch_size)
    ]  # type: ignore[misc]  # fmt: skip


def metric_of(task: "Task") -> Any:
    """The task's metric as a mean over a batch."""
    names = list(task.signature.outputs)

    def mean(outputs: Any, targets: Any) -> float:
        if len(names) == 1:
            outputs, targets = {names[0]: outputs}, {names[0]: targets}
        return float(task.metric.per_item(outputs, targets).double().mean())

    return mean


def chosen(acting: "Group", count: int, generator: Any) -> "list[Element]":
    """All elements of a finite group but the identity, or draws."""
    if acting.is_finite:
        elements = acting.elements()
        return [elements[i] for i in range(1, len(elements))]
    elements = acting.sample(count, generator=generator)
    return [elements[i] for i in range(count)]


def turns(angles: str, dim: int) -> "list[Element]":
    """Rotations of the first two coordinates by ``"30,90"`` degrees.

    Raises:
        DataError: something that is no number.
    """
    import torch

    from geoequiv.groups import Element

    found = []
    for text in angles.split(","):
        try:
            angle = math.radians(float(text))
        except ValueError:
            raise DataError(f"Expected angles in degrees, such as --angles 30,90; got '{text}'.") from None
        matrix = torch.eye(dim, dtype=torch.float64)
        cos, sin = math.cos(angle), math.sin(angle)
        matrix[:2, :2] = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
        found.append(Element(matrix))
    return found


def describe(element: "Element") -> str:
    """``rotation by 93.1° about (0.36, 0.48, 0.80)``; ``reflection ∘ …`` for an improper element of 3-space."""
    import torch

    matrix = element.linear.double()
    if element.dim != 3:
        return str(matrix.tolist())
    sign = float(torch.linalg.det(matrix).sign())
    turn = matrix * sign
    angle = math.degrees(math.acos(min(max((float(turn.trace()) - 1) / 2, -1.0), 1.0)))
    values, vectors = torch.linalg.eigh((turn + turn.mT) / 2)
    axis = vectors[:, int(values.argmax())]
    twist = torch.stack([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    axis = axis * (-1 if float(axis @ twist) < 0 else 1)
    name = f"{angle:.1f}° about ({', '.join(f'{part:.2f}' for part in (axis + 0.0).tolist())})"
    return name if sign > 0 else f"−1 · {name}"
