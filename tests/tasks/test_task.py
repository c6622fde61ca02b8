"""Tasks refuse data that does not fit, and say which item of which field of which split."""

import dataclasses

import pytest
import torch

from geoequiv.errors import BatchError, ConfigError, DataError, SignatureError
from geoequiv.fields import Signature
from geoequiv.tasks import Metric, Split, Task
from geoequiv.tasks.mean_squared_error import MAE, MSE
from geoequiv.tasks.options import checked_dtype, checked_size


def split(n=3, **changes):
    pos = torch.arange(n * 6, dtype=torch.float32).reshape(n, 2, 3)
    return Split({"pos": pos, **changes}, {"pos": pos + 1})


def task(**changes):
    fields = {
        "name": "made/up",
        "protocol": "made/up/1-1-1/mse",
        "description": "",
        "signature": Signature.parse("pos: point -> pos: point"),
        "symmetry": "E(3)",
        "splits": {"train": split(), "val": split(), "test": split()},
        "loss": torch.nn.functional.mse_loss,
        "metric": MSE,
        "references": (),
        "checksum": "0",
        "citation": "",
    }
    return Task(**{**fields, **changes})


def test_a_task_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        task().name = "other"


def test_length_of_a_split():
    assert len(split(7)) == 7


def test_fields_of_different_length_are_named():
    with pytest.raises(BatchError, match=r"equally many items, got \{'pos': 3, 'vel': 2, 'target pos': 3\}"):
        split(vel=torch.zeros(2, 2, 3))


def test_an_empty_split_is_refused():
    with pytest.raises(BatchError, match="no items"):
        split(0)


@pytest.mark.parametrize("mark", [torch.zeros(3), torch.zeros(3, 1, dtype=torch.bool)])
def test_marks_are_one_bool_per_item(mark):
    with pytest.raises(BatchError, match=r"Mark 'odd' must be \[3\] bool"):
        dataclasses.replace(split(), marks={"odd": mark})


def test_nan_is_named_by_split_field_and_item():
    spoiled = split()
    spoiled.inputs["pos"][1, 0, 2] = float("nan")
    with pytest.raises(
        BatchError, match=r"Split 'val' of task 'made/up': input 'pos' is not finite in 1 of 3 .* item 1"
    ):
        task(splits={"train": split(), "val": spoiled, "test": split()})


def test_a_missing_split_is_named():
    with pytest.raises(DataError, match="lacks the split 'val'"):
        task(splits={"train": split(), "test": split()})


def test_a_field_of_the_signature_must_be_there():
    with pytest.raises(SignatureError, match=r"Split 'train' .* no input 'vel'"):
        task(signature=Signature.parse("pos: point, vel: vector -> pos: point"))


def test_mean_squared_error_by_hand():
    target = {"pos": torch.zeros(2, 1, 3)}
    prediction = {"pos": torch.tensor([[[1.0, 2.0, 3.0]], [[0.0, 0.0, 3.0]]])}
    assert isinstance(MSE, Metric)
    assert MSE.per_item(prediction, target).tolist() == pytest.approx([14 / 3, 3.0])


def test_one_number_an_item_may_come_without_a_column():
    energies = Split({"pos": torch.zeros(3, 2, 3)}, {"energy": torch.tensor([1.0, 2.0, 3.0])})
    made = task(
        signature=Signature.parse("pos: point -> energy: scalar per graph"),
        splits={"train": energies, "val": energies, "test": energies},
    )
    prediction = {"energy": torch.tensor([1.0, 4.0, 0.0])}
    assert made.metric.per_item(prediction, energies.targets).tolist() == [0.0, 4.0, 9.0]
    assert MAE.per_item(prediction, energies.targets).tolist() == [0.0, 2.0, 3.0]
    spoiled = Split(energies.inputs, {"energy": torch.tensor([1.0, float("nan"), 3.0])})
    with pytest.raises(BatchError, match="target 'energy' is not finite in 1 of 3 items, first in item 1"):
        task(signature=made.signature, splits={"train": energies, "val": spoiled, "test": energies})


def test_mean_over_items_is_torch_mse():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(5, 4, 3, generator=generator) for _ in range(2))
    per_item = MSE.per_item({"pos": a}, {"pos": b})
    torch.testing.assert_close(per_item.mean().float(), torch.nn.functional.mse_loss(a, b))


@pytest.mark.parametrize("value", [0, -1, 11, 2.0, True, "5"])
def test_sizes_are_checked(value):
    with pytest.raises(
        ConfigError, match=r"train must (be a whole number|lie between 1 and 10 \(of the stream\)).*got"
    ):
        checked_size("train", value, 10, "of the stream")


def test_dtypes_by_name_or_object():
    assert checked_dtype("float64") is checked_dtype(torch.float64) is torch.float64
    with pytest.raises(ConfigError, match=r"Unknown dtype 'float16'\. Did you mean 'float"):
        checked_dtype("float16")
