"""The schema writes and reads."""

import json

import pytest
from pydantic import ValidationError

from geoequiv.records import Number, Record
from geoequiv.records.identity import former_identity, identity
from geoequiv.records.schema import further_keys


def test_round_trip_is_exact_to_the_byte(record):
    first = record(numbers={"metric": {"value": 1 / 3, "se": 1e-300, "n": 7}, "params": {"value": 12}})
    again = Record.model_validate_json(first.text())
    assert again == first
    assert again.text() == first.text()
    assert '"params":{"value":12}' in first.text(), "a count stays a whole number, and what is None is not written"


def test_values_that_json_cannot_write_become_null(record):
    environment = {"loss": float("nan"), "list": [float("inf"), 1.0]}
    assert json.loads(record(environment=environment).text())["environment"] == {"loss": None, "list": [None, 1.0]}


def test_a_number_is_finite():
    assert Number.of(float("nan")) is None
    assert Number.of(None) is None
    assert Number.of(2.0, se=float("inf"), n=3) == Number(value=2.0, n=3)
    with pytest.raises(ValidationError):
        Number(value=float("inf"))


def test_a_finished_run_has_a_metric(record):
    with pytest.raises(ValidationError, match="needs a protocol and a metric"):
        record(numbers={})
    assert record(numbers={}, status="failed").value("metric") is None


def test_identity_leaves_out_what_is_measured_afterwards(record):
    config = dict(record().config)
    other = config | {"evaluate": {"repeats": 9}, "measure": ["mine:f"], "align": {"items": 2}}
    assert identity(other) == identity(config) == record().identity
    assert former_identity(other) != former_identity(config)
    assert identity(config | {"train": {"lr": 1e-3, "log_every": 5}}) == identity(config)
    assert identity(config | {"train": {"lr": 2e-3, "log_every": 1}}) != identity(config)


def test_barriers_by_new_settings_give_way_wholly(record):
    means = {"n": 2, "barrier": 0.5, "absolute": None, "without_repair": 1.0, "without_matching": 2.0}
    first = record().with_alignment({"methods": {"weights": {"copies": means, "trainings": None}}})
    assert first.value("barrier/weights/copies") == 0.5
    assert "barrier/weights/copies/absolute" not in first.numbers
    second = first.with_alignment({"methods": {"none": {"copies": None, "trainings": means}}})
    assert set(second.below("barrier")) == {
        "none/trainings",
        "none/trainings/without_repair",
        "none/trainings/without_matching",
    }
    assert second.value("metric") == record().value("metric")


def test_alignment_that_does_not_fit_is_refused(record):
    with pytest.raises(ValidationError, match="barrier"):
        record(alignment={"methods": {"weights": {"copies": {"n": 1, "barrier": "much"}}}})


def test_below():
    assert further_keys([("a", "x"), ("b", "x"), ("a", "y")]) == (
        "metric/further/a", "metric/further/b", "metric/further/a [y]")  # fmt: skip


def test_a_renamed_option_keeps_its_run():
    """degenerate="enlarge" became the frame's own default, "orbit": the ids of committed runs stay."""

    def config(degenerate, frame="pca"):
        return {"symmetry": {"name": "frame_averaging", "degenerate": degenerate, "frame": frame}, "seed": 0}

    assert identity(config("enlarge")) == identity(config(None)) == identity(config("orbit"))
    assert former_identity(config("enlarge")) == former_identity(config(None))
    assert identity(config("error")) != identity(config(None))
    nested = [{"name": "weighted", "degenerate": each} for each in ("enlarge", "orbit", "ignore")]
    ids = [identity(config(None, each)) for each in nested]
    assert ids[0] == ids[1] != ids[2]
