"""The grid of orientations, what a network on it keeps and what it does not."""

import pytest
import torch

from geoequiv.errors import SignatureError
from geoequiv.fields import Signature, act
from geoequiv.groups import group
from geoequiv.models.ponita import GRIDS, PONITA, axes_of, seen_along

SIGNATURE = Signature.parse("pos: point, vel: vector, charge: scalar -> transformed: vector, energy: scalar")


def error(orientations: int, name: str) -> float:
    """Relative error of an untrained model over a sample of a group, the worse of its outputs."""
    torch.manual_seed(0)
    model = PONITA(SIGNATURE, width=32, depth=2, orientations=orientations).double()
    inputs = {"pos": torch.randn(8, 5, 3), "vel": torch.randn(8, 5, 3), "charge": torch.randn(8, 5, 1)}
    inputs = {name: values.double() for name, values in inputs.items()}
    element = group(name).sample(8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = act(element, model(**inputs), SIGNATURE.outputs)
        after = model(**act(element, inputs, SIGNATURE.inputs))
    return max(float((after[name] - before[name]).norm() / before[name].norm()) for name in before)


@pytest.mark.parametrize("orientations", GRIDS)
def test_the_grid_is_permuted_by_its_group_and_resolves_the_identity(orientations):
    axes, name = GRIDS[orientations]
    grid = torch.cat([axes_of(*each) for each in axes])
    assert grid.shape == (orientations, 3)
    transformed = grid @ group(name).elements().linear.double().mT  # [elements, n, 3]
    nearest = torch.cdist(transformed, grid.expand(len(transformed), -1, -1)).argmin(-1)
    assert (nearest.sort(-1).values == torch.arange(orientations)).all()
    torch.testing.assert_close(grid[nearest], transformed, rtol=0, atol=1e-12)
    torch.testing.assert_close(grid.T @ grid, torch.eye(3, dtype=torch.float64) * orientations / 3)


@pytest.mark.parametrize("orientations", GRIDS)
def test_the_group_of_the_grid_and_translations_are_exact(orientations):
    assert error(orientations, PONITA(SIGNATURE, orientations=orientations).claims) < 1e-10
    assert error(orientations, "T(3)") < 1e-10


def test_other_rotations_are_approximate_and_better_with_more_orientations():
    six, twelve, many = (error(orientations, "SO(3)") for orientations in (6, 12, 32))
    assert 1e-6 < many < twelve / 3 < six / 9


def test_the_octahedral_grid_does_not_keep_the_icosahedral_group():
    assert error(6, "Ih") > 1e-3


def test_lengths_along_and_across_by_hand():
    grid = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]], dtype=torch.float64)
    found = seen_along(torch.tensor([[3.0, 4.0, 0.0]], dtype=torch.float64), grid)
    torch.testing.assert_close(found, torch.tensor([[[3.0, 4.0], [0.0, 5.0]]], dtype=torch.float64))


def test_grids_are_named():
    with pytest.raises(SignatureError, match="6, 12, 20, 32 orientations, not 13"):
        PONITA(SIGNATURE, orientations=13)
