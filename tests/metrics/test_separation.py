"""Close pairs of embeddings, found by sorting, against all distances."""

import pytest
import torch

from geoequiv.errors import BatchError
from geoequiv.metrics import separation
from geoequiv.metrics.separation import close_pairs


def naive(values, threshold):
    near = (values[:, None] - values[None]).abs().sum(-1) <= threshold
    return near.triu(1).nonzero().T


def as_set(pairs):
    return set(map(tuple, pairs.T.tolist()))


@pytest.mark.parametrize("block", [7, 2**21])
@pytest.mark.parametrize("width", [1, 2, 10])
def test_pairs_are_those_of_all_distances(monkeypatch, width, block):
    """Random, clustered, equal and saturated rows, with windows smaller than their neighbourhoods."""
    monkeypatch.setattr(separation, "BLOCK", block)
    generator = torch.Generator().manual_seed(width)
    centres = torch.randn(9, width, generator=generator)
    rows = centres[torch.randint(9, (80,), generator=generator)]
    rows = torch.cat([rows + 2e-3 * torch.rand(80, width, generator=generator) / width, rows[:3], torch.ones(4, width)])
    expected = naive(rows, 1e-3)
    assert 10 < expected.shape[1] < 3000
    found = close_pairs(rows, 1e-3)
    assert as_set(found) == as_set(expected)
    assert found.shape == expected.shape
    assert bool((found[0] < found[1]).all())


def test_a_distance_of_the_threshold_is_close_and_one_above_is_not():
    rows = torch.tensor([[0.0, 0.0], [0.5, 0.5], [0.5, 0.75]])
    assert close_pairs(rows, 1.0).tolist() == [[0, 1], [1, 2]]


def test_nothing_and_one_row_have_no_pairs():
    assert close_pairs(torch.zeros(1, 3), 1e-3).shape == (2, 0)
    assert close_pairs(torch.zeros(0, 3), 1e-3).shape == (2, 0)


def test_what_is_not_finite_is_refused():
    with pytest.raises(BatchError, match="finite"):
        close_pairs(torch.tensor([[0.0, float("nan")]]), 1e-3)
