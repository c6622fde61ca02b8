"""Frames on ASE's g2 molecules in four precisions: equivariance error by molecule, frame, group and dtype.

    python benchmarks/molecule_frames.py [--markdown docs/explanation/choosing-a-frame.md] [--figure FILE.svg]

A backbone without any symmetry but that of permutations gives vectors at the atoms and an energy. It computes in
float64, so that all error is that of the inputs and the frames. Copies of a molecule are transformed in float64 and
rounded, as measured coordinates would be. The exit status is 1 if an error is beyond what is stated: `TOLERANCES`, six
times that for `weighted` in half precision (its weights change with the cloud), and `JUMPS` molecules per frame and
group that lie within round-off of a jump of the frame. ``--markdown`` writes the table between ``<!-- molecules -->``
and ``<!-- /molecules -->``. Two minutes of one core.
"""

import argparse
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

import geoequiv as ge
from geoequiv.metrics import TOLERANCES
from geoequiv.symmetrize import JumpWarning

BEGIN, END = "<!-- molecules -->", "<!-- /molecules -->"
DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
FRAMES = ("pca", "stochastic", "minimal", "learned", "weighted")
GROUPS = ("O(3)", "SO(3)", "E(3)", "SE(3)")
#: molecules, of 148, that may be within round-off of a jump of a frame under one group
JUMPS = {"float64": 0, "float32": 0, "float16": 3, "bfloat16": 8}
COPIES = 6
#: dtype, frame → molecule → largest error by group
Errors = dict[tuple[str, str], dict[str, dict[str, float]]]


def tolerance(dtype: str, frame: str) -> float:
    """The stated tolerance."""
    return TOLERANCES[dtype] * (6 if frame == "weighted" and dtype in ("float16", "bfloat16") else 1)


def backbone(pos: Tensor, charge: Tensor) -> tuple[Tensor, Tensor]:
    """Vectors and an energy without symmetry, in float64."""
    wide = pos.double()
    into, out = (torch.randn(3, 8, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in (0, 1))
    hidden = torch.sin(0.5 * wide @ into + charge.double())
    hidden = hidden + hidden.mean(-2, keepdim=True)
    vectors, energy = 0.3 * wide + hidden @ out.mT, (hidden @ out[0]).sum(-1, keepdim=True)
    return vectors.to(pos.dtype), energy.to(pos.dtype)


def error(positions: Tensor, numbers: Tensor, frame: str, group: str, dtype: torch.dtype) -> float:
    """Largest relative error over copies of one molecule ``[N, 3]``."""
    acting = ge.group(group)
    g = acting.sample(COPIES, generator=torch.Generator().manual_seed(1))
    shift = 0 if g.translation is None else g.translation.unsqueeze(1)
    pos = (positions - positions.mean(0) + (0.7 if acting.translates else 0.0)).to(dtype)
    charge = (numbers.double() / 8).unsqueeze(-1).to(dtype).expand(COPIES, -1, -1)
    kind = "point" if acting.translates else "vector"
    torch.manual_seed(0)  # of the network of `learned`
    model = ge.FrameAveraging(
        backbone, f"pos: {kind}, charge: scalar -> y: vector, energy: scalar per graph", group, frame
    )
    with torch.no_grad():
        y, energy = (each.double() for each in model.eval()(pos=pos[None], charge=charge[:1]))
        transformed = (pos.double() @ g.linear.mT + shift).to(dtype)
        y_g, energy_g = (each.double() for each in model(pos=transformed, charge=charge))
    off = (y_g - y @ g.linear.mT).square().sum((-1, -2)) + (energy_g - energy).square().sum(-1)
    return float((off / (y.square().sum() + energy.square().sum())).sqrt().max())


def measured(names: Iterable[str]) -> Errors:
    """All errors of these molecules."""
    from ase.build import molecule

    atoms = {name: molecule(name) for name in names}
    clouds = {name: (torch.tensor(each.positions), torch.tensor(each.numbers)) for name, each in atoms.items()}
    return {
        (dtype, frame): {
            name: {group: error(*cloud, frame, group, DTYPES[dtype]) for group in GROUPS}
            for name, cloud in clouds.items()
            if len(cloud[0]) > 1
        }
        for dtype in DTYPES
        for frame in FRAMES
    }


def beyond(errors: Errors) -> list[str]:
    """What is not as stated."""
    found = []
    for (dtype, frame), molecules in errors.items():
        for group in GROUPS:
            over = [name for name, each in molecules.items() if each[group] > tolerance(dtype, frame)]
            if len(over) > JUMPS[dtype]:
                found.append(f"{frame} under {group} in {dtype}: {len(over)} molecules, {', '.join(over)}")
    return found


def table(errors: Errors) -> str:
    """Markdown: a row by dtype and frame."""
    lines = [
        "| dtype | frame | tolerance | median error | largest error without jumps | molecules at a jump |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for (dtype, frame), molecules in errors.items():
        limit = tolerance(dtype, frame)
        every = [value for each in molecules.values() for value in each.values()]
        within = [value for value in every if value <= limit]
        jumps = max(sum(each[group] > limit for each in molecules.values()) for group in GROUPS)
        lines.append(f"| {dtype} | {frame} | {limit:.0e} | {median(every):.0e} | {max(within):.0e} | {jumps} |")
    return "\n".join(lines)


def draw(errors: Errors, path: Path) -> None:
    """The largest error of each molecule over the groups, sorted, a panel for each dtype."""
    from geoequiv.report.families import colour
    from geoequiv.report.figures.style import drawn, floor_line, save

    def panels(figure: object) -> None:
        axes = figure.subplots(1, len(DTYPES), sharey=True)  # type: ignore[attr-defined]
        for panel, dtype in zip(axes, DTYPES, strict=True):
            for x, frame in enumerate(FRAMES):
                values = sorted(max(each.values()) for each in errors[dtype, frame].values())
                spread = [x + 0.6 * (i / max(1, len(values) - 1) - 0.5) for i in range(len(values))]
                panel.plot(spread, [max(v, 1e-17) for v in values], color=colour("ink"))
            panel.set_yscale("log")
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:.0e}")
            panel.set_title(dtype)
            panel.set_xticks(range(len(FRAMES)), FRAMES, rotation=60, ha="right")
            floor_line(panel, TOLERANCES[dtype], f"{TOLERANCES[dtype]:.0e}")
        axes[0].set_ylabel("largest relative error")

    save(drawn(panels, high=3.4), path)


def main() -> int:
    from ase.collections import g2

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", JumpWarning)
    errors = measured(g2.names)
    print(table(errors))
    if options.markdown is not None:
        before, _, rest = options.markdown.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        options.markdown.write_text(f"{before}{BEGIN}\n{table(errors)}\n{END}{after}", encoding="utf-8")
    if options.figure is not None:
        draw(errors, options.figure)
    for line in (found := beyond(errors)):
        print(f"beyond the stated tolerance: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
