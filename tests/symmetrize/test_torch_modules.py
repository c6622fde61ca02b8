"""Modules of torch that need a word, and programs that torch.export makes."""

import warnings

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.errors import GeoequivError, SignatureError
from geoequiv.testing import assert_equivariant

SIGNATURE = "src: vector -> y: vector"


@pytest.mark.parametrize("batch_first", [False, True])
def test_modules_that_take_the_batch_second(batch_first):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(3, 1, 8, dropout=0.0, batch_first=batch_first)
    encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    x = {"src": torch.randn(2, 5, 3)}
    for model, signature in ((encoder, SIGNATURE), (layer, SIGNATURE)):
        averaged = ge.GroupAveraging(model, signature, "O")
        if batch_first:
            assert_equivariant(averaged.eval(), x, signature, "O")
        else:
            with pytest.raises(SignatureError, match=r"takes \[nodes, batch, channels\].*batch_first=True"):
                averaged(**x)
            with pytest.raises(SignatureError, match="batch_first=True"):
                ge.equivariance_error(model, x, signature, "O")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, pos):
        return pos + self.layer(pos).sin()


def test_exported_programs():
    torch.manual_seed(0)
    model, pos = Net(), torch.randn(2, 5, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own about its internals
        average = ge.GroupAveraging(model, "pos: vector -> pos: vector", "O")
        program = torch.export.export(average, (pos,), strict=False)
        torch.testing.assert_close(program.module()(2 * pos), average(2 * pos))
        framed = ge.FrameAveraging(model, "pos: point -> pos: point", "SE(3)")
        with pytest.raises(GeoequivError, match="Export the model inside"):
            torch.export.export(framed, (pos,), strict=False)
        inside = torch.export.export(framed.model, (pos,), strict=False)
        outside = ge.FrameAveraging(inside.module(), "pos: point -> pos: point", "SE(3)", chunk=1)
        torch.testing.assert_close(outside(pos), framed(pos), atol=1e-5, rtol=1e-5)
