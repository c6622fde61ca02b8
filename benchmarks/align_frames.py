"""Is the network inside a frame average equivariant to the flips between its frames? A barrier, inside the wrapper.

    python benchmarks/align_frames.py results/nbody_charged [--output benchmarks/results/align_nbody/frames.json]

A frame average is its own copy as a whole, whatever the network inside does. The PCA frames of a cloud differ by flips
of the axes, so the network inside has seen every flip; here it is merged with its own flipped copies, and measured
inside the average. The yardstick is the network inside another training.
"""

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import torch

from geoequiv.alignment import permutation_spec, transformed_copy
from geoequiv.bench.align import AlignConfig, describe
from geoequiv.bench.barriers import alignable, merge, pairs, partners
from geoequiv.bench.environment import environment
from geoequiv.bench.store import read_record, write_atomically
from geoequiv.bench.trained import load_trained
from geoequiv.groups import Element

CONFIG = AlignConfig(method=("none", "activations"), items=60)
FLIPS = ((1.0, 1.0, -1.0), (1.0, -1.0, -1.0), (-1.0, -1.0, -1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/align_nbody/frames.json"))
    arguments = parser.parse_args()
    averaged = [run for run in alignable(arguments.store)
                if read_record(run)["config"]["symmetry"]["name"] == "frame_averaging"]  # fmt: skip
    found, task = [], None
    for run, other in partners(averaged).items():
        first = load_trained(run, task=task)
        task = first.task
        data, loader = (pairs(task, split, CONFIG.items) for split in ("train", "test"))
        few = {name: value[:4] for name, value in data[0][0].items()}
        spec = permutation_spec(first.model, few)
        for method in CONFIG.method:
            for flip in FLIPS:
                element = Element(torch.diag(torch.tensor(flip, dtype=torch.float64)))
                second = copy.deepcopy(first.model)
                inside: Any = second.model
                inside.load_state_dict(transformed_copy(inside, task.signature, element, few).state_dict())
                merged = merge(task, spec, first.model, second, data, loader, CONFIG, method)
                found.append({"run": run.name, "seed": first.record["seed"], "kind": "copies",
                              "element": describe(element), **merged})  # fmt: skip
            if other is not None:
                second = load_trained(other, task=task).model
                merged = merge(task, spec, first.model, second, data, loader, CONFIG, method)
                found.append({"run": run.name, "seed": first.record["seed"], "kind": "trainings", **merged})
        print(run.name, flush=True)
    content = {"settings": CONFIG.model_dump(mode="json"), "merges": found, "environment": environment()}
    write_atomically(arguments.output, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(f"Wrote {arguments.output}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
