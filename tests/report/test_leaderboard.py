"""Grouping, statistics, order and provenance of a leaderboard."""

import json
import math

import pytest

from geoequiv.report import Reference, Row, leaderboard, picture, render
from geoequiv.report.facts import floor_sentence, symmetry_of_labels


def test_mean_and_sample_std_by_hand(results, record):
    (board,) = leaderboard(results([record(seed=s, value=v) for s, v in enumerate([1.0, 2.0, 4.0])]))
    (row,) = board.rows
    assert row.metric.mean == pytest.approx(7 / 3)
    assert row.metric.std == pytest.approx(math.sqrt(7 / 3))  # ((4/3)² + (1/3)² + (5/3)²) / 2 = 42/18
    assert (row.metric.n, row.seeds, row.metric.values) == (3, (0, 1, 2), (1.0, 2.0, 4.0))
    assert row.value("metric/with/clamp_event") == pytest.approx(3.9 * 7 / 3)


def test_one_seed_has_no_deviation(results, record):
    (board,) = leaderboard(results([record()]))
    assert board.rows[0].metric.std is None


def test_several_folders_are_one_board_and_a_run_counts_once(results, record):
    one = results([record(model="egnn", seed=0, value=1.0), record(model="gnn", value=2.0)], "one")
    two = results([record(model="egnn", seed=1, value=3.0), record(model="gnn", value=2.0)], "two")
    (board,) = leaderboard(one, two)
    values = {row.model: row.metric.values for row in board.rows}
    assert values == {"egnn": (1.0, 3.0), "gnn": (2.0,)}
    (doubled,) = board.left_out
    assert doubled.path.startswith(str(two))
    assert doubled.reason.startswith(f"the same run as {one}")
    assert "egnn" in render([one, two], "md")


def test_the_same_settings_on_other_data_are_told_apart(results, record):
    """No run id knows which files a run saw; the checksum in its card does."""
    records = [record(model="gnn"), record(model="gnn")]
    for each, checksum in zip(records, ("a" * 64, "b" * 64), strict=True):
        each["task_card"] = {**(each.get("task_card") or {}), "checksum": checksum}
    one, two = (results([each], name) for each, name in zip(records, ("one", "two"), strict=True))
    (left_out,) = leaderboard(one, two)[0].left_out
    assert left_out.reason.startswith(f"the settings of {one}")
    assert left_out.reason.endswith("on other data (checksum bbbbbbbbbbbb…, there aaaaaaaaaaaa…)")


def test_errors_are_means_but_the_worst_is_the_worst(results, record):
    (board,) = leaderboard(results([record(seed=0, relative=0.1), record(seed=1, relative=0.3)]))
    (row,) = board.rows
    assert row.value("relative") == pytest.approx(0.2)
    assert row.value("worst") == pytest.approx(6.5 * 0.3)
    assert row.over("worst").values == pytest.approx((0.65, 1.95))


@pytest.mark.parametrize(("better", "first"), [("lower", "small"), ("higher", "large")])
def test_sorted_in_the_declared_direction(results, record, better, first):
    records = [record(model="small", value=0.1), record(model="large", value=0.9)]
    for each in records:
        each["metric"]["better"] = better
    (board,) = leaderboard(results(records))
    assert board.rows[0].model == first
    values = [entry.metric.mean if isinstance(entry, Row) else entry.value for entry in board.ranked()]
    assert values == sorted(values, reverse=better == "higher")


def test_references_rank_among_the_rows_but_stay_their_own_kind(results, record):
    (board,) = leaderboard(results([record(value=0.0071)]))
    order = [entry.model for entry in board.ranked()]
    assert order == ["CEGNN", "SEGNN", "EGNO", "FA-GNN", "egnn", "EGNN", "GNN", "SE(3)-Transformer", "Linear"]
    assert [type(entry) for entry in board.ranked()].count(Reference) == 8
    assert [row.model for row in board.rows] == ["egnn"]


def test_a_different_setting_is_a_different_row_and_is_named(results, record):
    (board,) = leaderboard(results([record(config={"width": 32}), record(config={"width": 64}, seed=1)]))
    assert {row.variant for row in board.rows} == {"width=32", "width=64"}
    assert all(row.metric.n == 1 for row in board.rows)


def test_a_seed_of_the_data_is_a_setting(results, record):
    records = [record(config={"task": {"seed": 1}}), record(config={"task": {"seed": 2}})]
    (board,) = leaderboard(results(records))
    assert {row.variant for row in board.rows} == {"task.seed=1", "task.seed=2"}


def test_protocols_never_mix(results, record):
    records = [record(), record(seed=1, protocol="other"), record(seed=2, task="nbody/gravity", protocol="third")]
    boards = leaderboard(results(records))
    assert [(b.task, b.protocol, b.rows[0].metric.n) for b in boards] == [
        ("nbody/charged", "nbody/charged/Δ1000/3000-2000-2000/mse", 1),
        ("nbody/charged", "other", 1),
        ("nbody/gravity", "third", 1),
    ]


def test_another_metric_in_the_same_protocol_is_left_out(results, record):
    odd = record(seed=2)
    odd["metric"]["name"] = "mae"
    (board,) = leaderboard(results([record(), record(seed=1), odd]))
    assert board.rows[0].metric.n == 2
    assert "its metric is mae, not mse" in board.left_out[0].reason


def test_failed_runs_are_kept_apart_from_the_numbers(results, suite):
    (board,) = leaderboard(results(suite))
    assert len(board.rows) == 17
    assert all(row.metric.n == 3 for row in board.rows)
    assert [(f.model, f.seed, f.alone) for f in board.failures] == [
        ("gnn", 3, False),
        ("my.package:Net", 0, True),
        ("my.package:Net", 1, True),
    ]
    assert board.failures[0].last_line.endswith("the loss is not finite at epoch 12 (nan)")
    (row,) = [row for row in board.rows if row.failed_seeds]
    assert (row.model, row.symmetry, row.failed_seeds) == ("gnn", "REMUL β=10 SO(3)", (3,))


def test_a_run_that_failed_before_its_protocol_was_known_joins_its_task(results, record):
    failed = record(seed=1, status="failed", protocol=None, task_card=None)
    (board,) = leaderboard(results([record(), failed]))
    assert [f.seed for f in board.failures] == [1]


def test_it_joins_the_protocol_of_the_same_task_options(results, record):
    small, large = {"task": {"train": 100}}, {"task": {"train": 900}}
    records = [record(config=small, protocol="small"), record(config=large, protocol="large")]
    records.append(record(config=large, seed=1, status="failed", protocol=None, task_card=None))
    boards = leaderboard(results(records))
    assert [(board.protocol, len(board.failures)) for board in boards] == [("large", 1), ("small", 0)]


def test_only_failures_still_make_a_leaderboard(results, record):
    (board,) = leaderboard(results([record(status="failed", protocol=None, task_card=None)]))
    assert (board.protocol, board.rows, len(board.failures)) == ("protocol unknown", (), 1)


def test_equal_configuration_and_seed_count_once(results, record):
    old, new = record(value=1.0), record(value=2.0, finished="2025-06-01T00:00:00+00:00")
    (board,) = leaderboard(results([new, old]))
    assert board.rows[0].metric.values == (2.0,)
    assert "counted once" in board.left_out[0].reason


def test_floor_is_stated_or_half_the_labels_deviation(results, record):
    stated = record()
    stated["task_card"]["symmetry_error"] = {"mse": 3.7e-3, "floor": 1.5e-3}
    assert leaderboard(results([stated]))[0].floor == 1.5e-3


def test_the_equivariance_error_of_the_labels_is_stated_with_its_standard_error(results, record):
    measured = record()
    card = measured["task_card"]
    card["symmetry_error"] = {"mse": 4e-3, "mse_se": 4.1e-4, "floor": 2e-3, "floor_se": 2e-4, "num_items": 2000.0}
    folder = results([measured])
    (board,) = leaderboard(folder)
    simulated = "labels of 2000 items simulated again for transformed inputs"
    assert symmetry_of_labels(board) == f"mse .0040 ± 4.1e-4; {simulated}"
    assert floor_sentence(board).endswith("below about .0020 ± 2.0e-4")
    for form in ("html", "md"):
        assert "± 4.1e-4" in render(folder, form)
    assert json.loads(render(folder, "json"))["task_card"]["symmetry_error"]["mse_se"] == 4.1e-4


def test_an_estimate_from_neighbours_says_so_and_gives_no_floor(results, record):
    measured = record()
    measured["task_card"]["symmetry_error"] = {
        "excess": 0.21, "excess_se": 0.012, "resolution": 0.3, "num_pairs": 2048.0, "verdict": "broken"
    }  # fmt: skip
    (board,) = leaderboard(results([measured]))
    assert symmetry_of_labels(board) == (
        "excess .21 ± .012, resolution .30; estimated from 2048 pairs of items that nearly match; "
        "the labels break the symmetry"
    )
    assert board.floor is None


def test_the_standard_error_of_the_equivariance_error_is_shown_where_it_is_known(results, record):
    told = record()
    told["equivariance"]["standard_errors"] = {"E_prime": {"se": 3e-9, "se_items": 2e-9, "se_elements": 2e-9}}
    folder = results([told, record(model="gnn", relative=0.1)])
    row = next(row for row in leaderboard(folder)[0].rows if row.model == "egnn")
    assert row.numbers["E_prime"].se == 3e-9
    for form, shown in (("html", "± 3.0e-9"), ("md", "± 3.0e-9"), ("csv", "3e-09"), ("json", '"E_prime": 3e-09')):
        assert shown in render(folder, form)
        assert "one standard error" in render(folder, "md")


def test_labels_that_are_exact_up_to_rounding_are_called_so(results, record):
    measured = record()
    measured["task_card"]["symmetry_error"] = {"mse": 2e-26, "floor": 1e-26}
    (board,) = leaderboard(results([measured]))
    assert floor_sentence(board) == "The labels are E(3)-equivariant up to rounding"
    assert "The labels" not in picture(board)


def test_floor_from_the_mean(results, record):
    assert leaderboard(results([record()]))[0].floor == pytest.approx(1.85e-3)


def test_runs_on_other_data_give_a_notice(results, record):
    other = record(seed=1)
    other["task_card"]["checksum"] = "sha256:other"
    (board,) = leaderboard(results([record(), other]))
    assert "checksums differ" in board.notices[0]
    assert len(board.checksums) == 2


def test_provenance(results, suite):
    (board,) = leaderboard(results(suite))
    assert (board.num_runs, board.suites, board.commits) == (54, ("nbody_charged",), ("0647eec",))
    assert board.versions["torch"] == ("2.13.0",)
    assert board.hardware == ("Imaginary CPU @ 2.00GHz, 2 cores, run on cpu, Linux-6.1-x86_64",)


def test_published_numbers_stay_with_their_protocol(results, record):
    other = record(seed=1, protocol="other")
    other["task_card"] = {**other["task_card"], "references": []}
    first, second = leaderboard(results([record(), other]))
    assert first.references
    assert second.references == ()


def test_data_that_the_register_does_not_know_give_a_notice(results, record):
    known, odd = record(), record(seed=1, protocol="other")
    known["task_card"] = {**known["task_card"], "registered_checksum": known["task_card"]["checksum"]}
    odd["task_card"] = {**odd["task_card"], "registered_checksum": "another"}
    first, second = leaderboard(results([known, odd]))
    assert first.notices == ()
    assert any("register of protocols" in notice for notice in second.notices)
