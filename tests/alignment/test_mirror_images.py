"""Networks for images and their mirror images: what is known beforehand of barriers, permutations and copies."""

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.alignment import (
    apply,
    barrier,
    hidden_representation,
    permutation_spec,
    symmetry_barrier,
    transformed_copy,
)
from geoequiv.alignment.derive import with_state
from geoequiv.alignment.repairing import reset_batch_norms
from geoequiv.errors import AlignmentError
from geoequiv.fields import Signature
from geoequiv.models import GCNN, PGCNN, VGG11, ResNet
from geoequiv.tasks.classification import cross_entropy

from .networks import PICTURES

FLIP = ge.group("flip").elements()[1]


def photographs(items, seed=0):
    """Smooth random images that are not their own mirror images, brighter to the left."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(items, 3, 4, 4, generator=generator)
    image = nn.functional.interpolate(coarse, size=(32, 32), mode="bilinear")
    return image + torch.linspace(1, -1, 32) + 0.1 * torch.randn(items, 3, 32, 32, generator=generator)


#: as many mirror images as images, so that twins have equal moments
DATA = [{"image": image} for image in (photographs(24), photographs(24).flip(-1))]


def settled(model, train=0):
    """With moments of its own, after so many steps of training on made-up classes."""
    images = DATA[0]["image"]
    classes = nn.functional.one_hot((images.mean((1, 2, 3)) > 0).long() + 2 * (images.std((1, 2, 3)) > 1).long(), 10)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(train):
        optimizer.zero_grad()
        cross_entropy(model(images), classes.float()).backward()
        optimizer.step()
    model = reset_batch_norms(model, Signature.parse(PICTURES), DATA)
    with torch.no_grad():  # no class is predicted for all images
        model.last.bias -= torch.cat([model(**inputs) for inputs in DATA]).mean(0)
    return model


def own_answers(model):
    """Targets are the classes that the network itself says: it is right everywhere, so that all that is lost shows."""
    with torch.no_grad():
        return [(inputs, {"logits": model(**inputs).argmax(-1)}) for inputs in DATA]


@pytest.mark.parametrize("train", [0, 10])
def test_a_gcnn_has_no_barrier_under_its_own_group(train):
    """Once as its own copy, and once as a VGG11 that has to be flipped, matched with itself and merged."""
    torch.manual_seed(0)
    model = settled(GCNN(PICTURES, 1 / 8), train)
    pairs = own_answers(model)
    own = symmetry_barrier(model, PICTURES, FLIP, pairs, "accuracy")
    assert max(abs(own.barrier), abs(own.without_repair)) <= 1e-3
    plain = symmetry_barrier(model.plain(), PICTURES, FLIP, pairs, "accuracy")
    assert plain.first == 1
    assert abs(plain.barrier) <= 1e-3
    assert abs(plain.without_repair) <= 1e-3
    assert plain.without_matching > 0.05


@pytest.mark.parametrize("maker", [lambda: VGG11(PICTURES, 1 / 8), lambda: ResNet(PICTURES, 1 / 2, 8)])
def test_an_untrained_network_has_a_large_barrier(maker):
    torch.manual_seed(0)
    model = settled(maker())
    report = symmetry_barrier(model, PICTURES, FLIP, own_answers(model), "accuracy")
    assert report.first == 1
    assert report.barrier > 0.05
    assert report.as_dict()["better"] == "higher"


@pytest.mark.parametrize("matching", ["activations", "weights"])
@pytest.mark.parametrize("maker", [lambda: VGG11(PICTURES, 1 / 8), lambda: ResNet(PICTURES, 1 / 2, 8)])
def test_planted_permutations_have_no_barrier(maker, matching):
    torch.manual_seed(0)
    model = settled(maker())
    spec = permutation_spec(model, {"image": photographs(2)})
    other = with_state(model, apply(spec, spec.random(torch.Generator().manual_seed(1)), model.state_dict()))
    report = barrier(model, other, PICTURES, own_answers(model), "accuracy", matching=matching, spec=spec)
    assert abs(report.barrier) <= 1e-6
    assert report.without_matching > 0.05


def test_the_pairs_of_a_gcnn_are_found():
    torch.manual_seed(0)
    model = settled(GCNN(PICTURES, 1 / 8))
    found = hidden_representation(model.plain(), PICTURES, "flip", DATA)
    assert found.error == 0
    for number, layer in enumerate(layer for layer in model.features if hasattr(layer, "filters")):
        name, twins = f"features.{list(model.features).index(layer)}", layer.after.partners()
        alive = found.zero[name] == 0
        assert found.regular[name] + found.zero[name] == pytest.approx(1), (number, name)
        assert found.orders[name] == (1, 2)
        assert not alive or found.permutations[name][1].tolist() == twins.tolist()


def test_invariant_and_regular_channels_of_the_first_layers_are_counted():
    torch.manual_seed(0)
    model = settled(PGCNN(PICTURES, 1 / 8, layers=2, invariant=0.5))
    found = hidden_representation(model.plain(), PICTURES, "flip", DATA)
    for name in ("features.0", "features.4"):
        assert found.invariant[name] == found.regular[name] == 0.5
    assert found.orders["features.4"] == (1, 2)


@pytest.mark.parametrize("maker", [VGG11, GCNN, PGCNN, ResNet])
def test_copies_see_the_mirror_image(maker):
    torch.manual_seed(0)
    model = settled(maker(PICTURES, 1 / 8))
    images = photographs(4)
    with torch.no_grad():
        outputs = transformed_copy(model.plain() if maker is PGCNN else model, PICTURES, FLIP, {"image": images})(
            images
        )
        torch.testing.assert_close(outputs, model(images.flip(-1)), rtol=1e-4, atol=1e-4)


def test_the_streams_of_bottlenecks_are_found():
    """First layer, two inside each of 16 blocks, and one for the sums of each of four stages."""
    assert len(permutation_spec(ResNet(PICTURES, 1 / 16, 50), {"image": photographs(2)})) == 1 + 2 * 16 + 4


def test_strided_filters_see_other_pixels_of_a_mirror_image():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(AlignmentError, match="cannot be folded into the weights"):
        transformed_copy(model, "x: image -> y: scalar*4", FLIP, {"x": photographs(4)})
