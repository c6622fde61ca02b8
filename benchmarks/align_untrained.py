"""How well units of networks that were never trained are matched with those of their rotated copies.

    python benchmarks/align_untrained.py results/remul_nbody [--output benchmarks/results/align_nbody/untrained.json]

What correlations and cycles of `geoequiv align` owe to the architecture and to the data, and not to training. One
network for each seed of the runs, as it was before the first step.
"""

import argparse
import json
from pathlib import Path

import torch

from geoequiv.alignment import match_activations, permutation_spec, transformed_copy
from geoequiv.bench.align_runs import alignable
from geoequiv.bench.environment import environment
from geoequiv.bench.runner import build
from geoequiv.bench.trained import load_trained
from geoequiv.files import write_file
from geoequiv.measurements.barriers import (
    AlignConfig,
    batches_of,
    describe_rotation,
    elements_of,
    rotation_angle,
    units_of,
)

CONFIG = AlignConfig(angles=(90, 180), axis="random", elements=2, items=300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/align_nbody/untrained.json"))
    arguments = parser.parse_args()
    task, seen, found = None, set(), []
    for run in alignable(arguments.store):
        first = load_trained(run, task=task)
        task, seed = first.task, first.record.seed
        if seed in seen:
            continue
        seen.add(seed)
        torch.manual_seed(seed)
        model = build(first.spec, task)[0].eval()
        data = [inputs for inputs, _ in batches_of(task, "train", CONFIG.items)]
        few = {name: value[:4] for name, value in data[0].items()}
        spec = permutation_spec(model, few)
        for element in elements_of(CONFIG, task.symmetry):
            copy = transformed_copy(model, task.signature, element, few)
            matching = match_activations(model, copy, spec, data)
            units = {"seed": seed, "element": describe_rotation(element), "angle": round(rotation_angle(element), 4)}
            found.append({**units, "method": "activations", **units_of(matching)})
    content = {"settings": CONFIG.model_dump(mode="json"), "merges": found, "environment": environment()}
    write_file(arguments.output, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"Wrote {arguments.output}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
