"""What is measured: the metric of a known model by hand, parts by mark, and which split is missing."""

import pytest
import torch

from geoequiv import catalog
from geoequiv.errors import ModelOutputError
from geoequiv.measurements import EvaluateConfig
from geoequiv.measurements.cost import parameters
from geoequiv.measurements.equivariance import equivariance
from geoequiv.measurements.measurement import Subject
from geoequiv.measurements.own_group import own_group
from geoequiv.measurements.task_metric import task_metric
from geoequiv.measurements.timing import timing

CONFIG = EvaluateConfig(num_items=4, num_samples=2, batch_size=3, repeats=1)


class Still(torch.nn.Module):
    """Predicts that nothing moves: equivariant, and its error is known."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(5))
        self.frozen = torch.nn.Parameter(torch.zeros(7), requires_grad=False)

    def forward(self, pos, vel, charge):
        return pos


@pytest.fixture(scope="module")
def task(data_dir):
    return catalog.task("nbody/charged", data_dir=data_dir, train=32, val=8, test=16)


def test_the_metric_is_the_mean_over_items_and_over_marks(task):
    measured = task_metric(Subject(Still(), task, CONFIG))
    test = task.splits["test"]
    errors = (test.inputs["pos"] - test.targets["pos"]).double().square().mean(dim=(1, 2))
    assert measured.numbers["metric"].value == pytest.approx(errors.mean().item(), rel=1e-5)
    assert measured.numbers["metric"].n == 16
    assert measured.items["metric"].tolist() == pytest.approx(errors.tolist(), rel=1e-5)
    mark = test.marks["clamp_event"]
    for side, chosen in (("with", mark), ("without", ~mark)):
        part = measured.numbers.get(f"metric/{side}/clamp_event")
        assert (part is None) == (not chosen.any())
        if part is not None:
            assert part.value == pytest.approx(errors[chosen].mean().item(), rel=1e-5)
            assert part.n == int(chosen.sum())
    assert not any(key.startswith("metric/split") for key in measured.numbers)


def test_other_test_splits_are_measured_as_well(data_dir):
    task = catalog.task("nbody/gravity", data_dir=data_dir, train=2, val=2, test=3)

    class Rest(torch.nn.Module):
        def forward(self, pos, vel, mass):
            return pos

    numbers = task_metric(Subject(Rest(), task, CONFIG)).numbers
    assert {"metric/split/test_rotated", "metric/split/test_shifted"} <= set(numbers)
    assert numbers["metric/split/test_shifted"].value == pytest.approx(numbers["metric"].value, rel=1e-2)
    assert numbers["metric/split/test_shifted"].n == 3


def test_an_equivariant_model_has_no_equivariance_error_and_another_has(task):
    class Broken(Still):
        claims = "T(3)"

        def forward(self, pos, vel, charge):
            return pos * torch.tensor([1.0, 2.0, 3.0])

    exact = equivariance(Subject(Still(), task, CONFIG))
    assert all(exact.numbers[key].value < 1e-5 for key in ("relative", "worst", "E_prime", "E", "to_average"))
    how = {"group": "E(3)", "num_items": 4, "num_samples": 2, "dtype": "float32"}
    assert exact.settings == {"equivariance": how}
    broken = Subject(Broken(), task, CONFIG)
    assert equivariance(broken).numbers["relative"].value > 0.1
    assert equivariance(broken) == equivariance(broken)
    own = own_group(broken)
    assert own.settings["own"]["group"] == "T(3)"
    assert own.numbers["own/E_prime"].se is not None
    assert own_group(Subject(Still(), task, CONFIG)).numbers == {}
    other = Subject(Still(), task, CONFIG.model_copy(update={"group": "T(3)"}))
    assert equivariance(other).settings["equivariance"]["group"] == "T(3)"


def test_cost(task):
    subject = Subject(Still(), task, CONFIG)
    assert parameters(subject).numbers["params"].value == 5
    measured = timing(subject)
    assert measured.numbers["seconds/inference"].value > 0
    assert measured.settings["timing"] == {"batch_size": 3, "threads": torch.get_num_threads()}


def test_outputs_that_do_not_fit_are_named(task):
    class Flat(Still):
        def forward(self, pos, vel, charge):
            return pos[:, 0]

    class Bad(Still):
        def forward(self, pos, vel, charge):
            return pos / 0

    with pytest.raises(ModelOutputError, match=r"'pos' of shape \(16, 3\), expected \(16, 5, 3\)"):
        task_metric(Subject(Flat(), task, CONFIG))
    with pytest.raises(ModelOutputError, match="not finite for 16 of 16 items"):
        task_metric(Subject(Bad(), task, CONFIG))
