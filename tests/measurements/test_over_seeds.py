"""Numbers over seeds: what stands for them follows the table, and a seed that lacks a number is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoequiv.measurements import Reading, table
from geoequiv.measurements.columns import columns_of, describe
from geoequiv.measurements.statistic import Statistic, over_seeds
from geoequiv.records import MetricOfRun

finite = st.floats(-1e6, 1e6)


@given(st.lists(finite, min_size=1, max_size=6))
def test_mean_maximum_and_first_by_the_table(values):
    runs = [{"relative": Reading(v), "own/worst": Reading(v), "params": Reading(v)} for v in values]
    found = over_seeds(runs)
    assert found["relative"].value == pytest.approx(sum(values) / len(values), abs=1e-6)
    assert found["own/worst"].value == max(values)
    assert found["params"].value == values[0]
    assert all(each.seeds.values == tuple(values) for each in found.values())


def test_standard_errors_are_averaged_and_missing_numbers_left_out():
    runs = [{"E": Reading(1.0, se=0.1)}, {"E": Reading(3.0)}, {"E": Reading(2.0, se=0.3)}, {"worst": Reading(9.0)}]
    found = over_seeds(runs)
    assert (found["E"].value, found["E"].se, found["E"].seeds.n) == (2.0, pytest.approx(0.2), 3)
    assert found["worst"].se is None
    assert Statistic.of([None, None]) is None


def test_parts_of_the_metric_have_its_decimals_and_direction():
    metric = MetricOfRun(name="energy_mae", unit="meV", better="higher")
    rows = [over_seeds([{"metric": Reading(0.0123), "metric/split/test_far": Reading(4.0)}])]
    described = describe(metric, [], [key for row in rows for key in row])
    first, second = columns_of(rows, described, "md")
    assert (first.measurement.title, first.measurement.name) == ("energy MAE (meV)", "test energy MAE (meV)")
    assert (first.text(rows[0]), second.text(rows[0])) == (".012", "4.000")
    assert second.measurement.better == "higher"
    wider, _ = columns_of(rows, described, "md", beside=[0.00045])
    assert wider.text(rows[0]) == ".01230"


def test_columns_are_in_the_order_of_the_table_and_each_format_has_its_own():
    rows = [over_seeds([{key: Reading(1.0) for key in ("mine", "lr", "flops/forward", "relative", "metric")}])]
    described = {"mine": {"title": "mine"}}
    assert [column.key for column in columns_of(rows, described)] == [
        "metric", "relative", "flops/forward", "lr", "mine"
    ]  # fmt: skip
    assert [column.key for column in columns_of(rows, described, "terminal")] == ["metric", "relative"]
    assert [column.key for column in columns_of(rows, described, "md")] == [
        "metric", "relative", "flops/forward", "mine"
    ]  # fmt: skip
    assert table.position("mine") > table.position("lr")
