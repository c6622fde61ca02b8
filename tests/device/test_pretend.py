"""The pretend device: it computes as the CPU does, refuses mixed devices, and counts what planted code exchanges."""

import pytest
import torch
from torch import nn

from geoequiv.measurements.timing import synchronize
from tests.device.pretend import NAME, Pretend


def test_a_step_computes_what_the_cpu_computes() -> None:
    def step(device: str) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1)).to(device)
        inputs = torch.arange(12.0).reshape(4, 3).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            model(inputs).square().mean().backward()
            optimizer.step()
        assert {each.device.type for each in model.parameters()} == {device}
        return [each.detach().cpu() for each in model.parameters()]

    with Pretend():
        there = step(NAME)
    for one, other in zip(there, step("cpu"), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)  # Adam adds in another order there


def test_two_devices_are_refused() -> None:
    with Pretend():
        there = torch.ones(3, device=NAME)
        with pytest.raises(RuntimeError, match="two devices"):
            there + torch.ones(3)
        assert (there + torch.tensor(1.0)).device.type == NAME  # a number of the host may take part


@pytest.mark.parametrize(
    ("do", "to_device", "to_host", "waits"),
    [
        (lambda x: x * 2 + x.sum(), 0, 0, 0),
        (lambda x: x[1:, 0], 0, 0, 0),
        (lambda x: x.sum().item(), 0, 0, 1),
        (lambda x: bool((x > 1).any()), 0, 0, 1),
        (lambda x: x.nonzero(), 0, 0, 1),
        (lambda x: x[x > 0.5], 0, 0, 1),
        (lambda x: x.cpu(), 0, 1, 0),
        (lambda x: x + torch.ones(3).to(NAME), 1, 0, 0),
        (lambda x: x[[0, 1]], 1, 0, 0),
        (lambda x: torch.zeros(3, device=NAME), 0, 0, 0),
    ],
    ids=["none", "slice", "item", "bool", "nonzero", "mask", "cpu", "to", "list", "zeros"],
)
def test_planted_exchanges_are_counted(do, to_device, to_host, waits) -> None:  # type: ignore[no-untyped-def]
    with Pretend() as device:
        inputs = torch.rand(3, 3).to(NAME)
        device.reset()
        do(inputs)
    assert (device.to_device, device.to_host, device.waits) == (to_device, to_host, waits), device.places
    assert sum(device.places.values()) == device.round_trips


def test_timing_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without, only the start of the kernels would be timed: one wait before and one after each pass."""
    waited = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    synchronize(torch.device(NAME))
    synchronize(torch.device("cpu"))
    assert waited == [torch.device(NAME)]
