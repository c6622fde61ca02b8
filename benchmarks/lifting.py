"""The picture of docs/explanation/lifting.md: one kernel in four orientations, the lifted feature maps, their means.

python benchmarks/lifting.py [--output docs/explanation/images/lifting.svg]
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import conv2d, relu

import geoequiv as ge
from geoequiv.report.families import colour
from geoequiv.report.figures.style import drawn, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 16
EDGE = torch.tensor([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]], dtype=torch.float64)


def letter() -> Tensor:
    """A letter F, ``[SIDE, SIDE]``: no rotation maps it to itself."""
    image = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    image[3:13, 5:7] = image[3:5, 5:12] = image[7:9, 5:10] = 1
    return image


def panels() -> list[tuple[str, Tensor]]:
    """Title and picture of each panel, in rows of four.

    Raises:
        AssertionError: if the average over the group is not the mean of the lifted maps.
    """
    image = letter()[None, None]
    kernels = ge.transform(ge.group("C4").elements(), {"k": EDGE.expand(4, 1, 3, 3)}, "k: image")["k"]

    def features(x: Tensor, kernel: Tensor = EDGE[None]) -> Tensor:
        return relu(conv2d(x, kernel[None], padding="same"))

    lifted = torch.cat([features(image, each) for each in kernels])
    back = ge.transform(ge.group("C4").elements(), {"x": image.expand(4, 1, SIDE, SIDE)}, "x: image")["x"]
    average = ge.GroupAveraging(features, "x: image -> y: image", group="C4")(x=image)
    assert torch.allclose(average, lifted.mean(0, keepdim=True), rtol=0, atol=1e-14)
    naive = torch.cat([features(each[None]) for each in back]).mean(0, keepdim=True)
    angles = [f"{90 * i}°" for i in range(4)]
    return [
        *((f"kernel, {angle}", each[0]) for angle, each in zip(angles, kernels, strict=True)),
        *((f"feature map, {angle}", each[0]) for angle, each in zip(angles, lifted, strict=True)),
        ("image", image[0, 0]),
        ("mean of the maps\n= group average", average[0, 0]),
        ("average without\nthe output's action", naive[0, 0]),
        ("mean kernel\nbefore the ReLU", features(image, kernels.mean(0))[0, 0]),
    ]


def picture() -> "Figure":
    """The figure: kernels, feature maps, means."""

    def draw(figure: "Figure") -> None:
        for axes, (title, values) in zip(figure.subplots(3, 4).ravel(), panels(), strict=True):
            bound = max(float(values.abs().max()), 1e-9)
            axes.imshow(values.numpy(), cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
            axes.set_title(title, fontsize=9, color=colour("ink"))
            axes.set_axis_off()

    return drawn(draw, high=6.0)


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("docs/explanation/images/lifting.svg"))
    save(picture(), parser.parse_args().output)


if __name__ == "__main__":
    main()
