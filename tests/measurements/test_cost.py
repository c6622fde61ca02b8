"""Costs against counts by hand."""

import torch
from torch import nn

from geoequiv.measurements.cost import cost
from geoequiv.models import GATr, Transformer

CHARGED = "pos: point, vel: vector, charge: scalar -> pos: point"


class Two(nn.Module):
    """Two linear maps with a tanh between, per node."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 7), nn.Linear(7, 2, bias=False)

    def forward(self, x):
        return self.last(self.first(x).tanh())


def test_linear_maps_are_counted_exactly():
    measured = cost(Two(), "x: point -> y: scalar*2", {"x": torch.randn(10, 4, 3)}, samples=10)
    assert measured.params == 3 * 7 + 7 + 7 * 2
    forward = 4 * 2 * (3 * 7 + 7 * 2)
    assert measured.forward == forward
    assert measured.backward == 2 * forward - 4 * 2 * 3 * 7  # the inputs need no gradient
    assert measured.saved_bytes == 4 * 7 * 4  # the tanh; the input and the weights are there anyway


def test_cost_of_a_sample_does_not_depend_on_the_batch_and_grows_with_the_nodes():
    torch.manual_seed(0)
    for model in (Transformer(CHARGED, width=8, depth=1), GATr(CHARGED, width=16, depth=1)):

        def fields(batch, nodes):
            return {
                "pos": torch.randn(batch, nodes, 3),
                "vel": torch.randn(batch, nodes, 3),
                "charge": torch.ones(batch, nodes, 1),
            }

        small, batched, large = (
            cost(model, CHARGED, fields(batch, nodes), batch) for batch, nodes in ((1, 4), (6, 4), (1, 8))
        )
        assert small.forward == batched.forward
        assert small.backward == batched.backward
        assert 2 * small.forward < large.forward < 4 * small.forward


def test_the_products_of_gatr_are_counted():
    """Each of the 192 + 81 terms is a multiply-add of two parities and `channels` products a node."""
    model = GATr(CHARGED, width=16, depth=1)
    fields = {"pos": torch.randn(1, 2, 3), "vel": torch.randn(1, 2, 3), "charge": torch.ones(1, 2, 1)}
    deeper = cost(GATr(CHARGED, width=16, depth=2), CHARGED, fields, 1).forward
    block = deeper - cost(model, CHARGED, fields, 1).forward
    channels, nodes = model.blocks[0].channels, 2
    assert block > 2 * (192 + 81) * 2 * channels * nodes
