"""Averages beside the shortest code for them: a loop over group elements, eight signs of an eigendecomposition.

    python benchmarks/speed/textbook.py [--json FILE] [--repeats N]

Deep Sets of width 64 on 128 × 21, 512 × 5 and 8 × 1000 points, one thread. Ours and the baseline alternate in one run;
the ratio is that of the least CPU time of each. Baselines treat no degenerate cloud and check no input.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import geoequiv as ge
from geoequiv.models.deepsets import DeepSets

SIGNATURE = ge.Signature.parse("pos: point -> pos: point")
SIZES = ((128, 21), (512, 5), (8, 1000))
SIGNS = torch.cartesian_prod(*[torch.tensor([1.0, -1.0])] * 3)


def loop_over_group(model: nn.Module, rotations: Tensor) -> Callable[[Tensor], Tensor]:
    """Mean over R of f(x R) Rᵀ, one element after the other."""

    def average(pos: Tensor) -> Tensor:
        return sum(model(pos=pos @ R) @ R.mT for R in rotations) / len(rotations)

    return average


def eight_signs(model: nn.Module, training: str = "all") -> Callable[[Tensor], Tensor]:
    """PCA frames of O(3) by eigh and all sign flips in one batch; ``training="one"`` draws one of them per cloud."""

    def average(pos: Tensor) -> Tensor:
        centred = pos - (centre := pos.mean(-2, keepdim=True))
        axes = torch.linalg.eigh((centred.mT @ centred).detach()).eigenvectors
        signs = SIGNS if training == "all" else SIGNS[torch.randint(8, (len(pos),))].unsqueeze(0)
        frames = axes * (signs[:, None, None] if training == "all" else signs.unsqueeze(-2))
        out = model(pos=(centred @ frames).flatten(0, 1)).unflatten(0, frames.shape[:2])
        return (out @ frames.mT).mean(0) + centre

    return average


def step(average: Callable[..., Tensor], model: nn.Module, pos: Tensor) -> Callable[[], Any]:
    def run() -> None:
        model.zero_grad()
        average(pos=pos).square().mean().backward()

    return run


def forward(average: Callable[..., Tensor], pos: Tensor) -> Callable[[], Any]:
    def run() -> None:
        with torch.no_grad():
            average(pos=pos)

    return run


def least(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Least CPU time in seconds of each call; the calls alternate."""
    found = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            found[name] = min(found[name], time.process_time() - start)
    return found


def measure(clouds: int, points: int, repeats: int) -> dict[str, float]:
    """Our time over that of the baseline, by what is compared."""
    torch.manual_seed(0)
    pos, model = torch.randn(clouds, points, 3), DeepSets(SIGNATURE, width=64)
    loop = loop_over_group(model, ge.group("O").elements().linear.float())
    group = ge.GroupAveraging(model, SIGNATURE, "O")
    pca = ge.FrameAveraging(model, SIGNATURE, "E(3)", "pca")
    stochastic = ge.FrameAveraging(model, SIGNATURE, "E(3)", "stochastic").train()
    minimal = ge.FrameAveraging(model, SIGNATURE, "E(3)", "minimal")
    for ours, baseline in ((group, loop), (pca, eight_signs(model))):
        agree = torch.isclose(ours(pos=pos), baseline(pos=pos), atol=1e-4, rtol=1e-4).flatten(1).all(1)
        assert agree.float().mean() > 0.99  # float32 axes differ where two eigenvalues of a cloud of 5 are close
    bare, one = model, eight_signs(model, "one")
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "group O, forward / loop": (forward(group, pos), forward(loop, pos)),
        "pca, step / textbook": (step(pca, model, pos), step(eight_signs(model), model, pos)),
        "stochastic, step / textbook": (step(stochastic, model, pos), step(one, model, pos)),
        "minimal, forward / bare": (forward(minimal, pos), forward(bare, pos)),
        "minimal, step / bare": (step(minimal, model, pos), step(bare, model, pos)),
    }
    ratios = {}
    for name, (ours, baseline) in pairs.items():
        times = least({"ours": ours, "baseline": baseline}, repeats)
        ratios[name] = round(times["ours"] / times["baseline"], 2)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ratios: dict[str, dict[str, float]] = {}
    for clouds, points in SIZES:
        ratios[f"{clouds} x {points}"] = measure(clouds, points, options.repeats)
        for name, ratio in ratios[f"{clouds} x {points}"].items():
            print(f"{clouds:4} x {points:<5} {name:30} {ratio:.2f}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"torch": torch.__version__, "machine": platform.machine(), "ratios": ratios}, file, indent=1)


if __name__ == "__main__":
    main()
