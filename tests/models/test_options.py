"""Every number that a model takes states its range in the signature, and the constructor keeps to it."""

import inspect

import pytest

from geoequiv import models
from geoequiv.errors import ConfigError
from geoequiv.ranges import has_range

IMAGES = {"GCNN", "PGCNN", "ResNet", "VGG11"}
GRAPHS = {"ChebNet", "GAT", "GCN", "GIN", "GNNML1", "GNNML3", "PPGN"}
CLASSES = [each for each in (getattr(models, name) for name in models.__all__) if inspect.isclass(each)]


@pytest.mark.parametrize("model", CLASSES, ids=lambda each: each.__name__)
def test_numbers_state_their_range(model):
    parameters = inspect.signature(model).parameters.values()
    assert [each.name for each in parameters if each.annotation in (int, float, int | None, float | None)] == []
    ranged = [each.name for each in parameters if has_range(each.annotation)]
    assert ranged
    signature = "image: image*3 -> y: scalar" if model.__name__ in IMAGES else "pos: point -> pos: point"
    signature = "adj: adjacency -> y: scalar per graph" if model.__name__ in GRAPHS else signature
    for name in ranged:
        for wrong in (-1, float("nan"), "8", True):
            with pytest.raises(ConfigError, match=f"^{model.__name__}: {name} must be "):
                model(signature, **{name: wrong})
