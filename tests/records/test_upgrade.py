"""Records of former schemas, from committed files."""

import json
from pathlib import Path

import pytest

from geoequiv.records import Record
from geoequiv.records.identity import present_options
from geoequiv.records.upgrade import upgraded

FORMER = sorted((Path(__file__).parent / "schema_1").glob("*.json"))
SAME = ("run_id", "suite", "status", "error", "task", "protocol", "model", "seed", "config", "environment", "started",
        "finished", "alignment")  # fmt: skip


def number_of(record, key):
    number = record.numbers.get(key)
    return None if number is None else number.model_dump()


def with_errors(equivariance, name):
    return {"value": equivariance[name], **(equivariance.get("standard_errors") or {}).get(name, {})}


@pytest.mark.parametrize("path", FORMER, ids=lambda path: path.stem)
def test_nothing_of_schema_1_is_lost(path):
    former = json.loads(path.read_text())
    left = json.loads(path.read_text())
    record = Record.model_validate(upgraded(former))
    assert left.pop("schema") == 1
    left["config"]["symmetry"] = present_options(left["config"]["symmetry"])  # an option was renamed
    if "alignment" in left:  # and a setting
        settings = left["alignment"]["settings"]
        left["alignment"]["settings"] = {
            "seed_baseline" if key == "yardstick" else key: each for key, each in settings.items()
        }
        assert settings["yardstick"] == record.alignment["settings"]["seed_baseline"]
    for key in SAME:
        assert getattr(record, key) == left.pop(key, None), key
    assert record.method.label == left.pop("symmetry")
    assert record.method.name == former["config"]["symmetry"]["name"]

    metric = left.pop("metric")
    assert record.metric.model_dump() == {key: metric.pop(key) for key in ("name", "unit", "better")}
    assert number_of(record, "metric") == {"value": metric.pop("value"), "n": metric.pop("n")}
    for mark, sides in metric.pop("marks").items():
        for side, value in sides.items():
            assert number_of(record, f"metric/{side}/{mark}") == value
    for name, value in metric.pop("splits").items():
        assert number_of(record, f"metric/split/{name}") == value
    seen = set()
    for each in metric.pop("further", []):
        key = f"metric/further/{each['name']}"
        key += f" [{each['unit']}]" if key in seen else ""
        seen.add(key)
        assert number_of(record, key) == {"value": each["value"], "n": each["n"]}
        assert record.described[key].model_dump(include={"title", "unit", "better"}) == {
            "title": each["name"], "unit": each["unit"], "better": each["better"]}  # fmt: skip
    assert metric == {}

    for prefix, key, of in (
        ("", "equivariance", "equivariance"),
        ("own/", "equivariance_own", "own"),
        ("before/", "equivariance_before", "before"),
    ):
        found = left.pop(key)
        if found is None:
            assert of not in record.settings
            continue
        assert record.settings[of] == {each: found.pop(each) for each in ("group", "num_items", "num_samples", "dtype")}
        for name, now in (("relative", "relative"), ("worst", "worst"), ("E_prime", "E_prime"), ("E", "to_average")):
            assert number_of(record, prefix + now) == with_errors(found, name)
        assert set(found) <= {"E", "E_prime", "relative", "worst", "standard_errors"}
        assert prefix + "E" not in record.numbers, "the paper's E was not measured"

    seconds, validation, flops = left.pop("seconds"), left.pop("validation"), left.pop("flops", {})
    assert record.settings["timing"] == {key: seconds.pop(key) for key in ("batch_size", "threads")}
    assert record.below("seconds").keys() == seconds.keys()
    assert all(record.value(f"seconds/{key}") == value for key, value in seconds.items())
    assert {key: number.value for key, number in record.below("flops").items()} == flops
    assert record.value("validation/best") == validation["best"]
    assert record.value("epochs/best") == validation["best_epoch"]
    assert record.value("epochs/run") == validation["epochs_run"]
    assert record.value("params") == left.pop("params")
    assert record.settings["evaluate"] == former["config"]["evaluate"]

    card = record.task_card.model_dump(mode="json")
    assert {**card, **left.pop("task_card")} == card
    assert left == {}, "every key of the former record has been looked at"


def test_committed_files_have_every_part_of_schema_1():
    former = [json.loads(path.read_text()) for path in FORMER]
    assert any(each["metric"].get("further") for each in former)
    assert any(each["metric"]["marks"] for each in former)
    assert any(each["metric"]["splits"] for each in former)
    assert any(each["equivariance_own"] for each in former)
    assert any(each.get("alignment") for each in former)
    assert any("flops" in each for each in former)
    assert any("flops" not in each for each in former)
    assert any("standard_errors" not in each["equivariance"] for each in former)


def test_barriers_become_numbers():
    (path,) = [path for path in FORMER if json.loads(path.read_text()).get("alignment")]
    former = json.loads(path.read_text())["alignment"]
    record = Record.model_validate(upgraded(json.loads(path.read_text())))
    for method, kinds in former["methods"].items():
        for kind, means in kinds.items():
            assert number_of(record, f"barrier/{method}/{kind}") == {"value": means["barrier"], "n": means["n"]}
            for name in ("absolute", "without_repair", "without_matching"):
                assert record.value(f"barrier/{method}/{kind}/{name}") == means[name]
    assert len(record.merges.copies) == len(former["copies"])


def test_further_metrics_of_one_name_in_two_units_both_stay():
    former = json.loads(next(path for path in FORMER if "further" in path.read_text()).read_text())
    first = former["metric"]["further"][0]
    former["metric"]["further"].append(first | {"unit": "bits", "value": 7.0})
    record = Record.model_validate(upgraded(former))
    assert record.value("metric/further/cross_entropy") == first["value"]
    assert record.value("metric/further/cross_entropy [bits]") == 7.0
    assert record.described["metric/further/cross_entropy [bits]"].unit == "bits"


def test_failed_run_of_schema_1():
    former = json.loads(FORMER[0].read_text())
    empty = ("metric", "validation", "equivariance", "equivariance_own", "equivariance_before", "seconds", "flops")
    failed = former | dict.fromkeys(empty) | {"status": "failed", "error": "boom", "protocol": None}
    failed.pop("alignment", None)
    record = Record.model_validate(upgraded(failed))
    assert record.status == "failed"
    assert record.error == "boom"
    assert set(record.numbers) == {"params"}


@pytest.mark.parametrize("path", FORMER, ids=lambda path: path.stem)
def test_what_was_upgraded_is_written_and_read_as_schema_2(path):
    record = Record.model_validate(upgraded(json.loads(path.read_text())))
    written = json.loads(record.text())
    assert written["schema"] == 2
    assert upgraded(written) == written
    assert Record.model_validate(written) == record


@pytest.mark.parametrize("version", [3, 0, "1", None, True, 1.5])
def test_unknown_schema_is_said(version):
    with pytest.raises(ValueError, match="schema"):
        upgraded({"schema": version})
    if version == 3:
        with pytest.raises(ValueError, match=r"schema 3, which a later geoequiv wrote.*Upgrade geoequiv"):
            upgraded({"schema": 3})
