"""The table of models in docs/reference/models.md, made from the code.

python benchmarks/model_table.py docs/reference/models.md      writes it between its two marks
"""

import inspect
import re
import sys
from pathlib import Path
from typing import Any

import torch

from geoequiv import catalog
from geoequiv.errors import SignatureError
from geoequiv.fields import Signature
from geoequiv.measurements.cost import cost

SIGNATURE = "pos: point, vel: vector, charge: scalar -> pos: point"
ENERGY = "pos: point, charge: scalar -> energy: scalar per graph"
NORMALS = "pos: point -> normal: vector"
GRAPHS = "adj: adjacency -> embedding: scalar*10 per graph"
IMAGE = "image: image*3 -> logits: scalar*10"
NODES = 20  # of a cloud with normals: a neighbourhood of local frames
BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"
HEADS = (
    "model", "what it is", "claims", "size", "parameters", "MFLOP forward", "+ backward", "torch.compile", "reference",
)  # fmt: skip


def rows() -> list[dict[str, str]]:
    """One row a model of the catalog, at its default size, for charged n-body (or what it must be built for)."""
    return [row(name) for name in catalog.names("model")]


def row(name: str) -> dict[str, str]:
    """What the table says of one model."""
    target = catalog.load("model", name)
    model, signature = _build(target)
    fields = {
        "pos": torch.randn(1, 5, 3), "vel": torch.randn(1, 5, 3), "charge": torch.ones(1, 5, 1),
        "image": torch.randn(1, 3, 32, 32), "adj": complete_graph(8),
    }  # fmt: skip
    if signature == NORMALS:
        fields["pos"] = torch.randn(1, NODES, 3)
    counted = cost(model, signature, {each: fields[each] for each in Signature.parse(signature).inputs}, 1)
    defaults = {each.name: each.default for each in inspect.signature(target).parameters.values()}
    return {
        "model": f"`{name}`",
        "what it is": catalog.describe("model", name).rstrip("."),
        "claims": target.claims or "–",
        "size": " × ".join(f"{defaults[each]:g}" for each in ("width", "depth") if each in defaults),
        "parameters": f"{counted.params:,}",
        "MFLOP forward": f"{counted.forward / 1e6:.2f}",
        "+ backward": f"{counted.backward / 1e6:.2f}",
        "torch.compile": getattr(target, "compiles", "not tested"),
        "reference": reference(target),
    }


def complete_graph(nodes: int) -> torch.Tensor:
    """Its adjacency, ``[1, N, N]``: the graph of most edges."""
    return (1 - torch.eye(nodes)).unsqueeze(0)


def reference(target: Any) -> str:
    """What the docstring refers to: authors and years, up to the first comma, semicolon or full stop after a year."""
    found = re.search(r"Reference: (.*?)(?:\n\n|\Z)", inspect.getdoc(target) or "", flags=re.S)
    text = " ".join(found.group(1).split()) if found else ""
    until = re.search(r"\d{4}", text)
    return text[: until.end()] if until else text.split(".")[0]


def markdown(table: list[dict[str, str]]) -> str:
    """The rows as a table."""
    lines = [" | ".join(HEADS), " | ".join("--:" if head in HEADS[4:7] else ":--" for head in HEADS)]
    lines += [" | ".join(each[head].replace("|", r"\|") for head in HEADS) for each in table]
    return "\n".join(f"| {line} |" for line in lines)


def written(text: str) -> list[dict[str, str]]:
    """The rows of a document."""
    lines = text.split(BEGIN)[1].split(END)[0].strip().splitlines()[2:]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [dict(zip(HEADS, each, strict=True)) for each in cells]


def _build(target: Any) -> tuple[torch.nn.Module, str]:
    options = {"nodes": 5} if "nodes" in inspect.signature(target).parameters else {}
    torch.manual_seed(0)
    for signature in (SIGNATURE, ENERGY, NORMALS, GRAPHS):
        try:
            return target(signature, **options), signature
        except SignatureError:
            continue
    return target(IMAGE, **options), IMAGE


def main(file: str) -> None:
    """Write the table into a document."""
    path = Path(file)
    text = path.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n{markdown(rows())}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
