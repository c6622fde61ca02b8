"""Numbers per item: small files, whole, in equal bytes."""

import numpy as np
import pytest

from geoequiv.errors import DataError
from geoequiv.records import read
from geoequiv.records.items import encoded, paired_error, run_items, write_items
from geoequiv.records.run_directory import ITEMS

METRIC = np.random.default_rng(0).random(50)
GROUPS = np.repeat(np.arange(5), 10)


def test_items_of_a_run_directory(record, write, tmp_path):
    folder = write(tmp_path / "results", [record(seed=0), record(seed=1)])
    found = read(folder)
    write_items(found.directory(found.records[0]), {"metric": METRIC, "item_group": GROUPS})
    items = found.items(found.records[0])
    assert set(items) == {"metric", "item_group"}
    assert items["metric"].dtype == np.float32
    np.testing.assert_array_equal(items["metric"], METRIC.astype(np.float32))
    np.testing.assert_array_equal(items["item_group"], GROUPS)
    assert found.items(found.records[1]) is None
    both = read([folder, write(tmp_path / "more", [record(seed=2)])])
    np.testing.assert_array_equal(both.items(both.records[0])["item_group"], GROUPS)
    assert both.items(both.records[2]) is None


def test_items_of_packed_runs(record, tmp_path):
    (tmp_path / "records.jsonl").write_text(record(seed=0).text() + "\n" + record(seed=1).text() + "\n")
    packed = {f"{record(seed=0).run_id}/metric": METRIC, "another/metric": METRIC[:3]}
    (tmp_path / ITEMS).write_bytes(encoded(packed))
    for path in (tmp_path, tmp_path / "records.jsonl"):
        found = read(path)
        np.testing.assert_array_equal(found.items(found.records[0])["metric"], METRIC.astype(np.float32))
        assert found.items(found.records[1]) is None
    both = read([tmp_path / "records.jsonl", tmp_path])
    assert both.items(both.records[0])["metric"].shape == (50,)


def test_equal_items_give_equal_bytes_and_large_whole_numbers_stay():
    values = {"metric": METRIC, "item_group": np.array([2**40, 1])}
    assert encoded(values) == encoded(dict(reversed(values.items())))
    assert len(encoded({"metric": METRIC})) < 500
    assert encoded({"item_group": np.array([], dtype=np.int64)})


def test_large_whole_numbers_stay(tmp_path):
    write_items(tmp_path, {"item_group": np.array([2**40, 1])})
    assert run_items(tmp_path)["item_group"].tolist() == [2**40, 1]


@pytest.mark.parametrize("cut", [0, 10, 100, -1])
def test_damaged_items_are_named(tmp_path, cut):
    write_items(tmp_path, {"metric": METRIC})
    content = (tmp_path / ITEMS).read_bytes()
    (tmp_path / ITEMS).write_bytes(content[:cut])
    with pytest.raises(DataError, match=r"items\.npz.*damaged or truncated"):
        run_items(tmp_path)


def test_no_code_is_run_from_a_file(tmp_path):
    np.savez(tmp_path / "evil.npz", metric=np.array([print], dtype=object), allow_pickle=True)
    (tmp_path / "evil.npz").rename(tmp_path / ITEMS)
    with pytest.raises(DataError, match="damaged"):
        run_items(tmp_path)


def test_the_paired_error_is_that_of_independent_groups():
    rng = np.random.default_rng(1)
    first, second = rng.random(40), rng.random(40)
    difference = second - first
    error = paired_error({"metric": first}, {"metric": second})
    assert error == pytest.approx(difference.std(ddof=1) / 40**0.5)
    groups = np.arange(40) % 10  # ten groups of four: as if the ten means were all that is known
    means = np.array([difference[groups == each].mean() for each in range(10)])
    error = paired_error({"metric": first, "item_group": groups}, {"metric": second, "item_group": groups})
    assert error == pytest.approx(means.std(ddof=1) / 10**0.5)


def test_items_that_are_not_the_same_have_no_paired_error():
    groups = np.arange(40) % 10
    assert paired_error({"metric": METRIC}, {"metric": METRIC[:3]}) is None
    assert paired_error({"metric": METRIC[:40], "item_group": groups}, {"metric": METRIC[:40]}) is None
    one = {"metric": METRIC, "item_group": np.zeros(50, dtype=int)}
    assert paired_error(one, one) is None
    assert paired_error({"metric": METRIC}, {"metric": METRIC}) == 0
