"""The tables of docs/explanation/findings-normals.md, from the packed records of configs/normals.yaml.

    python benchmarks/normals_findings.py [benchmarks/results/normals] [--page docs/explanation/findings-normals.md]

Rewrites what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` in the page, for each name of ``PARTS``; the prose
around it is written by hand. Numbers are means over three seeds, with the smallest and the largest in brackets.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geoequiv.records import read
from marked import fill

REGIMES = ("I/I", "I/SO(3)", "SO(3)/SO(3)")
#: model, whether it is inside frames → its name in the paper, and what is published for 10k solids at full width
ROWS: dict[tuple[str, bool], tuple[str, tuple[float, float, float]]] = {
    ("pointnet", False): ("PointNet", (0.207, 0.449, 0.258)),
    ("vn_pointnet", False): ("VN-PointNet", (0.215, 0.216, 0.223)),
    ("pointnet", True): ("FA-PointNet", (0.158, 0.163, 0.161)),
    ("fa_local_pointnet", False): ("FA-Local-PointNet", (0.097, 0.098, 0.098)),
    ("dgcnn", False): ("DGCNN", (0.070, 0.193, 0.121)),
    ("vn_dgcnn", False): ("VN-DGCNN", (0.133, 0.130, 0.144)),
    ("dgcnn", True): ("FA-DGCNN", (0.067, 0.069, 0.071)),
}
Numbers = dict[tuple[str, bool], dict[str, list[float]]]
Records = list[Any]


def numbers(folder: Path) -> tuple[Numbers, dict[str, Records]]:
    """Test errors by row and regime, over the seeds; and the records of each store."""
    stores = {name: list(read(folder / name / "records.jsonl").records) for name in ("plain", "rotated", "best")}
    found: Numbers = {row: {} for row in ROWS}
    for store, keys in (
        ("plain", {"I/I": "metric", "I/SO(3)": "metric/split/test_rotated"}),
        ("rotated", {"SO(3)/SO(3)": "metric"}),
    ):
        for record in sorted(stores[store], key=lambda record: record.seed):
            row = (record.model, record.method.name == "frame_averaging")
            for regime, key in keys.items():
                found[row].setdefault(regime, []).append(record.numbers[key].value)
    return found, stores


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"


def table(folder: Path) -> str:
    found, stores = numbers(folder)
    params = {}
    for record in stores["plain"]:
        params[record.model, record.method.name == "frame_averaging"] = record.numbers["params"].value
    lines = [
        "| model | parameters | " + " | ".join(REGIMES) + " | published, full size |",
        "| :-- | --: | --: | --: | --: | :-- |",
    ]
    for row, (name, published) in ROWS.items():
        cells = " | ".join(spread(found[row][regime]) for regime in REGIMES)
        full = " · ".join(f"{value:.3f}" for value in published)
        lines.append(f"| {name} | {params[row] / 1000:.0f}k | {cells} | {full} |")
    planes = json.loads((folder / "averages.json").read_text())["plane fit"]
    best = min(planes, key=lambda k: planes[k])
    cells = " | ".join([f"{planes[best]:.3f}"] * len(REGIMES))
    lines.append(f"| *plane through the {best} nearest points, no network* | 0 | {cells} | – |")
    return "\n".join(lines)


def claims(folder: Path) -> str:
    """What was expected, and what the numbers say."""
    found, _ = numbers(folder)
    mean = {row: {r: statistics.mean(v) for r, v in each.items()} for row, each in found.items()}
    lines = []
    for row in (("pointnet", True), ("dgcnn", True), ("fa_local_pointnet", False)):
        turned = max(abs(a - b) for a, b in zip(found[row]["I/I"], found[row]["I/SO(3)"], strict=True))
        between = abs(mean[row]["I/I"] - mean[row]["SO(3)/SO(3)"])
        within = max(max(v) - min(v) for v in found[row].values())
        lines.append(
            f"{ROWS[row][0]}: a trained network differs by at most {turned:.0e} between I/I and I/SO(3); trainings "
            f"with and without rotations by {between:.3f} in the mean, seeds of one regime by up to {within:.3f}."
        )
    for row in (("pointnet", False), ("dgcnn", False)):
        lines.append(
            f"{ROWS[row][0]}: I/SO(3) is {mean[row]['I/SO(3)'] / mean[row]['I/I']:.1f} times I/I, SO(3)/SO(3) "
            f"{mean[row]['SO(3)/SO(3)'] / mean[row]['I/I']:.1f} times."
        )
    family = [("pointnet", False), ("vn_pointnet", False), ("pointnet", True), ("fa_local_pointnet", False)]
    for regime in REGIMES:
        order = sorted(family, key=lambda row, regime=regime: mean[row][regime])
        lines.append(
            f"PointNets under {regime}, best first: "
            f"{', '.join(f'{ROWS[row][0]} {mean[row][regime]:.3f}' for row in order)}."
        )
    return "\n".join(f"- {line}" for line in lines)


def best_on_test(folder: Path) -> str:
    """The published way of choosing the epoch, beside ours."""
    found, stores = numbers(folder)
    lines = ["| model | epoch by validation | epoch by test (as published) | gain |", "| :-- | --: | --: | --: |"]
    for row in dict.fromkeys((r.model, r.method.name == "frame_averaging") for r in stores["best"]):
        values = [
            r.numbers["metric"].value
            for r in sorted(stores["best"], key=lambda r: r.seed)
            if (r.model, r.method.name == "frame_averaging") == row
        ]
        ours = found[row]["I/I"]
        gain = statistics.mean(a - b for a, b in zip(ours, values, strict=True))
        lines.append(f"| {ROWS[row][0]} | {spread(ours)} | {spread(values)} | {gain:.4f} |")
    return "\n".join(lines)


def averages(folder: Path) -> str:
    """Projectors or means, from averages.json."""
    rows = json.loads((folder / "averages.json").read_text())["averages"]
    ways = ("one frame", "mean of vectors", "projectors")
    lines = ["| model | regime | " + " | ".join(ways) + " |", "| :-- | :-- | --: | --: | --: |"]
    for model, protocol in dict.fromkeys((row["model"], row["protocol"]) for row in rows):
        cells = [
            spread([row[way] for row in rows if (row["model"], row["protocol"]) == (model, protocol)]) for way in ways
        ]
        regime = protocol.split("/")[2] if protocol.count("→") else protocol
        regime = "SO(3)/SO(3)" if "SO(3)→SO(3)" in protocol else "I/I"
        lines.append(f"| {ROWS[model, True][0]} | {regime} | {' | '.join(cells)} |")
    return "\n".join(lines)


def provenance(folder: Path) -> str:
    _, stores = numbers(folder)
    everything = [record for store in stores.values() for record in store]
    seconds = sum(record.numbers["seconds/train"].value for record in everything)
    commits = sorted({(record.environment.get("git_commit") or "?")[:10] for record in everything})
    lines = [
        f"{', '.join(f'`{protocol}`' for protocol in dict.fromkeys(r.protocol for r in everything))}.",
        f"{len(everything)} runs, {sum(r.status != 'finished' for r in everything)} failed; seeds "
        f"{', '.join(map(str, sorted({r.seed for r in everything})))}; commits {', '.join(commits)}.",
    ]
    lines.append(f"Training took {seconds / 60:.0f} minutes of one thread in all, on a machine of two cores.")
    return "\n".join(f"- {line}" for line in lines)


PARTS: dict[str, Callable[[Path], str]] = {
    "provenance": provenance, "table": table, "claims": claims, "best": best_on_test, "averages": averages,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("benchmarks/results/normals"))
    parser.add_argument("--page", type=Path, default=Path("docs/explanation/findings-normals.md"))
    arguments = parser.parse_args()
    fill(arguments.page, {name: write(arguments.folder) for name, write in PARTS.items()})
    print(f"Wrote {arguments.page}")


if __name__ == "__main__":
    main()
