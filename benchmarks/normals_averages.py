"""Mean of normals, or leading direction of their projectors? The frame-averaged runs of configs/normals.yaml.

    python benchmarks/normals_averages.py RUNS [RUNS …] [--data-dir DIR] [--output FILE]

Each finished run whose model is averaged over frames was trained on one frame at a time, by a loss that does not see
signs. Its test error is computed with the average of the type ``vector up to sign``, with the plain mean of the vectors
(type ``vector``, as published), and with one frame. Beside them stands what needs no training: the normal of the plane
through the nearest points.
"""

import argparse
import json
from pathlib import Path

import torch

from geoequiv.bench.trained import load_trained
from geoequiv.fields import Layout, Side
from geoequiv.session import Session
from geoequiv.symmetrize import StochasticFrame, Symmetrizer
from geoequiv.symmetrize.neighbourhoods import nearest_nodes
from geoequiv.tasks import Task
from geoequiv.training.evaluate import score

NEAREST = (5, 12, 20)
WAYS = ("projectors", "mean of vectors", "one frame")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stores", type=Path, nargs="+")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/normals/averages.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    session = Session(data_dir=arguments.data_dir)
    rows = [row for store in arguments.stores for row in of_store(store, session)]
    first = next(path.parent for path in sorted(arguments.stores[0].glob("*/record.json")))
    planes = {str(k): plane_fit(load_trained(first, session).task, k) for k in NEAREST}
    found = {"averages": rows, "plane fit": planes}
    arguments.output.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"Wrote {arguments.output}")


def plane_fit(task: Task, k: int) -> float:
    """Test error of the direction of least spread of the k nearest points."""
    test = task.splits["test"]
    pos = test.inputs["pos"]
    layout = Layout.of({"pos": pos}, Side.parse("pos: point"))
    near = pos.flatten(0, 1)[nearest_nodes(pos, layout, k)].double()
    centred = near - near.mean(1, keepdim=True)
    normals = torch.linalg.eigh(centred.mT @ centred).eigenvectors[..., 0].reshape(pos.shape)
    return float(task.metric.per_item({"normal": normals}, test.targets).mean())


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
