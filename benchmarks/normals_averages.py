"""Mean of normals, or leading direction of their projectors? The frame-averaged runs of configs/normals.yaml.

    python benchmarks/normals_averages.py RUNS [RUNS …] [--data-dir DIR] [--output FILE]

Each finished run whose model is averaged over frames was trained on one frame at a time, by a loss that does not see
signs. Its test error is computed with the average of the type ``vector up to sign``, with the plain mean of the vectors
(type ``vector``, as published), and with the first frame alone.
"""

import argparse
import json
from pathlib import Path

import torch

from geoequiv.bench.trained import load_trained
from geoequiv.session import Session
from geoequiv.symmetrize import StochasticFrame, Symmetrizer
from geoequiv.training.evaluate import score

WAYS = ("projectors", "mean of vectors", "one frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/normals/averages.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for store in arguments.stores for row in of_store(store, Session(data_dir=arguments.data_dir))]
    arguments.output.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"Wrote {arguments.output}")


def of_store(store: Path, session: Session) -> list[dict[str, object]]:
    task, found = None, []
    for config in sorted(store.glob("*/record.json")):
        record = json.loads(config.read_text())
        if record["method"]["name"] != "frame_averaging" or record["status"] != "finished":
            continue
        run = load_trained(config.parent, session, task)
        task = run.task
        whole = run.model
        assert isinstance(whole, Symmetrizer)
        plain = Symmetrizer(whole.model, "pos: point -> normal: vector", whole.frame)
        frame = whole.frame
        assert isinstance(frame, StochasticFrame)
        one = Symmetrizer(
            whole.model, whole.signature, StochasticFrame(frame.group, frame.of, full_at_evaluation=False)
        )
        test = task.splits["test"]
        torch.manual_seed(0)
        errors = [score(each, task, test.inputs, test.targets, 16) for each in (whole, plain, one)]
        row = {"protocol": task.protocol, "model": record["model"], "seed": record["seed"]}
        found.append({**row, **dict(zip(WAYS, errors, strict=True))})
        print(found[-1], flush=True)
    return found


if __name__ == "__main__":
    main()
