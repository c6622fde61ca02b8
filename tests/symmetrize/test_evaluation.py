"""Test-time averaging: the bare model in training, its group average in evaluation."""

import torch
from torch import nn

import geoequiv as ge

SIGNATURE = "pos: point -> pos: point"


class Bent(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(3, 3)

    def forward(self, pos):
        return pos + self.net(pos).tanh()


def test_bare_in_training_and_averaged_in_evaluation():
    torch.manual_seed(0)
    model, x = Bent(), torch.randn(5, 4, 3)
    wrapped = ge.TestTimeAveraging(model, SIGNATURE, "O")
    assert torch.equal(wrapped.train()(x), model(x))
    torch.testing.assert_close(wrapped.eval()(x), ge.GroupAveraging(model, SIGNATURE, "O")(x))
    assert wrapped.claims == "O"
    assert ge.equivariance_error(wrapped, {"pos": x}, SIGNATURE, "O").relative < 1e-6
    assert ge.equivariance_error(model, {"pos": x}, SIGNATURE, "O").relative > 1e-2


def test_more_samples_more_symmetry_and_the_checkpoint_of_the_bare_model():
    torch.manual_seed(0)
    model, x = Bent(), {"pos": torch.randn(5, 4, 3)}
    errors = [
        ge.equivariance_error(ge.TestTimeAveraging(model, SIGNATURE, "SO(3)", samples), x, SIGNATURE, "SO(3)").relative
        for samples in (1, 64)
    ]
    assert errors[1] < 0.5 * errors[0]
    wrapped = ge.TestTimeAveraging(Bent(), SIGNATURE, "SO(3)", 4, training="augmentation")
    wrapped.load_state_dict(model.state_dict())
    assert wrapped.claims is None
