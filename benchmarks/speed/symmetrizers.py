"""What averaging costs: wrapper time over (number of frames × time of the bare backbone), in one run, and memory.

    python benchmarks/speed/symmetrizers.py [--json FILE] [--only NAME …]

A transformer and a DeepSets on 128 clouds of 21 and of 1000 points. Attention is quadratic in these: the transformer
gets 4 clouds of 1000 points, and all 128 of them where that case is named (``--only "transformer, whole"``; two groups,
ten minutes). Repeats of bare and wrapped calls alternate and medians of their ratios are compared;
times are CPU times of the process. Memory is the peak of a training step over that of the bare backbone.
"""

import argparse
import gc
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import geoequiv as ge
from geoequiv.fields import Layout, Signature
from geoequiv.models.deepsets import DeepSets
from geoequiv.models.transformer import Transformer
from geoequiv.symmetrize.frames import FRAMES

SIGNATURE = Signature.parse("pos: point, vel: vector, charge: scalar -> pos: point")


#: name → backbone, clouds, points
CASES: dict[str, tuple[Callable[[], nn.Module], int, int]] = {
    "transformer": (lambda: Transformer(SIGNATURE, width=64, depth=4), 128, 21),
    "deepsets": (lambda: DeepSets(SIGNATURE, width=64, depth=4), 128, 21),
    "transformer, large": (lambda: Transformer(SIGNATURE, width=64, depth=4), 4, 1000),
    "deepsets, large": (lambda: DeepSets(SIGNATURE, width=64, depth=4), 128, 1000),
    "transformer, whole": (lambda: Transformer(SIGNATURE, width=64, depth=4), 128, 1000),
}
#: name → number of frames, wrapper
WRAPPERS: dict[str, tuple[int, Callable[[nn.Module], nn.Module]]] = {
    "minimal SE(3)": (1, lambda model: ge.FrameAveraging(model, SIGNATURE, "SE(3)", "minimal")),
    "minimal E(3)": (1, lambda model: ge.FrameAveraging(model, SIGNATURE, "E(3)", "minimal")),
    "pca SE(3)": (4, lambda model: ge.FrameAveraging(model, SIGNATURE, "SE(3)")),
    "pca E(3)": (8, lambda model: ge.FrameAveraging(model, SIGNATURE, "E(3)")),
    "pca E(3), chunk 1": (8, lambda model: ge.FrameAveraging(model, SIGNATURE, "E(3)", chunk=1)),
    "pca E(3), chunk 2": (8, lambda model: ge.FrameAveraging(model, SIGNATURE, "E(3)", chunk=2)),
    "group O": (24, lambda model: ge.GroupAveraging(model, SIGNATURE, "O")),
    "group O, chunk 4": (24, lambda model: ge.GroupAveraging(model, SIGNATURE, "O", chunk=4)),
}
#: what is measured on clouds of 1000 points, and on the case that takes minutes
FOR_LARGE = ("minimal SE(3)", "pca SE(3)", "pca E(3)")
FOR_WHOLE = FOR_LARGE[:2]
#: what is measured unless something is named
USUAL = ["frames", *(case for case in CASES if not case.endswith("whole"))]


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def clouds(batch: int, points: int) -> dict[str, Tensor]:
    return {name: torch.randn(batch, points, size) for name, size in (("pos", 3), ("vel", 3), ("charge", 1))}


def training_step(model: nn.Module, inputs: dict[str, Tensor]) -> Callable[[], None]:
    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(**inputs).square().mean().backward()

    return step


def evaluation(model: nn.Module, inputs: dict[str, Tensor]) -> Callable[[], None]:
    def call() -> None:
        with torch.no_grad():
            model(**inputs)

    return call


def peak(call: Callable[[], object]) -> int:
    """Largest number of bytes allocated at one time within a call."""
    call()
    gc.collect()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = torch.tensor([event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]).cumsum(0)
    return int(live.max())


def wrapper_rows(case: str, repeats: int) -> Iterator[dict[str, Any]]:
    """Time of each wrapper in one case; the memory of a training step for the small clouds."""
    make_backbone, batch, points = CASES[case]
    bare, inputs = make_backbone(), clouds(batch, points)
    large = points > 100
    bytes_of_bare = 0 if large else peak(training_step(bare, inputs))
    for kind, make in (("forward", evaluation), ("forward + backward", training_step)):
        for name, (frames, wrap) in WRAPPERS.items():
            if large and name not in (FOR_WHOLE if case.endswith("whole") else FOR_LARGE):
                continue
            one, all_of_them = make(bare, inputs), make(wrap(bare), inputs)
            one(), all_of_them()
            pairs = [(seconds(one), seconds(all_of_them)) for _ in range(repeats)]
            low, high = (statistics.median(column) for column in zip(*pairs, strict=True))
            row = {"backbone": case, "batch": batch, "points": points, "pass": kind, "wrapper": name, "frames": frames}
            row |= {"bare": low, "wrapped": high, "ratio": statistics.median(b / (frames * a) for a, b in pairs)}
            if bytes_of_bare and make is training_step:
                row["memory"] = peak(all_of_them) / bytes_of_bare
            yield row


def frame_rows(repeats: int) -> Iterator[dict[str, Any]]:
    """Time of the frames alone, for 10 000 clouds of 21 points."""
    inputs = clouds(10_000, 21)
    layout = Layout.of(inputs, SIGNATURE.inputs)
    for name in ("pca", "minimal", "weighted", "learned"):
        for group in ("SE(3)", "E(3)"):
            frame = FRAMES[name](ge.group(group))
            with torch.no_grad():
                times = [seconds(lambda: frame(inputs, SIGNATURE.inputs, layout)) for _ in range(repeats + 1)]  # noqa: B023
            yield {"frame": name, "group": group, "batch": 10_000, "points": 21, "ms": 1e3 * statistics.median(times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=41, help="for small clouds; large ones take a tenth")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=["frames", *CASES], default=USUAL)
    parser.add_argument("--json", metavar="FILE", help="write the measurements here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {options.threads} thread(s)")
    frames, rows = [], []
    if "frames" in options.only:
        for row in frame_rows(max(3, options.repeats // 6)):
            frames.append(row)
            print(f"{row['frame']:10}{row['group']:10}{row['ms']:>8.1f} ms for 10000 clouds of 21 points", flush=True)
    for case in (case for case in CASES if case in options.only):
        _, batch, points = CASES[case]
        title = f"{case}, {batch} × {points}"
        print(f"\n{title:32}{'frames':>7}{'bare ms':>10}{'wrapped ms':>12}{'ratio':>8}{'memory':>8}")
        for row in wrapper_rows(case, options.repeats if points < 100 else max(3, options.repeats // 10)):
            rows.append(row)
            memory = f"{row['memory']:.2f}" if "memory" in row else ""
            times = f"{1e3 * row['bare']:>10.1f}{1e3 * row['wrapped']:>12.1f}{row['ratio']:>8.2f}{memory:>8}"
            print(f"{row['wrapper']:32}{row['frames']:>7}{times}   {row['pass']}", flush=True)
    if options.json:
        with open(options.json, "w") as file:
            document = {"torch": torch.__version__, "threads": options.threads, "frames": frames, "rows": rows}
            json.dump(document, file, indent=1)


if __name__ == "__main__":
    main()
