"""Are image networks equivariant inside? Merges the runs of configs/align_images.yaml with their own mirror images.

    python benchmarks/align_images.py RUNS [--data-dir DIR] [--output benchmarks/results/align_images] [--items 1000]

For each finished run: test accuracy, invariance error, barriers of the network and its flipped copy (channels matched
by activations; with and without REPAIR), the parts of its channels that are invariant, regular or dead, and the orders
of the permutations. Then pairs of trainings are merged: the seed-to-seed baseline. Each measurement is kept in
OUTPUT/merges.json as soon as it is there, so that a run of the script goes on where the last one stopped. At the end:
table.md, and figures.

GCNN and PGCNN are measured as the VGG11 that they are (see ``GCNN.plain``), so that flipping them moves their filters.
"""

import argparse
import json
import platform
import statistics
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import geoequiv as ge
from geoequiv.alignment import barrier, hidden_representation, match_activations, permutation_spec, transformed_copy
from geoequiv.bench.spec import RunSpec
from geoequiv.bench.trained import load_trained
from geoequiv.files import write_file
from geoequiv.records import read
from geoequiv.report.figures.filters import Point, barriers_against_errors, matched_filters, orders
from geoequiv.report.figures.style import save
from geoequiv.session import Session
from geoequiv.tasks import Task

#: label of a symmetry in a suite, and of the model → what the paper calls it
NAMES = {
    ("vgg11", "none", 0.0): "CNN w/o augmentation",
    ("vgg11", "augmentation", 0.0): "CNN",
    ("vgg11", "invariance_loss", 0.2): "CNN + late inv-loss",
    ("vgg11", "invariance_loss", 0.0): "CNN + inv-loss",
    ("gcnn", "none", 0.0): "GCNN",
    ("pgcnn", "augmentation", 0.0): "PGCNN",
    ("pgcnn", "invariance_loss", 0.2): "PGCNN + late inv-loss",
}
#: pairs of different trainings, as in the paper
TRAININGS = (
    ("CNN w/o augmentation", "CNN w/o augmentation"), ("CNN", "CNN"), ("CNN", "CNN + inv-loss"), ("CNN", "GCNN"),
    ("CNN + inv-loss", "CNN + inv-loss"), ("CNN + inv-loss", "GCNN"), ("GCNN", "GCNN"),
)  # fmt: skip
#: published (VGG11, full width, full CIFAR-10, 100 epochs): accuracy, invariance error, barrier
PAPER = {
    "CNN w/o augmentation": (0.879, 0.410, 4.98e-2), "CNN": (0.901, 0.282, 4.00e-2),
    "CNN + late inv-loss": (0.902, 0.126, 1.33e-2), "CNN + inv-loss": (0.892, 0.0628, 1.90e-3),
    "GCNN": (0.899, 1.34e-6, 8.92e-4), "PGCNN": (0.902, 0.274, 3.09e-2),
    "PGCNN + late inv-loss": (0.915, 0.124, 7.56e-3),
}  # fmt: skip
PAPER_TRAININGS = {
    ("CNN", "CNN"): 5.08e-2, ("CNN", "CNN + inv-loss"): 4.87e-2, ("CNN", "GCNN"): 6.50e-2,
    ("CNN + inv-loss", "CNN + inv-loss"): 3.73e-2, ("CNN + inv-loss", "GCNN"): 7.53e-2, ("GCNN", "GCNN"): 6.59e-2,
}  # fmt: skip
SIGNATURE = "image: image*3 -> logits: scalar*10"
FLIP = ge.group("flip").elements()[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="results folder of the suite")
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/align_images"))
    parser.add_argument("--items", type=int, default=1000, help="training images that channels are matched on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = runs_of(options.runs)
    if not found:
        parser.error(f"No finished run of the suite in {options.runs}.")
    task = load_trained(next(iter(found.values())), Session(data_dir=options.data_dir)).task
    bench = Bench(task, options.items, options.output / "merges.json")
    singles = {key: bench.kept(key, lambda p=path: bench.itself(p)) for key, path in found.items()}
    merges = {}
    for first, second in pairs_of(found):
        merges[first, second] = bench.kept((*first, *second), lambda a=found[first], b=found[second]: bench.two(a, b))
    options.output.joinpath("table.md").write_text(table(singles, merges, bench), encoding="utf-8")
    draw(singles, merges, found, bench, options.output)
    print(f"Wrote {options.output}")


Key = tuple[str, int]  # what the paper calls a network, and its seed


def runs_of(folder: Path) -> dict[Key, Path]:
    """Finished runs with weights, in the order of the paper."""
    found = {}
    for record in read(folder).records:
        run = folder / record.run_id
        if record.done and (run / "checkpoint.ckpt").exists():
            spec = RunSpec.of(folder.name, record.config)
            name, symmetry = spec.part("model")[0], spec.config["symmetry"]
            label = NAMES.get((name, symmetry["name"], symmetry.get("start", 0.0)))
            if label:
                found[label, record.seed] = run
    place = list(NAMES.values())
    return {key: found[key] for key in sorted(found, key=lambda key: (place.index(key[0]), key[1]))}


def one_a_line(values: Mapping[str, Any]) -> str:
    """A JSON object with one member a line, in the order of their names."""
    lines = [f"{json.dumps(name)}: {json.dumps(values[name])}" for name in sorted(values)]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def pairs_of(found: Mapping[Key, Any]) -> list[tuple[Key, Key]]:
    """Different trainings to merge: seeds 0 and 1, 1 and 2, … of each pair of names."""
    chosen = []
    for first, second in TRAININGS:
        seeds = [[seed for name, seed in found if name == each] for each in (first, second)]
        chosen += [((first, a), (second, b)) for a, b in pairwise(sorted(set(seeds[0]) | set(seeds[1])))
                   if a in seeds[0] and b in seeds[1]]  # fmt: skip
    return chosen


class Bench:
    """Measures networks on one task, and keeps what was measured.

    Args:
        task: the images.
        items: training images to match and repair on.
        file: where measurements are kept, by name.
    """

    def __init__(self, task: Task, items: int, file: Path) -> None:
        self.task, self.items, self.file = task, items, file
        self.known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self.loader = batches(task, "test", len(task.splits["test"]))
        self.data = batches(task, "train", items)
        self.few = {"image": self.data[0][0]["image"][:2]}

    def kept(self, key: tuple, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A measurement from the file, or made now."""
        name = "-".join("".join(c if c.isalnum() else "_" for c in str(part)) for part in key)
        if name in self.known:
            return self.known[name]
        start = time.perf_counter()
        values = measure() | {"seconds": 0.0, "items": self.items, "torch": torch.__version__}
        values["seconds"] = round(time.perf_counter() - start, 1)
        self.known[name] = json.loads(json.dumps(values))
        write_file(self.file, one_a_line(self.known))
        print(f"{name}: barrier {values['merge']['barrier']:.4f} in {values['seconds']} s", flush=True)
        return values

    def itself(self, path: Path) -> dict[str, Any]:
        """A network and its mirror image."""
        model = self.load(path)
        units = permutation_spec(model, self.few)
        copy = transformed_copy(model, SIGNATURE, FLIP, {"image": self.data[0][0]["image"][:4]})
        merged = barrier(model, copy, SIGNATURE, self.loader, "accuracy", data=self.data, spec=units)
        hidden = hidden_representation(model, SIGNATURE, "flip", [inputs for inputs, _ in self.data], spec=units)
        return {
            "run": path.name, "accuracy": merged.first, "invariance_error": invariance(model, self.loader),
            "merge": merged.as_dict(), "hidden": hidden.as_dict(),
            "paired": {name: paired(found[1]) for name, found in hidden.permutations.items()},
            "sizes": {stream.name: stream.size for stream in units.streams},
            "correlation": {"before": dict(merged.matching.before), "after": dict(merged.matching.after)},
        }  # fmt: skip

    def two(self, first: Path, second: Path) -> dict[str, Any]:
        """Two different trainings."""
        one, two = self.load(first), self.load(second)
        merged = barrier(one, two, SIGNATURE, self.loader, "accuracy", data=self.data)
        return {"runs": [first.name, second.name], "merge": merged.as_dict()}

    def load(self, path: Path) -> nn.Module:
        """The network of a run, with the weights that its training ended with, as one whose filters are not tied."""
        model = load_trained(path, task=self.task).model
        return model.plain() if hasattr(model, "plain") else model


def batches(task: Task, split: str, items: int, size: int = 200) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Images and classes (as numbers) of the first items of a split."""
    part = task.splits[split]
    images, classes = part.inputs["image"][:items], part.targets["logits"][:items].argmax(-1)
    return [({"image": x}, {"logits": y}) for x, y in zip(images.split(size), classes.split(size), strict=True)]


def invariance(model: nn.Module, loader: Sequence[Any]) -> float:
    """Mean of ‖f(x) − f(τx)‖ / (½‖f(x)‖ + ½‖f(τx)‖), the identity not counted."""
    parts = []
    with torch.no_grad():
        for inputs, _ in loader:
            here, there = model(inputs["image"]), model(inputs["image"].flip(-1))
            parts.append((here - there).norm(dim=1) / (here.norm(dim=1) + there.norm(dim=1)) * 2)
    return float(torch.cat(parts).mean())


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean ± standard deviation over seeds."""
    text = f"{statistics.mean(values):.{digits}f}"
    return f"{text} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else text


def paired(permutation: Tensor) -> float:
    """Fraction of channels that are permuted in pairs."""
    twice = permutation[permutation] == torch.arange(len(permutation))
    return float((twice & (permutation != torch.arange(len(permutation)))).double().mean())


def parts_of(single: Mapping[str, Any]) -> list[float]:
    """Fractions of all channels of a network: invariant, paired, in longer cycles, dead."""
    sizes, hidden = single["sizes"], single["hidden"]
    invariant, two, zero = (
        sum(sizes[name] * value for name, value in kind.items()) / sum(sizes.values())
        for kind in (hidden["invariant"], single["paired"], hidden["zero"])
    )
    return [invariant, two, 1 - invariant - two - zero, zero]


def table(singles: Mapping[Key, Any], merges: Mapping[tuple[Key, Key], Any], bench: Bench) -> str:
    """Both tables, mean ± standard deviation over seeds."""
    names = list(dict.fromkeys(name for name, _ in singles))
    lines = [
        "# Image networks merged with their own mirror images", "",
        f"Protocol `{bench.task.protocol}`; channels matched and repaired on {bench.items} training images, accuracy "
        f"on {len(bench.task.splits['test'])} test images. Mean ± standard deviation over seeds. Barriers are relative "
        "(equation 4 of Bökman & Kahl 2023) after REPAIR unless said otherwise; “absolute” is in accuracy. Published "
        "numbers are of the full width, all of CIFAR-10 and 100 epochs [P].", "",
        "| network | seeds | accuracy | invariance error | barrier | absolute | without REPAIR | as it stands | "
        "published error | published barrier |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for name in names:
        own = [single for (label, _), single in singles.items() if label == name]
        columns = [[each["accuracy"] for each in own], [each["invariance_error"] for each in own]]
        columns += [[each["merge"][key] for each in own]
                    for key in ("barrier", "absolute", "without_repair", "without_matching")]  # fmt: skip
        known = PAPER.get(name)
        published = [f"{known[1]:.3g}", f"{known[2]:.2g}"] if known else ["–", "–"]
        lines.append(f"| {name} | {len(own)} | {' | '.join(spread(column) for column in columns)} | "
                     f"{' | '.join(published)} |")  # fmt: skip
    lines += [
        "", "Channels of all layers, by the permutation that matches a network with its mirror image: matched with "
        "themselves (invariant), with one other (regular), in longer cycles, or never active (zero). A channel is "
        "matched with itself where no other correlates better, even if it correlates badly: see the correlation.", "",
        "| network | invariant | regular | longer | zero | layers of order 1, 2, more | correlation before → after |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]  # fmt: skip
    for name in names:
        own = [single for (label, _), single in singles.items() if label == name]
        parts = list(zip(*(parts_of(each) for each in own), strict=True))
        found = Counter(min(orders_[1], 3) for each in own for orders_ in each["hidden"]["orders"].values())
        total = sum(found.values())
        before, after = ([statistics.mean(each["correlation"][key].values()) for each in own]
                         for key in ("before", "after"))  # fmt: skip
        lines.append(
            f"| {name} | {' | '.join(spread(column, 2) for column in parts)} | "
            f"{', '.join(f'{found[order] / total:.2f}' for order in (1, 2, 3))} | "
            f"{statistics.mean(before):.2f} → {statistics.mean(after):.2f} |"
        )
    lines += ["", "Two different trainings, as the seed-to-seed baseline:", "",
              "| networks | pairs | barrier | absolute | without REPAIR | as they stand | published |",
              "|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for first, second in TRAININGS:
        own = [each["merge"] for (a, b), each in merges.items() if (a[0], b[0]) == (first, second)]
        if own:
            columns = [[each[key] for each in own]
                       for key in ("barrier", "absolute", "without_repair", "without_matching")]  # fmt: skip
            known = PAPER_TRAININGS.get((first, second))
            lines.append(f"| {first} / {second} | {len(own)} | {' | '.join(spread(column) for column in columns)} | "
                         f"{f'{known:.2e}' if known else '–'} |")  # fmt: skip
    lines += ["", f"torch {torch.__version__}, {platform.machine()}, one thread; made by "
              "`python benchmarks/align_images.py`, every measurement in `merges/`.", ""]  # fmt: skip
    return "\n".join(lines)


def draw(
    singles: Mapping[Key, Any], merges: Mapping[tuple[Key, Key], Any], found: Mapping[Key, Any], bench: Bench,
    output: Path,
) -> None:  # fmt: skip
    """The figures."""
    points = [Point(name, each["invariance_error"], each["merge"]["barrier"]) for (name, _), each in singles.items()]
    both = [each["merge"]["barrier"] for (a, b), each in merges.items() if a[0] == b[0] == "CNN"]
    lines = {"two trainings of CNN": statistics.mean(both)} if both else {}
    save(barriers_against_errors(points, lines), output / "barriers.svg")
    counts: dict[str, Counter[int]] = {}
    for (name, _), each in singles.items():
        counts.setdefault(name, Counter()).update(order[1] for order in each["hidden"]["orders"].values())
    save(orders(counts), output / "orders.svg")
    for name in ("CNN w/o augmentation", "CNN", "CNN + inv-loss", "GCNN"):
        key = next((key for key in found if key[0] == name), None)
        if key is None:
            continue
        model = bench.load(found[key])
        copy = transformed_copy(model, SIGNATURE, FLIP, {"image": bench.data[0][0]["image"][:4]})
        units = permutation_spec(model, bench.few)
        matching = match_activations(model, copy, units, [inputs for inputs, _ in bench.data])
        stream = units.streams[0].name
        partners, scores = matching.permutation(stream), matching.scores[stream]
        chosen = scores.gather(1, partners.unsqueeze(1)).squeeze(1)
        dead = scores.abs().amax(1) == 0
        figure = matched_filters(
            model.state_dict()["features.0.weight"].numpy(), partners.tolist(),
            torch.where(dead, float("nan"), chosen).tolist(),
            f"{name}, seed {key[1]}: filters over the mirrored ones they are matched with",
        )  # fmt: skip
        slug = "".join(c if c.isalnum() else "_" for c in name.lower())
        save(figure, output / f"filters_{slug}.svg")


if __name__ == "__main__":
    main()
