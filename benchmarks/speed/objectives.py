"""What learned symmetry costs: a training step with REMUL over a plain step on twice the batch, in one run.

    python benchmarks/speed/objectives.py [--json FILE]

A transformer of width 64 and depth 4 on gravity-like clouds of 4 points, and on clouds of 21. A step is the objective,
its backward pass and one of Adam. Repeats of all steps alternate; the median of the ratios is compared. Bounds: REMUL
at most 1.15 × a plain step on 2 B items; GradNorm at most 1.15 × REMUL with constant weights.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.functional import mse_loss

import geoequiv as ge
from geoequiv.fields import Signature
from geoequiv.models import Transformer
from geoequiv.objectives import TaskObjective

SIGNATURE = Signature.parse("pos: point, vel: vector, mass: scalar -> pos: point")
SIZES = ((64, 4), (128, 21))
#: row → objective, items over B, what it is compared with, and the bound on the ratio
STEPS = {
    "plain, 2 B items": (None, 2, None, None),
    "REMUL": ({}, 1, "plain, 2 B items", 1.15),
    "REMUL, gradnorm": ({"weighting": "gradnorm"}, 1, "REMUL", 1.15),
    "REMUL, uncertainty": ({"weighting": "uncertainty"}, 1, "REMUL", 1.15),
    "REMUL, constrained": ({"weighting": "constrained", "epsilon": 0.1}, 1, "REMUL", 1.15),
    "REMUL, anchored at the prediction": ({"anchor": "prediction"}, 1, "REMUL", None),
    "REMUL, small angles": ({"sampling": "small-angle", "total_steps": 10_000}, 1, "REMUL", None),
    "REMUL, not fused": ({"fused": False}, 1, "REMUL", None),
    "REMUL, worst of 4": ({"sampling": "adversarial", "num_samples": 4}, 1, "REMUL", None),
}


def seconds(call: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    call()
    return time.process_time() - start


def training_step(options: dict | None, items: int, points: int, device: torch.device) -> Callable[[], None]:
    torch.manual_seed(0)
    model = Transformer(SIGNATURE, width=64, depth=4).to(device)
    inputs = {"pos": torch.randn(items, points, 3), "vel": torch.randn(items, points, 3)}
    inputs = {name: each.to(device) for name, each in {**inputs, "mass": torch.rand(items, points, 1)}.items()}
    targets = {"pos": torch.randn(items, points, 3, device=device)}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    if options is None:
        objective = TaskObjective(model, SIGNATURE, mse_loss)
    else:
        objective = ge.REMUL(model, SIGNATURE, "SO(3)", mse_loss, **options)

    def step() -> None:
        optimizer.zero_grad()
        objective(inputs, targets).total.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=41)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", metavar="FILE", help="write the measurements here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {options.threads} thread(s)")
    print(f"{'B × points':12}{'step':36}{'ms':>8}{'ratio':>8}{'bound':>8}   over")
    rows = []
    for items, points in SIZES:
        steps = {name: training_step(how, items * times, points, device) for name, (how, times, *_) in STEPS.items()}
        for _ in range(5):
            for step in steps.values():
                step()
        rounds = [{name: seconds(step, device) for name, step in steps.items()} for _ in range(options.repeats)]
        for name, (_, _, over, bound) in STEPS.items():
            median = statistics.median(each[name] for each in rounds)
            ratio = statistics.median(each[name] / each[over] for each in rounds) if over else None
            rows.append({"items": items, "points": points, "step": name, "seconds": median, "over": over})
            rows[-1] |= {"ratio": ratio, "bound": bound, "holds": None if bound is None else ratio <= bound}
            shown = (f"{ratio:.3f}" if ratio else "", f"{bound:.2f}" if bound else "")
            print(f"{f'{items} × {points}':12}{name:36}{1e3 * median:>8.2f}{shown[0]:>8}{shown[1]:>8}   {over or ''}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"torch": torch.__version__, "threads": options.threads, "rows": rows}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
