"""Precisions: what each needs of a device, the settings of torch for it, and models that compute in it."""

import os

import pytest
import torch
from torch import nn

from geoequiv.errors import ConfigError, RunError
from geoequiv.precision import PRECISIONS, TF32, _deterministic, arithmetic, casting, check_precision

CPU = torch.device("cpu")


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
    with casting(model, "32"):
        assert torch.equal(model(x)["y"], exact)
    with casting(model, "bf16-mixed"):
        rough = model(x)["y"]
        assert model.inner.dtype == torch.bfloat16
        assert not torch.is_autocast_enabled("cpu")
    assert rough.dtype == torch.float32
    assert 1e-4 < (rough - exact).norm() / exact.norm() < 1e-1
    assert torch.equal(model(x)["y"], exact)  # no trace of it is left


def test_casting_ends_where_the_model_raises():
    model = Product()
    with casting(model, "bf16-mixed"), pytest.raises(RuntimeError):
        model(torch.randn(8, 3))
    assert not torch.is_autocast_enabled("cpu")


def test_casting_needs_a_module():
    with pytest.raises(ConfigError, match=r"needs an nn\.Module"), casting(lambda x: x, "bf16-mixed"):
        pass


@pytest.mark.parametrize(
    ("precision", "device", "message"),
    [
        ("16", "cuda", "Unknown precision '16'.*Available: 32, bf16-mixed, 16-mixed, 64"),
        ("64", "mps", "64 needs float64, which mps has not.*--device cpu or cuda"),
        ("16-mixed", "cpu", "16-mixed needs a GPU: on a cpu, take bf16-mixed"),
    ],
)
def test_what_a_device_lacks_is_an_error(precision, device, message):
    with pytest.raises(ConfigError, match=message):
        check_precision(precision, device)


def test_all_else_is_there():
    for precision in PRECISIONS:
        check_precision(precision, "cuda")
    check_precision("64", "cpu")
    check_precision("16-mixed", "mps")


def test_arithmetic_sets_torch_and_sets_it_back():
    cuda, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = torch.get_default_dtype(), cuda.allow_tf32, cudnn.allow_tf32
    assert TF32 is False

    def inside() -> None:
        assert torch.zeros(1).dtype == torch.float64
        assert not cuda.allow_tf32
        assert not cudnn.allow_tf32
        with arithmetic("32", CPU):  # nested, it leaves what is around it
            assert torch.zeros(1).dtype == torch.float64
        raise KeyError

    with pytest.raises(KeyError), arithmetic("64", CPU):
        inside()
    assert (torch.get_default_dtype(), cuda.allow_tf32, cudnn.allow_tf32) == before
    assert before[2]  # torch itself rounds convolutions


def test_a_kernel_that_is_not_deterministic_is_named(monkeypatch):
    """One that has no deterministic form on a CPU either: `put_`."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    with (
        pytest.raises(RunError, match=r"kernel 'put_' is not deterministic on cuda:0.*deterministic: false"),
        _deterministic(True, torch.device("cuda:0")),
    ):
        torch.zeros(3).put_(torch.tensor([0, 1]), torch.ones(2))
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()
    with _deterministic(False, torch.device("cuda:0")):
        torch.zeros(3).put_(torch.tensor([0, 1]), torch.ones(2))


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match=r"^other$"), _deterministic(True, torch.device("cuda")):
        raise RuntimeError("other")
    with (
        pytest.raises(RunError, match=r"CUBLAS_WORKSPACE_CONFIG=.*Unset it"),
        _deterministic(True, torch.device("cuda")),
    ):
        raise RuntimeError("Deterministic behavior was enabled … you must set CUBLAS_WORKSPACE_CONFIG=:4096:8")
