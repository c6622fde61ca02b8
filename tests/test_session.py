"""The value that says where runs are computed."""

import pickle

import pytest
import torch
from torch import nn

import geoequiv.session
from geoequiv.errors import ConfigError
from geoequiv.session import Session


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"device": "gpu"}, "Unknown device 'gpu'"),
        ({"device": "cuda:"}, "Did you mean 'cuda:N'"),
        ({"precision": "16"}, "Unknown precision '16'.*Available: 32, bf16-mixed"),
        ({"engine": "slurm"}, "Unknown engine 'slurm'"),
        ({"jobs": 0}, "must be 1 or more; got 0"),
    ],
)
def test_values_are_checked(values, message):
    with pytest.raises(ConfigError, match=message):
        Session(**values)


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Session(device="auto").torch_device == torch.device("cuda")
    assert Session(device="cuda:1").torch_device == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"no device 'cuda:2'\. Available: cuda:0, cuda:1, "):
        _ = Session(device="cuda:2").torch_device
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert Session(device="auto").torch_device == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"no device 'cuda'\. Available: cpu\."):
        _ = Session(device="cuda").torch_device


def test_workers_can_be_sent_one():
    session = Session(jobs=2, device="cuda:1")
    assert pickle.loads(pickle.dumps(session)) == session


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 64)

    def forward(self, x):
        self.inner = self.linear(x)
        return {"y": self.inner}


def test_casting_lets_only_the_model_compute_in_half_precision():
    torch.manual_seed(0)
    model, x = Product(), torch.randn(8, 64)
    exact = model(x)["y"]
    with Session().casting(model):
        assert torch.equal(model(x)["y"], exact)
    with Session(precision="bf16-mixed").casting(model):
        rough = model(x)["y"]
        assert model.inner.dtype == torch.bfloat16
        assert not torch.is_autocast_enabled("cpu")
    assert rough.dtype == torch.float32
    assert 1e-4 < (rough - exact).norm() / exact.norm() < 1e-1
    assert torch.equal(model(x)["y"], exact)  # no trace of it is left


def test_casting_ends_where_the_model_raises():
    model = Product()
    with Session(precision="bf16-mixed").casting(model), pytest.raises(RuntimeError):
        model(torch.randn(8, 3))
    assert not torch.is_autocast_enabled("cpu")


def test_casting_needs_a_module():
    with pytest.raises(ConfigError, match=r"needs an nn\.Module"), Session(precision="bf16-mixed").casting(lambda x: x):
        pass


def test_importing_it_is_light():
    import subprocess
    import sys

    code = "import sys, geoequiv.session; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert geoequiv.session.DEFAULT == Session()
