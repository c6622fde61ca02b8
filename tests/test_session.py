"""The value that says where runs are computed."""

import pickle

import pytest
import torch

import geoequiv.session
from geoequiv.errors import ConfigError
from geoequiv.session import Session, Slurm


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"device": "gpu"}, "Unknown device 'gpu'"),
        ({"device": "cuda:"}, "Did you mean 'cuda:N'"),
        ({"engine": "pbs"}, "Unknown engine 'pbs'"),
        ({"engine": "slurm"}, "The engine 'slurm' does not go with slurm=None"),
        ({"engine": "slurm", "slurm": Slurm(), "jobs": 2}, "one run at a time in each job; got 2"),
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


def test_importing_it_is_light():
    import subprocess
    import sys

    code = "import sys, geoequiv.session; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert geoequiv.session.DEFAULT == Session()
