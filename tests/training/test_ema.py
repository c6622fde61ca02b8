import pytest
import torch
from torch import nn

from geoequiv.training.ema import EMA


def test_average_of_one_weight_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    average = EMA(model, decay=0.75)
    expected = 1.0
    for value in (2.0, 4.0, -1.0):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update()
        expected = 0.75 * expected + 0.25 * value  # 1.25, 1.9375, 1.203125
    assert average.shadow["weight"].item() == expected == 1.203125


def test_the_models_own_weights_come_back_bit_for_bit_even_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    average = EMA(model, decay=0.9)
    with torch.no_grad():
        model[0].weight.mul_(3.0)
    model(torch.randn(5, 3))  # changes the running statistics and the counter, an integer
    average.update()
    own = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def use_and_fail() -> None:
        with average.in_place():
            assert torch.equal(model[0].weight, average.shadow["0.weight"])
            assert model[1].num_batches_tracked == 1
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        use_and_fail()
    assert all(torch.equal(tensor, own[name]) for name, tensor in model.state_dict().items())
