"""Packing: nothing is lost, equal results give equal bytes, nothing is deleted that is not packed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from geoequiv.cli import main
from geoequiv.errors import DataError
from geoequiv.records import read, read_run
from geoequiv.records.items import write_items
from geoequiv.records.packing import pack


@pytest.fixture
def results(record, write, tmp_path):
    """Three finished runs, a failed one, an unfinished one; logs and items of some."""
    made = [record(seed=seed, value=0.1 + seed) for seed in range(3)]
    made.append(record(seed=3, status="failed", error="boom", numbers={}, metric=None))
    folder = write(tmp_path / "results", made)
    for each in made[:2]:
        run = folder / each.run_id
        (run / "log.csv").write_text(f"epoch,lr,val_mse\n1,0.1,\n2,0.1,{each.value('metric')!r}\n")
        (run / "config.yaml").write_text(yaml.safe_dump(dict(each.config)))
        (run / ".lock").touch()
        write_items(run, {"metric": np.arange(3) + each.seed, "item_group": np.array([0, 0, 1])})
    (folder / made[2].run_id / "log.csv").write_text("epoch,lr,val_accuracy\n1,0.1,0.5\n")
    (folder / "unfinished").mkdir()
    (folder / "unfinished" / "config.yaml").write_text("seed: 9\n")
    return folder


def contents(folder):
    found = read(folder)
    items = [found.items(each) for each in found.records]
    items = [{name: values.tolist() for name, values in each.items()} if each else None for each in items]
    return [each.as_json() for each in found.records], [found.log(each) for each in found.records], items


def test_what_is_packed_is_all_there(results, tmp_path):
    packed = pack(results, tmp_path / "packed")
    assert (packed.records, packed.logs, packed.items) == (4, 3, 2)
    assert packed.unfinished == ("unfinished",)
    assert sorted(each.name for each in (tmp_path / "packed").iterdir()) == [
        "items.npz", "logs.csv.gz", "records.jsonl"]  # fmt: skip
    before, logs, items = contents(results)
    after = contents(tmp_path / "packed")
    assert after[0] == before
    assert after[2] == items
    assert after[1] == logs


def test_equal_results_give_equal_bytes(results, tmp_path):
    for name in ("a", "b"):
        pack(results, tmp_path / name)
    pack(tmp_path / "a", tmp_path / "c")  # packed again
    for name in ("records.jsonl", "logs.csv.gz", "items.npz"):
        assert len({(tmp_path / each / name).read_bytes() for each in ("a", "b", "c")}) == 1


def test_deleting_leaves_what_holds_more(results, record):
    before = contents(results)
    weights = results / record(seed=0).run_id / "checkpoint.ckpt"
    weights.write_bytes(b"weights")
    other = results / record(seed=1).run_id / "config.yaml"
    other.write_text("seed: 77\n")
    packed = pack(results, delete=True)
    assert {each.name for each in packed.kept} == {weights.parent.name, other.parent.name}
    assert len(packed.deleted) == 2
    assert weights.exists()
    assert (results / "unfinished" / "config.yaml").exists()
    assert contents(results) == before
    shutil.rmtree(weights.parent)
    shutil.rmtree(other.parent)
    assert contents(results) == before  # all of it is in the packed files


def test_what_is_new_is_packed_with_what_was(results, record, write):
    pack(results, delete=True)
    write(results, [record(seed=7, value=0.7), record(seed=2, value=0.22)])
    packed = pack(results, delete=True)
    assert packed.records == 5
    assert len(packed.deleted) == 2
    assert {each.seed: each.value("metric") for each in read(results).records} == {
        0: 0.1, 1: 1.1, 2: 0.22, 3: None, 7: 0.7}  # fmt: skip


def test_a_damaged_record_is_told_and_stays(results, record, capsys):
    damaged = results / record(seed=2).run_id / "record.json"
    damaged.write_text("{")
    assert main(["pack", str(results), "--delete"]) == 1
    text = capsys.readouterr().out
    assert "3 records, 2 logs, items of 2 runs." in text
    assert "Deleted 3 run directories." in text
    assert "Not packed: 000000000002/record.json: not valid JSON" in text
    assert "Not packed, unfinished: unfinished." in text
    assert damaged.exists()


def test_errors(results, tmp_path, capsys):
    with pytest.raises(DataError, match="No results folder"):
        pack(tmp_path / "nowhere")
    with pytest.raises(DataError, match="leave out --output or --delete"):
        pack(results, tmp_path / "other", delete=True)
    (tmp_path / "empty").mkdir()
    assert main(["pack", str(tmp_path / "empty")]) == 2
    assert "holds no" in capsys.readouterr().err
    assert sorted(each.name for each in results.iterdir())[-1] == "unfinished"


def test_a_write_that_goes_wrong_deletes_nothing(results, tmp_path, monkeypatch):
    from geoequiv.records import packing

    def short(path: Path, content: bytes | str) -> None:
        path.write_text("") if path.suffix == ".npz" else path.write_bytes(
            content.encode() if isinstance(content, str) else content
        )

    monkeypatch.setattr(packing, "write_file", short)
    names = sorted(each.name for each in results.iterdir())
    with pytest.raises(DataError, match="items"):
        pack(results, delete=True)
    assert set(names) <= {each.name for each in results.iterdir()}


def test_a_packed_run_is_read_and_drawn_by_its_name(results, record, tmp_path):
    pack(results, tmp_path / "packed")
    run = tmp_path / "packed" / record(seed=0).run_id
    assert read_run(run) == read_run(results / run.name)
    assert read_run(run).seed == 0
    assert read_run(tmp_path / "packed" / "nothing") is None
    assert main(["plot", str(run), "--output", str(tmp_path / "training.svg")]) == 0
    assert "none, seed 0" in (tmp_path / "training.svg").read_text()
    assert main(["plot", str(tmp_path / "packed" / "nothing")]) == 2


def test_boards_of_packed_files_are_those_of_the_folder(results, tmp_path, capsys):
    pack(results, tmp_path / "packed")
    shutil.rmtree(results / "unfinished")
    for form in ("json", "md", "csv", "html"):
        texts = set()
        for path in (results, tmp_path / "packed", tmp_path / "packed" / "records.jsonl"):
            assert main(["leaderboard", str(path), "--format", form, "--output", "-"]) == 0
            texts.add(capsys.readouterr().out)
        assert len(texts) == 1
    assert main(["leaderboard", str(tmp_path / "packed" / "records.jsonl")]) == 0
    assert (tmp_path / "packed" / "leaderboard.html").exists()
