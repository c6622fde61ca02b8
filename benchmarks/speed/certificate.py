"""What a certificate costs: its time over that of the bare passes of the model it needs, in one run.

    python benchmarks/speed/certificate.py [--json FILE]

256 clouds of 5 and of 21 points, M = 64. Every pass that ``certify`` makes is recorded with its inputs (calls without
gradients, calls with a backward pass to the inputs, forward-mode passes, forward-mode passes of single layers) and
replayed with the bare model. Repeats alternate; medians of processor time. "sampling" is E, E′ and the relative error
alone, over its M + 1 forwards.
"""

import argparse
import copy
import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

import geoequiv as ge
from geoequiv.metrics import layers as layer_passes
from geoequiv.models import EGNN, Transformer

SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"
CLOUDS, SAMPLES = 256, 64
Pass = tuple[str, Any]


ALONE = layer_passes.alone


def recorded(call: Callable[[nn.Module], object], net: nn.Module) -> list[Pass]:
    """All passes of one call."""
    passes: list[Pass] = []

    def alone(*args: Any) -> Any:
        if any(bool(direction.any()) for direction in args[1]):
            passes.append(("layer", args))
        return ALONE(*args)

    with patch.object(layer_passes, "alone", alone):
        call(Recorded(net, passes))
    return passes


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


class Recorded(nn.Module):
    """A model that notes the kind and the inputs of each of its passes."""

    def __init__(self, net: nn.Module, passes: list[Pass]) -> None:
        super().__init__()
        self.net = net
        self.note = lambda *entry: passes.append(entry)  # a closure is shared by deep copies

    def forward(self, pos: Tensor, vel: Tensor, charge: Tensor) -> Tensor:
        fields = {"pos": pos, "vel": vel, "charge": charge}
        forward_mode = any(torch._C._functorch.is_functorch_wrapped_tensor(value) for value in fields.values())
        kind = "forward-mode" if forward_mode else "backward" if pos.requires_grad else "forward"
        shapes = {name: (tuple(value.shape), value.dtype) for name, value in fields.items()}
        self.note(kind, {n: torch.randn(shape, dtype=dtype) for n, (shape, dtype) in shapes.items()})
        return self.net(**fields)


def replay(models: dict[torch.dtype, nn.Module], passes: list[Pass]) -> None:
    """The same passes with the bare model, on inputs of the same shapes."""
    for kind, fields in passes:
        if kind == "layer":
            with torch.no_grad():
                ALONE(*fields)
            continue
        model = models[fields["pos"].dtype]
        if kind == "forward":
            with torch.no_grad():
                model(**fields)
        elif kind == "backward":
            inputs = {name: value.requires_grad_(name != "charge") for name, value in fields.items()}
            torch.autograd.grad(model(**inputs).sum(), [inputs["pos"], inputs["vel"]])
        else:
            names = list(fields)
            with torch.no_grad(), torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
                values = tuple(value.detach() for value in fields.values())
                torch.func.jvp(lambda *v: model(**dict(zip(names, v, strict=True))), values, values)  # noqa: B023


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--points", type=int, nargs="+", default=[5, 21])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the measurements here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {options.threads} thread(s)")
    print(f"{'':36}{'bare s':>9}{'certify s':>11}{'ratio':>8}   passes")
    rows = []
    for points in options.points:
        torch.manual_seed(0)
        inputs = {name: torch.randn(CLOUDS, points, k) for name, k in (("pos", 3), ("vel", 3), ("charge", 1))}
        for net in (EGNN(SIGNATURE, 64, 4), Transformer(SIGNATURE, width=64, depth=4)):
            net.eval()
            models = {torch.float32: net, torch.float64: copy.deepcopy(net).double()}
            given = (inputs, SIGNATURE, "E(3)")
            works: dict[str, Callable[[nn.Module], object]] = {
                "sampling": lambda model, given=given: ge.equivariance_error(model, *given, SAMPLES),
                "certificate": lambda model, given=given: ge.certify(model, *given, num_samples=SAMPLES),
            }
            for work, call in works.items():
                passes = recorded(call, net)
                pairs = [
                    (seconds(lambda: replay(models, passes)), seconds(lambda: call(net)))  # noqa: B023
                    for _ in range(options.repeats)
                ]
                low, high = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratio = statistics.median(b / a for a, b in pairs)
                name = f"{work}, {type(net).__name__}, {points} points"
                kinds = dict(Counter(kind for kind, _ in passes))
                rows.append(
                    {
                        "work": work, "model": type(net).__name__, "points": points, "clouds": CLOUDS,
                        "samples": SAMPLES, "passes": kinds, "bare": low, "whole": high, "ratio": ratio,
                    }
                )  # fmt: skip
                print(f"{name:36}{low:>9.2f}{high:>11.2f}{ratio:>8.2f}   {kinds}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"torch": torch.__version__, "threads": options.threads, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
