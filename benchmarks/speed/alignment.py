"""What alignment costs: tracing a network, matching its activations over bare forward passes, assigning units.

    python benchmarks/speed/alignment.py [--json FILE] [--width 1] [--samples 5000]

Bounds: activation matching at most 1.3 × the two bare forward passes plus the assignment, on a VGG11 with batch norm
and 5000 images; linear assignment of 4096 units under 10 s; no more memory for more images. Seconds are those of the
processor, which other work on the machine changes little.
"""

import argparse
import json
import os
import platform
import resource
import time
from itertools import cycle, islice

import torch

from geoequiv.alignment import match_activations, permutation_spec
from geoequiv.alignment.assignment import assign
from geoequiv.models import GNN, VGG11, Transformer
from geoequiv.testing.inputs import random_inputs

IMAGES = "image: image*3 -> logits: scalar*10"
SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"


def seconds(call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def peak() -> float:
    """Largest memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=float, default=1.0, help="multiplier of VGG11's channels")
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--units", type=int, default=4096, help="of the linear assignment")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write the measurements here as well")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    first, second = (VGG11(IMAGES, options.width).eval() for _ in range(2))
    rows = {}
    example = torch.randn(2, 3, 32, 32)
    rows["trace and verify, VGG11"] = seconds(lambda: permutation_spec(first, example))
    spec = permutation_spec(first, example, verify=False)
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(options.batch_size, 3, 32, 32, generator=generator) for _ in range(8)]
    data = list(islice(cycle(drawn), -(-options.samples // options.batch_size)))  # eight batches, again and again

    def forward() -> None:
        with torch.no_grad():
            for images in data:
                first(images)
                second(images)

    match_activations(first, second, spec, drawn)
    few = peak()
    rows["two bare forward passes"] = seconds(forward)
    rows["matching"] = seconds(lambda: match_activations(first, second, spec, data))
    memory = {f"{8 * options.batch_size} images": few, f"{len(data) * options.batch_size} images": peak()}
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
    for name, value in memory.items():
        print(f"{'peak memory after matching ' + name:46}{value:9.0f} MiB")
    print(f"matching over forward passes and assignment: {ratio:.2f} (bound 1.3)")
    if options.json:
        with open(options.json, "w") as file:
            settings = {key: getattr(options, key) for key in ("width", "samples", "batch_size", "threads")}
            content = {"torch": torch.__version__, **settings, "seconds": rows, "ratio": ratio, "peak_MiB": memory}
            content["load_average"] = os.getloadavg()  # of the machine, at the end
            json.dump(content, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
