"""Images under flips and rotations by 90°: bit for bit, the same as torch's own, and refused elsewhere."""

import pytest
import torch

import geoequiv as ge
from geoequiv.errors import BatchError, SignatureError
from geoequiv.fields import Signature, act
from geoequiv.groups import Element, compose, group, inverse

SIGNATURE = Signature.parse("img: image, x: vector -> out: image, label: scalar*10")
SIDE = SIGNATURE.inputs


def images(*shape: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    lead = shape[:-3]
    return {"img": torch.randn(*shape, generator=generator), "x": torch.randn(*lead, 4, 2, generator=generator)}


def rotation(quarters: int) -> Element:
    angle = torch.tensor(quarters * torch.pi / 2, dtype=torch.float64)
    c, s = angle.cos(), angle.sin()
    return Element(torch.stack([torch.stack([c, -s]), torch.stack([s, c])]))


@pytest.mark.parametrize("size", [4, 5])
def test_rotations_by_90_degrees_are_those_of_torch(size):
    fields = images(2, 3, size, size)
    for quarters in range(5):
        transformed = act(rotation(quarters), fields, SIDE)["img"]
        assert torch.equal(transformed, torch.rot90(fields["img"], quarters, (-2, -1)))
    transformed = fields
    for _ in range(4):
        transformed = act(rotation(1), transformed, SIDE)
    assert torch.equal(transformed["img"], fields["img"])


def test_flip_is_that_of_torch():
    fields = images(2, 3, 4, 6)
    flip = group("flip").elements()[1]
    assert torch.equal(act(flip, fields, SIDE)["img"], fields["img"].flip(-1))
    assert torch.equal(act(flip, fields, SIDE)["x"], fields["x"] * torch.tensor([-1.0, 1.0]))
    upside_down = group("D1@plane").elements()[1]
    assert torch.equal(act(upside_down, fields, SIDE)["img"], fields["img"].flip(-2))


@pytest.mark.parametrize("name", ["flip", "C2@plane", "C4@plane", "D1@plane", "D2@plane", "D4@plane"])
def test_action_is_a_homomorphism_bit_for_bit(name):
    G = group(name)
    listed = G.elements()
    g, h = (part.reshape(-1) for part in (listed.reshape(-1, 1), listed))
    pairs = len(g) * len(h)
    left = g.reshape(-1, 1).expand(len(g), len(h)).reshape(pairs)
    right = h.expand(len(g), len(h)).reshape(pairs)
    whole = {"img": torch.randn(1, 2, 5, 5).expand(pairs, 2, 5, 5), "x": torch.randn(pairs, 4, 2)}
    twice = act(left, act(right, whole, SIDE), SIDE)["img"]
    assert torch.equal(twice, act(compose(left, right), whole, SIDE)["img"])
    assert torch.equal(act(inverse(left), act(left, whole, SIDE), SIDE)["img"], whole["img"])
    one_by_one = torch.stack([act(left[i], {"img": whole["img"][i], "x": whole["x"][i]}, SIDE)["img"] for i in (0, -1)])
    assert torch.equal(one_by_one, act(left, whole, SIDE)["img"][[0, -1]])


def test_pixels_and_points_rotate_alike():
    """A bright pixel is where the point at its middle goes."""
    side = Signature.parse("img: image, x: point -> x: point").inputs
    img = torch.zeros(1, 5, 5)
    img[0, 1, 4] = 1.0  # two to the right, one up
    for i in range(8):
        g = group("D4@plane").elements()[i]
        transformed = act(g, {"img": img, "x": torch.tensor([[2.0, 1.0]])}, side)
        right, up = transformed["x"][0].round().int().tolist()
        assert transformed["img"][0, 2 - up, 2 + right] == 1.0


@pytest.mark.parametrize("name", ["C4", "D4", "C4v"])
def test_groups_of_3_space_act_on_images_as_on_the_plane(name):
    side = Signature.parse("img: image, x: vector -> y: scalar").inputs
    elements, img = group(name).elements(), images(1, 3, 5, 5)["img"]
    flat = Element(elements.linear[:, :2, :2])
    for g, h in zip((elements[i] for i in range(len(elements))), (flat[i] for i in range(len(flat))), strict=True):
        transformed = act(g, {"img": img, "x": torch.randn(1, 4, 3)}, side)["img"]
        assert torch.equal(transformed, act(h, {"img": img, "x": torch.randn(1, 4, 2)}, side)["img"])
    with pytest.raises(SignatureError, match="does not map pixels to pixels"):
        act(group("C4@x").elements()[1], {"img": img, "x": torch.randn(1, 4, 3)}, side)


def test_refusals():
    with pytest.raises(BatchError, match="4 × 6 pixels cannot be rotated by 90°"):
        act(rotation(1), images(2, 3, 4, 6), SIDE)
    with pytest.raises(SignatureError, match="does not map pixels to pixels"):
        act(group("C3@plane").elements()[1], images(2, 3, 4, 4), SIDE)
    with pytest.raises(BatchError, match=r"'img' is an image\*3: expected shape \[\.\.\., 3, H, W\]"):
        act(rotation(1), {"img": torch.ones(1, 5, 5)}, Signature.parse("img: image*3 -> y: scalar").inputs)


def test_averages_over_the_dihedral_group():
    torch.manual_seed(0)
    signature = "img: image -> out: image, label: scalar*10"
    convolution = torch.nn.Conv2d(3, 2, 3, padding=1).double()
    head = torch.nn.Linear(2 * 36, 10).double()

    def model(img):
        out = torch.tanh(convolution(img))
        return out, head(out.flatten(-3))

    inputs = {"img": torch.randn(2, 3, 6, 6, dtype=torch.float64)}
    averaged = ge.GroupAveraging(model, signature, "D4@plane")
    rotated = zip(averaged(**inputs), ge.GroupAveraging(model, signature, "D4")(**inputs), strict=True)
    assert all(torch.allclose(one, other) for one, other in rotated)
    assert ge.equivariance_error(model, inputs, signature, "D4@plane").relative > 0.1
    assert ge.equivariance_error(averaged, inputs, signature, "D4@plane").worst < 1e-13
    assert averaged(**inputs)[1].shape == (2, 10)
    alone = averaged(img=inputs["img"][0])
    assert all(torch.allclose(one, many[0]) for one, many in zip(alone, averaged(**inputs), strict=True))
