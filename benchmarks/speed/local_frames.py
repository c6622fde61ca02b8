"""What local frames cost: `LocalFrameAveraging` and FA-Local-PointNet over the textbook's loop-free form, in one run.

    python benchmarks/speed/local_frames.py [--json FILE] [--repeats 7]

The textbook: k nearest nodes by ``cdist`` and ``topk``, eigenvectors by ``eigh``, all eight signs, everything in one
batch and in float32, nothing looked at. It shares weights with ours. Calls alternate; medians of ratios of CPU times.
Errors are relative, over rotations and reflections: on made solids, and on nodes of a cube with its centre, whose
neighbourhoods are degenerate, with a layer that does not see the order of nodes.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

import geoequiv as ge
from geoequiv.averaged import FALocalPointNet

NORMALS = "pos: point -> normal: vector up to sign"
NEIGHBOURS = 20


def signs(like: Tensor) -> Tensor:
    return torch.tensor(list(product((1.0, -1.0), repeat=3)), dtype=like.dtype)


def textbook_frames(cloud: Tensor) -> tuple[Tensor, Tensor]:
    """Frames ``[8, M, 3, 3]`` and centres ``[M, 1, 3]`` of clouds ``[M, k, 3]``."""
    centre = cloud.mean(1, keepdim=True)
    centred = cloud - centre
    axes = torch.linalg.eigh(centred.mT @ centred)[1]
    return axes * signs(axes)[:, None, None, :], centre


def textbook_local(layer: Callable[[Tensor], Tensor], pos: Tensor, k: int) -> Tensor:
    """Vectors ``[B, N, C, 3]`` of a layer averaged over the frames of neighbourhoods."""
    near = torch.cdist(pos, pos).topk(k, largest=False).indices
    start = torch.arange(len(pos))[:, None, None] * pos.shape[1]
    cloud = pos.flatten(0, 1)[(near + start).flatten()].reshape(-1, k, 3)
    frames, centre = textbook_frames(cloud)
    seen = (cloud - centre) @ frames
    vectors = layer(seen.flatten(0, 1)).unflatten(0, (8, -1)) @ frames.mT
    return vectors.mean(0).unflatten(0, pos.shape[:2])


def textbook_whole(model: FALocalPointNet, pos: Tensor, k: int) -> Tensor:
    """FA-Local-PointNet with the published mean of normals."""
    local = textbook_local(model.local.layer, pos, k)
    frames, centre = textbook_frames(local.flatten(1, 2))
    seen = (local - centre.unsqueeze(1)) @ frames.unsqueeze(2)
    normals = model.whole.model(seen.flatten(0, 1)).unflatten(0, (8, -1)) @ frames.mT
    return normals.mean(0)


def ratio(ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median of the ratios, and the median CPU time of the textbook in seconds."""
    found, times = [], []
    for _ in range(repeats + 1):
        start = time.process_time()
        theirs()
        middle = time.process_time()
        ours()
        found.append((time.process_time() - middle) / (middle - start))
        times.append(middle - start)
    return statistics.median(found[1:]), statistics.median(times[1:])


class SetLayer(nn.Module):
    """Numbers of a neighbourhood, whatever the order of its nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 4))

    def forward(self, pos: Tensor) -> Tensor:
        return self.net(pos).sum(-2)


def textbook_invariants(layer: nn.Module, pos: Tensor) -> Tensor:
    """Numbers of whole clouds ``[B, N, 3]`` averaged over their frames, for each node."""
    frames, centre = textbook_frames(pos)
    return layer(((pos - centre) @ frames).flatten(0, 1)).unflatten(0, (8, -1)).mean(0).unsqueeze(1).expand(-1, 9, -1)


@torch.no_grad()
def main(repeats: int) -> dict[str, object]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        pos = ge.task("normals/shapes", folder, train=1, val=1, test=16).splits["test"].inputs["pos"]
    rows: dict[str, object] = {"clouds": 16, "points": 512, "neighbours": NEIGHBOURS, "torch": torch.__version__}
    for width in (16, 64):
        model = FALocalPointNet(NORMALS, width=width, neighbours=NEIGHBOURS).eval()
        local, layer = model.local, model.local.layer
        rows[f"local layer, width {width}"] = ratio(
            lambda local=local: local(pos=pos), lambda layer=layer: textbook_local(layer, pos, NEIGHBOURS), repeats
        )
        few = pos[:4] if width > 16 else pos
        rows[f"FA-Local-PointNet, width {width}"] = ratio(
            lambda model=model, few=few: model(pos=few),
            lambda model=model, few=few: textbook_whole(model, few, NEIGHBOURS),
            max(2, repeats // 2),
        )
    corners = torch.tensor(list(product((1.0, -1.0), repeat=3)))
    cube = torch.cat([corners, torch.zeros(1, 3)])[None]
    layer = SetLayer()
    exact = ge.LocalFrameAveraging(layer, "pos: point -> s: scalar*4 per graph", "O(3)", neighbours=9)
    for name, each in (("ours", exact), ("textbook", lambda pos: textbook_invariants(layer, pos))):
        report = ge.equivariance_error(each, {"pos": cube}, "pos: point -> s: scalar*4", "O(3)")
        rows[f"error on a cube, {name}"] = report.worst_by_size
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    found = main(options.repeats)
    for name, value in found.items():
        text = f"{value[0]:.2f} × the textbook's {1000 * value[1]:.0f} ms" if isinstance(value, tuple) else value
        print(f"{name:32} {text}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
