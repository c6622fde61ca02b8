"""Is the residual stream of a rotated input a linear map of that of the input? Layer by layer, over β.

    python benchmarks/align_layers.py results/remul_nbody [--output benchmarks/results/align_nbody/layers.json]

A weaker question than a barrier's, and free of permutations: with h the stream after a block, how much of the variance
of h(g x) does the best affine map of h(x) explain, fitted on half of the test items and measured on the other half? A
layer that carries a representation of the group gives 1 for every g. Compared with the stream of another training on
the same input, and with the network as it was before training.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment import match_activations, permutation_spec, transformed_copy
from geoequiv.bench.align_runs import alignable, partners
from geoequiv.bench.environment import environment
from geoequiv.bench.runner import build
from geoequiv.bench.trained import load_trained
from geoequiv.fields import act, call_model
from geoequiv.files import write_file
from geoequiv.measurements.barriers import AlignConfig, batches_of, describe_rotation, elements_of, units_of
from geoequiv.records.run_directory import read_record

ITEMS = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--seeds", type=int, nargs="*", help="of the runs to look at (all)")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/align_nbody/layers.json"))
    arguments = parser.parse_args()
    config = AlignConfig(angles=(45, 90, 135, 180), axis="random", elements=2)
    task, runs = None, []
    for run, other in partners(alignable(arguments.store)).items():
        if arguments.seeds and read_record(run).seed not in arguments.seeds:
            continue
        first = load_trained(run, task=task)
        task = first.task
        inputs = {name: value[:ITEMS] for name, value in task.splits["test"].inputs.items()}
        elements = elements_of(config, task.symmetry)
        transformed = [act(element, inputs, task.signature.inputs) for element in elements]
        torch.manual_seed(first.spec.config["seed"])
        untrained, _ = build(first.spec, task)
        found: dict[str, Any] = {"run": run.name, "symmetry": first.record.method.label, "seed": first.record.seed}
        for name, model in (("trained", first.model), ("untrained", untrained.eval())):
            still = streams(model, task, inputs)
            found[name] = [
                {"element": describe_rotation(element), "angle": round(angle, 4), "explained": explained(still, other)}
                for element, angle, other in zip(
                    elements, angles(config), (streams(model, task, each) for each in transformed), strict=True
                )
            ]
        if other is not None:
            second = load_trained(other, task=task).model
            found["another"] = explained(streams(first.model, task, inputs), streams(second, task, inputs))
        if not any(each["seed"] == found["seed"] and "untrained_units" in each for each in runs):
            found["untrained_units"] = units_before_training(task, untrained, config)
        runs.append(found)
        print(found["symmetry"], found["seed"], flush=True)
    content = {"settings": config.model_dump(mode="json"), "items": ITEMS, "runs": runs, "environment": environment()}
    write_file(arguments.output, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"Wrote {arguments.output}")


def units_before_training(task: Any, model: nn.Module, config: AlignConfig) -> list[dict[str, Any]]:
    """How well units of an untrained network are matched with its copies': what is not owed to training."""
    data = [inputs for inputs, _ in batches_of(task, "train", 300)]
    few = {name: value[:4] for name, value in data[0].items()}
    spec = permutation_spec(model, few)
    found = []
    for element, angle in zip(elements_of(config, task.symmetry), angles(config), strict=True):
        copy = transformed_copy(model, task.signature, element, few)
        matching = match_activations(model, copy, spec, data)
        found.append(
            {"element": describe_rotation(element), "angle": angle, "method": "activations", **units_of(matching)}
        )
    return found


def angles(config: AlignConfig) -> list[float]:
    """The angle of each element of ``elements_of``."""
    return [angle for angle in config.angles for _ in range(config.elements)]


def streams(model: nn.Module, task: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a transformer's embedding and blocks return: name → ``[items · nodes, width]``, float64."""
    heard: dict[str, Tensor] = {}
    parts = {"embed": model.embed, **{f"block {i}": block for i, block in enumerate(model.blocks)}}
    handles = [
        part.register_forward_hook(lambda _, __, out, name=name: heard.update({name: out.flatten(0, -2).double()}))
        for name, part in parts.items()
    ]
    with torch.no_grad():
        call_model(model, task.signature, inputs)
    for handle in handles:
        handle.remove()
    return heard


def explained(still: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, dict[str, float]]:
    """By layer: share of the variance of ``other`` that the best affine and the best rigid map of ``still`` explain."""
    found = {}
    for name, source in still.items():
        target, half = other[name], len(source) // 2
        means = source[:half].mean(0), target[:half].mean(0)
        a, b = source - means[0], target - means[1]
        ridge = 1e-7 * a[:half].square().sum() * torch.eye(a.shape[1], dtype=a.dtype)
        linear = torch.linalg.solve(a[:half].mT @ a[:half] + ridge, a[:half].mT @ b[:half])
        left, _, right = torch.linalg.svd(a[:half].mT @ b[:half])
        whole = (b[half:] - b[half:].mean(0)).square().sum()
        found[name] = {
            kind: 1 - float((b[half:] - a[half:] @ mapping).square().sum() / whole)
            for kind, mapping in (("affine", linear), ("rigid", left @ right))
        }
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
