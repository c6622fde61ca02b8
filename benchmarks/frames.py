"""Frames on symmetric clouds: size, exactness, gradients and cost, against textbook baselines.

    python benchmarks/frames.py [--markdown docs/explanation/choosing-a-frame.md]
                                [--picture docs/explanation/images/discontinuity.svg]

A small backbone without any symmetry but that of permutations is averaged over each frame of E(3); it returns a vector
and a scalar for each point. Every cloud meets copies of itself that are rotated, reflected, translated and permuted at
once. ``--markdown`` writes the tables between ``<!-- table -->`` and ``<!-- /table -->``.
"""

import argparse
import itertools
import math
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import geoequiv as ge
from clouds import clouds, trajectory
from geoequiv.fields import Layout, Side, Signature
from geoequiv.groups import Element, group
from geoequiv.symmetrize.frames import FRAMES, Frame

SIGNATURE = Signature.parse("pos: point -> arrow: vector, energy: scalar")
DRAWS = 4
BEGIN, END = "<!-- table -->", "<!-- /table -->"


# --- baselines in their textbook form ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class PlainPCA(Frame):
    """``torch.linalg.eigh`` of the covariance with all eight signs, whatever the eigenvalues."""

    def __call__(
        self, fields: Mapping[str, Any], side: Side, layout: Layout, *, training: bool = False
    ) -> tuple[Element, None]:
        centre, vectors = self.axes(fields["pos"])
        signs = torch.tensor(list(itertools.product((1.0, -1.0), repeat=3)), dtype=vectors.dtype)
        linear = vectors * signs[:, None, None, :]
        return Element(linear, centre.expand(linear.shape[:-1])), None

    def axes(self, points: Tensor) -> tuple[Tensor, Tensor]:
        centre = points.mean(-2)
        centred = points - centre.unsqueeze(-2)
        return centre, torch.linalg.eigh(centred.mT @ centred)[1]


@dataclass(frozen=True)
class SignByEntry(PlainPCA):
    """One element: the signs of axes such that the first coordinate of each is positive."""

    def __call__(
        self, fields: Mapping[str, Any], side: Side, layout: Layout, *, training: bool = False
    ) -> tuple[Element, None]:
        centre, vectors = self.axes(fields["pos"])
        linear = (vectors * torch.where(self.deciding(fields["pos"], centre, vectors) < 0, -1.0, 1.0).to(vectors))[None]
        return Element(linear, centre.expand(linear.shape[:-1])), None

    def deciding(self, points: Tensor, centre: Tensor, vectors: Tensor) -> Tensor:
        return vectors[..., :1, :]


@dataclass(frozen=True)
class SignByPoint(SignByEntry):
    """One element: the signs of axes such that the first point has positive coordinates."""

    def deciding(self, points: Tensor, centre: Tensor, vectors: Tensor) -> Tensor:
        return (points[..., :1, :] - centre.unsqueeze(-2)) @ vectors


BASELINES: dict[str, type[Frame]] = {
    "eigh PCA": PlainPCA,
    "sign by axis entry": SignByEntry,
    "sign by first point": SignByPoint,
}
OURS = ("pca", "stochastic", "minimal", "learned", "weighted")


def frames(name: str = "E(3)") -> dict[str, Frame]:
    """Name → frame: ours, then the baselines (which know E(3) alone)."""
    torch.manual_seed(0)  # the parameters of the learned frame
    found: dict[str, Frame] = {frame: FRAMES[frame](group(name)) for frame in OURS}
    return found | ({base: make(group(name)) for base, make in BASELINES.items()} if name == "E(3)" else {})


# --- measurements -----------------------------------------------------------------------------------------------------


class Backbone(nn.Module):
    """Points ``[B, N, 3]`` to vectors and scalars; smooth, equivariant to permutations and to nothing else."""

    def __init__(self, width: int = 16, seed: int = 1) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        for name, shape in {
            "inward": (3, width),
            "across": (width, width),
            "mixed": (width, width),
            "out": (width, 4),
        }.items():
            values = 1.5 * torch.randn(shape, dtype=torch.float64, generator=draws) / math.sqrt(shape[0])
            self.register_buffer(name, values)
        self.register_buffer("shift", torch.randn(width, dtype=torch.float64, generator=draws))

    def forward(self, pos: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.tanh(pos @ self.inward + self.shift)
        hidden = torch.tanh(hidden @ self.mixed + hidden.mean(-2, keepdim=True) @ self.across)
        return (hidden @ self.out).split([3, 1], -1)


def elements(frame: Frame, points: Tensor) -> tuple[Element, Tensor | None]:
    fields = {"pos": points}
    return frame(fields, SIGNATURE.inputs, Layout.of(fields, SIGNATURE.inputs, 3))


def size_of(frame: Frame, points: Tensor) -> int:
    """Number of elements with a weight for one cloud ``[N, 3]``."""
    found, weights = elements(frame, points.unsqueeze(0))
    return len(found) if weights is None else int((weights > 0).sum())


def error(frame: Frame, points: Tensor, dtype: torch.dtype) -> float:
    """Largest ‖Φ(g x) − ρ(g) Φ(x)‖ / ‖f(x)‖ over ``DRAWS`` moved and permuted copies; f is the bare backbone."""
    draws = torch.Generator().manual_seed(2)
    moved = [group("E(3)").sample(1, generator=draws) for _ in range(DRAWS)]
    order = [torch.randperm(len(points), generator=draws) for _ in range(DRAWS)]
    linear = torch.cat([g.linear.double().reshape(1, 3, 3) for g in moved])
    shift = torch.randn(DRAWS, 1, 3, dtype=torch.float64, generator=draws)
    copies = torch.stack([points[p] for p in order]) @ linear.mT + shift
    backbone = Backbone().to(dtype)
    model = ge.FrameAveraging(backbone, SIGNATURE, "E(3)", frame).eval()
    with torch.no_grad():
        arrow, energy = (values.double() for values in model(points.to(dtype).unsqueeze(0)))
        arrows, energies = (values.double() for values in model(copies.to(dtype)))
        scale = torch.cat(backbone((points - points.mean(0)).to(dtype)), -1).norm()
    wanted = torch.stack([arrow[0, p] for p in order]) @ linear.mT
    off = torch.cat([arrows - wanted, energies - torch.stack([energy[0, p] for p in order])], -1)
    return float(off.flatten(1).norm(dim=1).max() / scale)


def readout(frame: Frame, dtype: torch.dtype, n: int) -> Callable[[Tensor], Tensor]:
    """A fixed linear function of the outputs of the framed model, ``[B, N, 3]`` → ``[B]``."""
    model = ge.FrameAveraging(Backbone().to(dtype), SIGNATURE, "E(3)", frame).eval()
    weight = torch.randn(n, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).to(dtype)
    return lambda points: (torch.cat(model(points), -1) * weight).sum((1, 2))


def gradient(frame: Frame, points: Tensor, dtype: torch.dtype) -> Tensor:
    points = points.to(dtype).unsqueeze(0).requires_grad_()
    return torch.autograd.grad(readout(frame, dtype, points.shape[1])(points).sum(), points)[0][0]


def difference_error(frame: Frame, points: Tensor, step: float = 1e-5) -> float:
    """Relative distance of the gradient from central differences, in float64."""
    read, n = readout(frame, torch.float64, len(points)), len(points)
    shifts = step * torch.eye(3 * n, dtype=torch.float64).reshape(3 * n, n, 3)
    with torch.no_grad():
        slopes = ((read(points + shifts) - read(points - shifts)) / (2 * step)).reshape(n, 3)
    return float((gradient(frame, points, torch.float64) - slopes).norm() / slopes.norm())


def milliseconds(frame: Frame, points: Tensor, name: str) -> float:
    """CPU time of the frames of 1000 clouds in float32; measured on fewer, and scaled, where clouds are large."""
    count = max(50, min(1000, 200_000 // len(points) ** 2))
    draws = torch.Generator().manual_seed(4)
    rotations = group("E(3)").sample(count, generator=draws).linear.double().reshape(count, 3, 3)
    here = points.expand(count, -1, -1)
    if name.startswith("generic"):
        here = torch.randn(count, *points.shape, dtype=torch.float64, generator=draws)
    here = (here @ rotations.mT).float()
    times = []
    with torch.no_grad():
        for _ in range(4):
            start = time.process_time()
            elements(frame, here)
            times.append(time.process_time() - start)
    return 1e3 * statistics.median(times[1:]) * 1000 / count


# --- tables -----------------------------------------------------------------------------------------------------------


def measure() -> dict[str, dict[str, dict[str, str]]]:
    """Title → cloud → frame → cell."""
    size, single, double, slope, cost = ({} for _ in range(5))
    proper = frames("SE(3)")
    for cloud, points in clouds().items():
        for table in (size, single, double, slope, cost):
            table[cloud] = {}
        for name, frame in frames().items():
            count = str(size_of(frame, points))
            size[cloud][name] = f"{count} · {size_of(proper[name], points)}" if name in proper else count
            single[cloud][name] = scientific(error(frame, points, torch.float32), 1e-5)
            double[cloud][name] = scientific(error(frame, points, torch.float64), 1e-10)
            finite = all(
                bool(gradient(frame, points, dtype).isfinite().all()) for dtype in (torch.float32, torch.float64)
            )
            slope[cloud][name] = "finite" if finite else "**not finite**"
            if cloud.startswith("generic"):
                slope[cloud][name] += f", {difference_error(frame, points):.0e}"
            cost[cloud][name] = f"{milliseconds(frame, points, cloud):.3g}"
    return {
        "Frame size under E(3) · SE(3)": size,
        "Relative E′ in float32 (bold: above 1e-5)": single,
        "Relative E′ in float64 (bold: above 1e-10)": double,
        "Gradient in both dtypes; for the generic cloud its relative distance from central differences": slope,
        "Milliseconds for the frames of 1000 clouds, float32": cost,
    }


def scientific(value: float, limit: float) -> str:
    return f"{value:.0e}" if value <= limit else f"**{value:.0e}**"


def markdown(tables: Mapping[str, Mapping[str, Mapping[str, str]]], header: str) -> str:
    parts = [header]
    for title, rows in tables.items():
        names = list(next(iter(rows.values())))
        lines = [f"**{title}**", "", f"| cloud | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
        lines += [f"| {cloud} | {' | '.join(cells.values())} |" for cloud, cells in rows.items()]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def insert(file: Path, text: str) -> None:
    """Between the markers of a page, or as the whole of a new one."""
    page = file.read_text() if file.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    file.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


# --- picture ----------------------------------------------------------------------------------------------------------


def picture() -> str:
    t, points, values = trajectory()
    curves = {}
    for name in ("pca", "minimal", "weighted"):
        model = ge.FrameAveraging(Backbone(seed=7), SIGNATURE, "SE(3)", name)
        with torch.no_grad():
            curves[name] = torch.cat([model(x.unsqueeze(0))[1].mean().reshape(1) for x in points])
    left, right, top, middle, low, bottom = 76, 740, 64, 330, 366, 446
    every = torch.cat(list(curves.values()))
    least, span = float(every.min()), float(every.max() - every.min())

    def x(time: float) -> float:
        return left + (time + 1) / 2 * (right - left)

    def y(value: float) -> float:
        return middle - 12 - (value - least) / span * (middle - top - 24)

    def y_low(value: float) -> float:
        return bottom - value / 2.4 * (bottom - low)

    def path(heights: list[float], name: str, label: str, limit: float) -> str:
        parts, jumps = [], []
        for k, height in enumerate(heights):
            torn = k > 0 and abs(height - heights[k - 1]) > limit
            parts.append(f"{'M' if k == 0 or torn else 'L'}{x(float(t[k])):.1f} {height:.1f}")
            if torn:
                jumps.append(f"M{x(float(t[k])):.1f} {heights[k - 1]:.1f}V{height:.1f}")
        torn_line = f'<path class="{name} jump" d="{"".join(jumps)}"/>' if jumps else ""
        text = f'<text class="{name}" x="{right + 12}" y="{heights[-1] + 4:.1f}">{label}</text>'
        return f'<path class="{name}" d="{"".join(parts)}"/>{torn_line}{text}'

    lines = [path([y(float(v)) for v in values], name, name, 9.0) for name, values in curves.items()]
    lines += [
        path([y_low(float(v)) for v in values[:, k]], "value", f"λ{index}", 1e9)
        for k, index in ((0, "₁"), (1, "₂"), (2, "₃"))
    ]
    marks = "".join(
        f'<path class="rule" d="M{x(time):.1f} {bottom}v5"/>'
        f'<text class="small" x="{x(time):.1f}" y="{bottom + 19}" text-anchor="middle">{time:g}</text>'
        for time in (-1, -0.5, 0, 0.5, 1)
    )
    step = 10 ** math.floor(math.log10(span / 2))
    step *= next(k for k in (5, 2, 1) if k * step * 2 <= span)
    marks += "".join(
        f'<path class="grid" d="M{left} {y(k * step):.1f}H{right}"/>'
        f'<text class="small" x="{left - 8}" y="{y(k * step) + 4:.1f}" text-anchor="end">{k * step:.3g}</text>'
        for k in range(math.ceil(least / step), math.floor((least + span) / step) + 1)
    )
    marks += "".join(
        f'<text class="small" x="{left - 8}" y="{y_low(v) + 4:.1f}" text-anchor="end">{v}</text>' for v in (0, 1, 2)
    )
    title = "Energy of a frame-averaged model while two covariance eigenvalues cross"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 500" width="840" height="500" role="img" aria-label="{title}">
<title>{title}</title>
<desc>python benchmarks/frames.py --picture docs/explanation/images/discontinuity.svg</desc>
<style>
:root{{--paper:#fcfbf8;--ink:#1c1e21;--muted:#6c717a;--line:#e2dfd6;--pca:#b45309;--minimal:#be185d;--weighted:#1d4ed8}}
@media (prefers-color-scheme:dark){{:root{{--paper:#121417;--ink:#e9e7e2;--muted:#93989f;--line:#2b2f35;--pca:#e9a94e;
--minimal:#f286b5;--weighted:#7fabff}}}}
text{{font:13px ui-sans-serif,system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;
fill:var(--ink)}}
.title{{font-size:17px;font-weight:650}}
.small,.axis{{fill:var(--muted);font-size:12px}}
path{{fill:none;stroke-width:2.2;stroke-linejoin:round}}
.grid,.rule{{stroke:var(--line);stroke-width:1}}
.jump{{stroke-width:1.2;stroke-dasharray:2 4}}
path.pca{{stroke:var(--pca)}}text.pca{{fill:var(--pca);font-weight:600}}
path.minimal{{stroke:var(--minimal)}}text.minimal{{fill:var(--minimal);font-weight:600}}
path.weighted{{stroke:var(--weighted)}}text.weighted{{fill:var(--weighted);font-weight:600}}
path.value{{stroke:var(--muted);stroke-width:1.5}}text.value{{fill:var(--muted)}}
</style>
<rect width="840" height="500" fill="var(--paper)"/>
<text class="title" x="{left}" y="32">{title}</text>
<path class="rule" d="M{left} {top}V{middle}H{right}M{left} {low}V{bottom}H{right}M{x(0)} {top}V{bottom}"/>
{marks}
{chr(10).join(lines)}
<text class="axis" x="{x(0) + 6}" y="{top + 10}">λ₂ = λ₃</text>
<text class="axis" transform="translate(24 {(top + middle) / 2}) rotate(-90)" text-anchor="middle">energy Φ(x(t))</text>
<text class="axis" transform="translate(24 {(low + bottom) / 2}) rotate(-90)" text-anchor="middle">eigenvalues</text>
<text class="axis" x="{(left + right) / 2}" y="{bottom + 38}" text-anchor="middle">time t along the trajectory</text>
</svg>
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables into this page as well")
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw the jump along a trajectory, and nothing else"
    )
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.picture:
        options.picture.write_text(picture())
        return
    machine = platform.processor() or platform.machine()
    header = (
        f"torch {torch.__version__}, {platform.system()} {machine}, {options.threads} thread(s); "
        f"`python {shlex.join(sys.argv)}`"
    )
    text = markdown(measure(), header)
    print(text)
    if options.markdown:
        insert(options.markdown, text)


if __name__ == "__main__":
    main()
