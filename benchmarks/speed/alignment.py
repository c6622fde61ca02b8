"""What alignment costs: tracing a network, matching its activations over bare forward passes, assigning units.

    python benchmarks/speed/alignment.py [--json FILE] [--width 64] [--samples 512]

Bounds: activation matching at most 1.3 × the two bare forward passes plus the assignment, on a VGG11 with batch norm;
linear assignment of 4096 units under 10 s.
"""

import argparse
import json
import platform
import time

import torch
from torch import nn

from geoequiv.alignment import match_activations, permutation_spec
from geoequiv.alignment.assignment import assign
from geoequiv.models import GNN, Transformer
from geoequiv.testing.inputs import random_inputs

VGG11 = (1, "M", 2, "M", 4, 4, "M", 8, 8, "M", 8, 8, "M")
SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"


def vgg11(width: int) -> nn.Sequential:
    layers, channels = [], 3
    for entry in VGG11:
        if entry == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            after = int(entry) * width
            layers += [nn.Conv2d(channels, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            channels = after
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, 10)).eval()


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="first channels of VGG11 (64 is the paper's)")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--units", type=int, default=4096, help="of the linear assignment")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the measurements here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    first, second = vgg11(options.width), vgg11(options.width)
    rows = {}
    example = torch.randn(2, 3, 32, 32)
    rows["trace and verify, VGG11"] = seconds(lambda: permutation_spec(first, example))
    spec = permutation_spec(first, example, verify=False)
    generator = torch.Generator().manual_seed(0)
    data = [torch.randn(options.batch_size, 3, 32, 32, generator=generator)
            for _ in range(options.samples // options.batch_size)]  # fmt: skip

    def forward() -> None:
        with torch.no_grad():
            for images in data:
                first(images)
                second(images)

    forward()
    rows["two bare forward passes"] = seconds(forward)
    rows["matching"] = seconds(lambda: match_activations(first, second, spec, data))
    sizes = [stream.size for stream in spec.streams]
    scores = [torch.randn(size, size, dtype=torch.float64) for size in sizes]
    rows["assignment of its units"] = seconds(lambda: [assign(score) for score in scores])
    large = torch.randn(options.units, options.units, dtype=torch.float64)
    rows[f"assignment of {options.units} units"] = seconds(lambda: assign(large))
    clouds = random_inputs(SIGNATURE, 2, 5)
    for name, model in (("GNN 64 × 4", GNN(SIGNATURE)), ("Transformer 64 × 4", Transformer(SIGNATURE))):
        rows[f"trace and verify, {name}"] = seconds(lambda model=model: permutation_spec(model, clouds))
    ratio = rows["matching"] / (rows["two bare forward passes"] + rows["assignment of its units"])
    print(f"torch {torch.__version__}, {platform.processor() or platform.machine()}, {options.threads} thread(s)")
    for name, value in rows.items():
        print(f"{name:36}{value:9.3f} s")
    print(f"matching over forward passes and assignment: {ratio:.2f} (bound 1.3)")
    if options.json:
        with open(options.json, "w") as file:
            settings = {key: getattr(options, key) for key in ("width", "samples", "batch_size", "threads")}
            json.dump({"torch": torch.__version__, **settings, "seconds": rows, "ratio": ratio}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
