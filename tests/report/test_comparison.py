"""Comparing two results: rows, numbers, their standard errors, what else differs, and the exit status."""

import json

import numpy as np
import pytest

from geoequiv.cli import main
from geoequiv.records import Record, read
from geoequiv.records.items import write_items
from geoequiv.report.comparison import compare, standard_error


def run(seed=0, value=1.0, relative=0.5, se=0.01, beta=None, **changes):
    symmetry = {"name": "remul", "beta": beta} if beta else {"name": "none"}
    content = {
        "schema": 2, "run_id": f"{beta}-{seed}", "suite": "s", "status": "finished", "task": "nbody/charged",
        "protocol": "p", "model": "gnn",
        "method": {"name": symmetry["name"], "label": f"REMUL {beta}" if beta else "none"},
        "seed": seed, "metric": {"name": "mse"},
        "config": {"task": {"name": "nbody/charged"}, "model": {"name": "gnn"}, "symmetry": symmetry,
                   "train": {"epochs": 1}, "evaluate": {"repeats": 1}, "seed": seed},
        "numbers": {"metric": {"value": value}, "relative": {"value": relative, "se": se},
                    "params": {"value": 10}, "seconds/train": {"value": 5.0 + value}},
        "settings": {"equivariance": {"group": "O(3)", "num_items": 8}, "evaluate": {"repeats": 1}},
        "task_card": {"checksum": "a" * 64}, "environment": {"torch": "2.0", "cpu": "one"},
    }  # fmt: skip
    return Record.model_validate(content | changes)


def changes(first, second):
    (row,) = compare(first, second).rows
    return {each.measurement.key: each for each in row.changes}


def write(folder, records):
    for record in records:
        (folder / record.run_id).mkdir(parents=True)
        (folder / record.run_id / "record.json").write_text(record.text())
    return str(folder)


def test_equal_results_are_equal_whatever_times_say():
    found = changes([run(0), run(1, 1.2)], [run(0), run(1, 1.2)])
    assert {each.verdict for each in found.values()} == {"equal"}
    later = run(0, numbers={"metric": {"value": 1.0}, "seconds/train": {"value": 99.0}})
    comparison = compare([run(0)], [later])
    assert not comparison.changed
    assert comparison.rows[0].missing == (("relative", "params"), ())


def test_a_change_within_the_spread_of_seeds_and_one_beyond_it():
    before = [run(seed, 1.0 + 0.1 * seed) for seed in range(4)]  # standard error 0.0645 of the mean
    near = changes(before, [run(seed, 1.1 + 0.1 * seed) for seed in range(4)])["metric"]
    far = changes(before, [run(seed, 1.3 + 0.1 * seed) for seed in range(4)])["metric"]
    assert near.error == far.error == pytest.approx(2**0.5 * 0.0645, rel=1e-3)
    assert (near.verdict, far.verdict) == ("within", "beyond")
    assert far.second - far.first == pytest.approx(0.3)


def test_one_seed_has_the_standard_error_of_the_measurement_or_an_unknown_one():
    found = changes([run(0)], [run(0, 1.01, relative=0.52)])
    assert found["relative"].error == pytest.approx(0.01 * 2**0.5)
    assert found["relative"].verdict == "within"
    assert changes([run(0)], [run(0, relative=0.54)])["relative"].verdict == "beyond"
    assert found["metric"].verdict == "unknown"
    assert compare([run(0)], [run(0, 1.01)]).changed
    assert not compare([run(0)], [run(0, relative=0.52)]).changed


def test_a_count_that_differs_is_beyond():
    other = run(0, numbers={"metric": {"value": 1.0}, "params": {"value": 11}})
    assert changes([run(0)], [other])["params"].verdict == "beyond"


def test_standard_errors_add_up():
    numbers = [run(seed, relative=0.4 + 0.1 * seed, se=0.3).numbers["relative"] for seed in range(2)]
    assert standard_error(numbers) == pytest.approx((0.05**2 + (0.3 / 2**0.5) ** 2) ** 0.5)
    assert standard_error([run().numbers["metric"]]) is None


def test_only_common_seeds_are_compared():
    comparison = compare([run(0), run(1, 7.0)], [run(0), run(2, 9.0)])
    assert comparison.rows[0].seeds == (0,)
    assert not comparison.changed
    apart = compare([run(0)], [run(1)])
    assert apart.rows == ()
    assert apart.changed
    assert apart.only == (("p: gnn · none · seeds 0 (there: seeds 1)",), ("p: gnn · none · seeds 1 (there: seeds 0)",))


def test_rows_of_one_side_are_named():
    comparison = compare([run(0), run(0, beta=1.0)], [run(0), run(0, beta=2.0)])
    assert comparison.only == (("p: gnn · REMUL 1.0 · seeds 0",), ("p: gnn · REMUL 2.0 · seeds 0",))
    assert not comparison.changed


def test_what_is_measured_afterwards_does_not_tell_rows_apart_and_is_said():
    config = {**run().config, "evaluate": {"repeats": 9}}
    settings = {"equivariance": {"group": "SO(3)", "num_items": 8}, "evaluate": {"repeats": 9}}
    (row,) = compare([run(0)], [run(0, config=config, settings=settings)]).rows
    assert row.notes == ("measured otherwise: equivariance.group O(3) became SO(3)",)


def test_other_data_versions_and_machines_are_said():
    other = run(0, task_card={"checksum": "b" * 64}, environment={"torch": "2.1", "cpu": "one"})
    comparison = compare([run(0)], [other])
    assert comparison.rows[0].notes == ("other data: checksum aaaaaaaaaaaa became bbbbbbbbbbbb",)
    assert comparison.environment == {"torch": (("2.0",), ("2.1",))}


def test_failed_runs_and_other_protocols_do_not_match():
    failed = run(0, status="failed", error="boom")
    assert compare([run(0)], [failed]).rows == ()
    assert compare([run(0)], [run(0, protocol="q")]).rows == ()


def test_the_command(tmp_path, capsys):
    first = write(tmp_path / "a", [run(0), run(1, 1.2), run(0, beta=1.0)])
    second = write(tmp_path / "b", [run(0, 2.0), run(1, 2.2), run(5, beta=3.0)])
    apart = write(tmp_path / "c", [run(0, beta=7.0)])
    assert main(["compare", first, apart]) == 1
    assert "No run is in both. To put different settings on one board: geoequiv leaderboard" in capsys.readouterr().out
    assert main(["compare", first, first]) == 0
    assert "2 rows in both, without times: 6 numbers equal" in capsys.readouterr().out
    assert main(["pack", first, "--output", str(tmp_path / "packed")]) == 0
    assert main(["compare", str(tmp_path / "packed" / "records.jsonl"), first]) == 0
    capsys.readouterr()

    assert main(["compare", first, second]) == 1
    text = capsys.readouterr().out
    assert "gnn · none · seeds 0, 1 · p" in text
    assert "beyond the standard error" in text
    assert "equal\n" not in text
    assert f"Only in {first}: p: gnn · REMUL 1.0 · seeds 0" in text
    assert f"Only in {second}: p: gnn · REMUL 3.0 · seeds 5" in text
    assert "training" not in text
    assert main(["compare", first, second, "--all"]) == 1
    assert "training" in capsys.readouterr().out

    assert main(["compare", first, second, "--json"]) == 1
    content = json.loads(capsys.readouterr().out)
    (row,) = content["rows"]
    assert row["numbers"]["metric"]["verdict"] == "beyond"
    assert row["numbers"]["metric"]["first"] == pytest.approx(1.1)
    assert row["numbers"]["relative"] == {
        "first": 0.5, "second": 0.5, "standard_error": pytest.approx(0.01), "verdict": "equal"}  # fmt: skip
    assert content["changed"] is True


def test_kept_items_tell_the_error_of_one_seed(tmp_path, capsys):
    first, second = (write(tmp_path / name, [run(0, value)]) for name, value in (("a", 1.0), ("b", 1.1)))
    rng = np.random.default_rng(0)
    items = rng.random(100)
    write_items(tmp_path / "a" / "None-0", {"metric": items})
    for spread, verdict in ((0.01, "beyond"), (2.0, "within")):
        other = items + 0.1 + spread * rng.standard_normal(100)
        write_items(tmp_path / "b" / "None-0", {"metric": other})
        main(["compare", first, second, "--json"])
        found = json.loads(capsys.readouterr().out)["rows"][0]["numbers"]["metric"]
        assert found["verdict"] == verdict
        assert found["standard_error"] == pytest.approx((other - items).std(ddof=1) / 10, rel=1e-3)
    records = read(first).records, [run(0, 1.1, task_card={"checksum": "b" * 64})]
    (row,) = compare(*records, items=(lambda _: {"metric": items}, lambda _: {"metric": items + 1})).rows
    assert {each.measurement.key: each for each in row.changes}["metric"].verdict == "unknown", "on other data"


def test_paths_that_are_not_there(tmp_path, capsys):
    first = write(tmp_path / "a", [run(0)])
    assert main(["compare", first, str(tmp_path / "nowhere")]) == 2
    assert "No results folder" in capsys.readouterr().err


def test_committed_results_equal_themselves():
    from pathlib import Path

    records = read(Path(__file__).parents[2] / "benchmarks/results/nbody_charged").records
    comparison = compare(records, records)
    assert len(comparison.rows) == 8
    assert not comparison.changed
