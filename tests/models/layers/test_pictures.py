"""Networks for images: the laws of the inherited suite, on images and under flips, and weights shared by partners."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from geoequiv.errors import BatchError, ConfigError, SignatureError
from geoequiv.fields import Signature, act, call_model
from geoequiv.groups import group
from geoequiv.models import GCNN, PGCNN, VGG11, ResNet
from geoequiv.models.layers.flip_layers import FlipChannels, FlipConvolution, FlipNorm
from geoequiv.models.layers.pictures import channels_of

SIGNATURE = "image: image*3 -> logits: scalar*10"
GREY = "scan: image -> verdict: scalar*2"


@dataclass(frozen=True)
class Case:
    model: type[nn.Module]
    id: str
    options: dict = field(default_factory=dict)
    signature: str = SIGNATURE

    def build(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
        torch.manual_seed(seed)
        model = self.model(self.signature, width=1 / 16, **self.options).to(dtype)
        with torch.no_grad():  # away from the unit norms and zero biases of the start
            for parameter in model.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
        return model

    def draw(self, *lead: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        channels = Signature.parse(self.signature).inputs.items_[0][1].multiplicity
        return torch.randn(*lead, channels, 32, 32, generator=torch.Generator().manual_seed(1), dtype=dtype)


CASES = [
    Case(VGG11, "vgg11"),
    Case(VGG11, "vgg11-grey", signature=GREY),
    Case(ResNet, "resnet-8", {"depth": 8}),
    Case(ResNet, "resnet-50", {"depth": 50}),
    Case(GCNN, "gcnn"),
    Case(GCNN, "gcnn-grey", signature=GREY),
    Case(PGCNN, "pgcnn"),
    Case(PGCNN, "pgcnn-invariant", {"layers": 3, "invariant": 0.5}),
    Case(PGCNN, "pgcnn-trivial", {"layers": 1, "invariant": 1.0}),
]


def each(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)


@torch.no_grad()
def worst_error(case: Case, dtype: torch.dtype, train: bool) -> float:
    """‖f(gx) − f(x)‖ / ‖f(x)‖ with a flip for some items and none for others."""
    model = case.build(dtype=dtype).train(train)
    signature = Signature.parse(case.signature)
    (name,), (out,) = signature.inputs, signature.outputs
    inputs = {name: case.draw(4, dtype=dtype)}
    element = group("flip").elements()[torch.tensor([1, 0, 1, 1])]
    before = call_model(model, signature, inputs)[out]
    after = call_model(model, signature, act(element, inputs, signature.inputs))[out]
    return float((after - before).norm() / before.norm())


@each([case for case in CASES if case.model.claims])
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_keeps_what_it_claims(case, dtype, tolerance, train):
    assert worst_error(case, dtype, train) < tolerance


@each([case for case in CASES if not case.model.claims])
def test_measurably_fails_what_it_does_not_claim(case):
    assert worst_error(case, torch.float64, False) > 1e-2


@each(CASES)
def test_batch_axes_are_free(case):
    model = case.build().eval()
    images = case.draw(2, 2)
    outputs = Signature.parse(case.signature).outputs.items_[0][1].multiplicity
    assert model(images).shape == (2, 2, outputs)
    torch.testing.assert_close(model(images).flatten(0, 1), model(images.flatten(0, 1)))
    torch.testing.assert_close(model(images[0, 0]), model(images)[0, 0], rtol=1e-9, atol=1e-9)


@each(CASES)
def test_every_parameter_learns(case):
    model = case.build()
    model(case.draw(2)).square().sum().backward()
    assert [name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()] == []


@each([case for case in CASES if "-" not in case.id])
def test_seed_decides_the_weights_and_state_travels(case):
    first, again, other = case.build(0).eval(), case.build(0).eval(), case.build(1).eval()
    images = case.draw(2)
    assert torch.equal(first(images), again(images))
    assert not torch.equal(first(images), other(images))
    other.load_state_dict(first.state_dict())
    assert torch.equal(first(images), other(images))


def test_width_multiplies_the_published_sizes():
    sizes = {model: sum(p.numel() for p in model(SIGNATURE).parameters()) for model in (VGG11, GCNN, ResNet)}
    filters = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 3 * 512 * 512)
    assert sizes[VGG11] == filters + 2 * (64 + 128 + 2 * 256 + 4 * 512) + 5130
    assert sizes[ResNet] == 272_474  # the 20 layers of He et al., 0.27 M
    assert sizes[GCNN] == pytest.approx(sizes[VGG11] / 2, rel=1e-4)
    assert [channels_of(64, width) for width in (1, 0.5, 0.125, 0.11, 0.001)] == [64, 32, 8, 8, 2]
    assert VGG11(SIGNATURE, 0.125).last.in_features == 64
    blocks = {depth: len(ResNet(SIGNATURE, 1 / 16, depth).blocks) for depth in (8, 20, 50)}
    assert blocks == {8: 3, 20: 9, 50: 16}


def trained_a_little(model: nn.Module, images: torch.Tensor) -> nn.Module:
    """With running moments of its own."""
    for _ in range(2):
        model(images)
    return model.eval()


@each([case for case in CASES if case.model in (GCNN, PGCNN)])
@torch.no_grad()
def test_it_is_a_vgg11_with_tied_filters(case):
    images = case.draw(4)
    model = trained_a_little(case.build(), images)
    plain = model.plain()
    assert type(plain) is VGG11
    torch.testing.assert_close(plain(images), model(images))
    assert not plain.training
    same = VGG11(case.signature, 1 / 16).to(torch.float64)
    same.load_state_dict(plain.state_dict())


@pytest.mark.parametrize("before", [FlipChannels(3, 0), FlipChannels(2, 2), FlipChannels(0, 3)], ids=str)
@pytest.mark.parametrize("after", [FlipChannels(4, 0), FlipChannels(1, 2), FlipChannels(0, 2)], ids=str)
@pytest.mark.parametrize("side", [1, 3])
@torch.no_grad()
def test_layers_commute_with_flips(before, after, side):
    convolution, norm = FlipConvolution(before, after, side).double(), FlipNorm(after).double()
    features = torch.randn(2, before.total, 5, 6, dtype=torch.float64)
    for module, partners, values in (
        (convolution, before.partners(), features),
        (norm, after.partners(), convolution(features)),
    ):
        transformed = module(values.flip(-1)[:, partners])
        torch.testing.assert_close(transformed, module(values).flip(-1)[:, after.partners()])
    free = nn.Conv2d(before.total, after.total, side, padding=side // 2).double()
    transformed = free(features.flip(-1)[:, before.partners()])
    same = side == 1 and before.regular == after.regular == 0  # nothing is mirrored there
    assert (
        float((transformed - free(features).flip(-1)[:, after.partners()]).abs().max()) > 1e-2
    ) != same  # test the tester
    for _ in range(2):
        norm(convolution(features))
    plain = nn.Sequential(convolution.plain(), norm.eval().plain().eval())
    torch.testing.assert_close(plain(features), norm(convolution(features)))


def test_twins_twice_are_the_channel_itself():
    channels = FlipChannels(2, 3)
    assert channels.partners().tolist() == [0, 1, 5, 6, 7, 2, 3, 4]
    assert channels.partners()[channels.partners()].tolist() == list(range(8))


def test_an_equivariant_layer_starts_with_the_variance_of_a_free_one():
    torch.manual_seed(0)
    for after in (FlipChannels(64, 0), FlipChannels(0, 32)):
        filters = FlipConvolution(FlipChannels(0, 32), after).filters().detach()
        assert float(filters.std()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("model", [VGG11, ResNet, GCNN, PGCNN])
def test_bad_input(model):
    with pytest.raises(SignatureError, match="reads one image and predicts one row of scalars"):
        model("pos: point -> pos: point")
    with pytest.raises(SignatureError, match="reads one image"):
        model("image: image*3 -> image: image*3")
    with pytest.raises(BatchError, match=r"reads images \[..., 3, H, W\]; got shape \[2, 1, 32, 32\]"):
        model(SIGNATURE, 1 / 16)(torch.zeros(2, 1, 32, 32))


def test_bad_options():
    with pytest.raises(ConfigError, match=r"ResNet has the depths 8, 14, 20, 32, 44, 50, 56; got 18"):
        ResNet(SIGNATURE, depth=18)
    for wrong in ({"layers": 9}, {"layers": -1}, {"invariant": 1.5}):
        with pytest.raises(ConfigError, match=r"PGCNN: (layers|invariant) must be"):
            PGCNN(SIGNATURE, **wrong)
