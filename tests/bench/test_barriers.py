"""Barriers in a suite: asked for in YAML, no part of a run's id, stored in records, never measured twice."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoequiv.bench import align_runs as orchestration
from geoequiv.bench.align_runs import align_runs, alignable, partners
from geoequiv.bench.messages import barriers_line
from geoequiv.bench.suite import read_suite
from geoequiv.bench.suite_run import run_suite
from geoequiv.errors import AlignmentError, ConfigError
from geoequiv.groups import Element, group
from geoequiv.measurements.barriers import (
    AlignConfig,
    cycle_lengths,
    describe_rotation,
    elements_of,
    rotation_angle,
)
from geoequiv.records.run_directory import read_record
from geoequiv.records.store import Store
from geoequiv.report import leaderboard, render
from geoequiv.session import Session

HEAD = """\
name: small
task: {name: nbody/charged, train: 64, val: 4, test: 32}
train: {epochs: 1, batch_size: 32, checkpoint_seconds: 0}
evaluate: {num_items: 4, num_samples: 2, batch_size: 4, repeats: 1}
seeds: [0, 1]
"""
ALIGN = "align: {group: SO(3), angles: [90, 180], method: [none, activations], items: 32, path: 3}\n"
ENTRIES = """\
entries:
  - model: {name: gnn, width: 8, depth: 1}
  - model: [{name: egnn, width: 8, depth: 1}, {name: transformer, width: 8, depth: 1, heads: 2}]
    seeds: 0
"""
SETTINGS = AlignConfig(group="SO(3)", angles=(90, 180), method=("none", "activations"), items=32, path=3)


def suite_of(folder: Path, align: str = ALIGN) -> object:
    path = folder / "suite.yaml"
    path.write_text(HEAD + align + ENTRIES)
    return read_suite(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_dir):
    """A results folder with barriers."""
    folder = tmp_path_factory.mktemp("suite")
    suite = suite_of(folder)
    assert run_suite(suite, folder / "out", session=Session(data_dir=data_dir)).complete
    return suite, folder / "out"


@pytest.fixture
def copied(trained, tmp_path):
    return trained[0], Path(shutil.copytree(trained[1], tmp_path / "out"))


def by_model(folder):
    return {(r.model, r.seed): r for r in map(read_record, alignable(folder))}


def without_barriers(record):
    return record.with_alignment({}).changed(alignment=None)


def test_the_section_leaves_run_ids_and_records_as_they_are(tmp_path):
    with_it, without = suite_of(tmp_path), suite_of(tmp_path, "")
    assert with_it.runs == without.runs
    assert [run.run_id for run in with_it.runs] == [run.run_id for run in without.runs]
    assert with_it.align == SETTINGS
    assert without.align is None
    assert "align" not in json.dumps(with_it.runs[0].config)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("align: {angels: [90]}\n", "Unknown key 'angels'"),
        ("align: {method: activation}\n", "did you mean 'activations'"),
        ("align: {group: SO(4)}\n", "key 'align.group'"),
        ("align: {axis: z}\n", "an axis goes with angles"),
        ("align: {angles: [90], axis: w}\n", "Unknown axis 'w'"),
        ("align: {taps: first}\n", "Unknown choice of taps 'first'"),
        ("align: {items: 1}\n", "greater than or equal to 2"),
        ("align: [90]\n", "key 'align'"),
    ],
)
def test_a_wrong_section_is_named_with_its_line(tmp_path, section, message):
    with pytest.raises(ConfigError) as error:
        suite_of(tmp_path, section)
    assert message.lower() in str(error.value).lower()


def test_barriers_are_stored_in_the_records(trained):
    records = by_model(trained[1])
    gnn = records["gnn", 0].alignment
    assert [each["angle"] for each in gnn["copies"]] == [90.0, 180.0] * 2
    assert [each["method"] for each in gnn["trainings"]] == ["none", "activations"]
    assert gnn["trainings"][0]["seed"] == 1
    assert gnn["other"] == records["gnn", 1].run_id
    mean = sum(each["barrier"] for each in gnn["copies"][2:]) / 2
    assert gnn["methods"]["activations"]["copies"]["barrier"] == pytest.approx(mean)
    assert gnn["copies"][0]["barrier"] != 0
    path = gnn["copies"][2]["path"]
    assert path["at"] == [0.0, 0.5, 1.0]
    assert path["metric"] == pytest.approx([gnn["copies"][2][name] for name in ("first", "middle", "second")])
    assert path["as_they_stand"][1] == pytest.approx(gnn["copies"][2]["unmatched"])


def test_an_equivariant_network_is_its_own_copy_and_alone_it_has_no_seed_baseline(trained):
    found = by_model(trained[1])["egnn", 0].alignment
    assert all(each["own_copy"] and each["barrier"] == 0 for each in found["copies"])
    assert found["trainings"] == []
    assert found["methods"]["activations"]["trainings"] is None


def test_the_path_goes_through_the_middle_where_norms_are_folded(copied, data_dir):
    _, out = copied
    (run,) = [run for run in alignable(out) if read_record(run).model == "transformer"]
    turning = SETTINGS.model_copy(update={"method": ("rotations",), "angles": (90.0,)})
    (aligned,) = align_runs([run], turning, Session(data_dir=data_dir))
    (copy,) = aligned.alignment["copies"]
    assert copy["folded"]
    assert copy["path"]["metric"] == pytest.approx([copy[name] for name in ("first", "middle", "second")], rel=1e-4)
    assert copy["path"]["as_they_stand"][1] == pytest.approx(copy["unmatched"], rel=1e-4)
    assert abs(copy["middle"] - copy["unmatched"]) > 1e-3 * copy["middle"]


def test_without_the_section_nothing_is_stored(trained, tmp_path, data_dir):
    suite, out = trained
    for spec in suite.runs:  # as they were before: the same runs, without barriers
        (tmp_path / "plain" / spec.run_id).mkdir(parents=True)
        Store(tmp_path / "plain").write_record(spec, without_barriers(read_record(out / spec.run_id)))
    before = {form: render(tmp_path / "plain", form) for form in ("md", "json", "csv", "html")}
    assert all("barrier" not in text.lower() for text in before.values())
    result = run_suite(suite_of(tmp_path, ""), tmp_path / "plain", session=Session(data_dir=data_dir))
    assert result.complete
    assert all(outcome.record.alignment is None for _, outcome in result.outcomes)


def test_barriers_are_columns_of_every_board(trained):
    out = trained[1]
    (board,) = leaderboard(out)
    gnn = next(row for row in board.rows if row.model == "gnn")
    values = [r.alignment["methods"]["activations"]["copies"]["barrier"]
              for key, r in by_model(out).items() if key[0] == "gnn"]  # fmt: skip
    assert gnn.value("barrier/activations/copies") == pytest.approx(sum(values) / 2)
    assert "barrier, transformed copies, matched by activations" in render(out, "md")
    assert "barrier/activations/trainings" in render(out, "csv")
    rows = {row["model"]: row for row in json.loads(render(out, "json"))["rows"]}
    assert rows["gnn"]["barriers"]["none"]["copies"]["n"] == 2
    assert rows["egnn"]["barriers"]["activations"]["trainings"] is None
    assert "another training, unmatched" in render(out, "html")


def test_what_is_measured_is_kept(copied, data_dir, monkeypatch):
    suite, out = copied
    before = {path: path.read_bytes() for path in out.glob("*/record.json")}
    monkeypatch.setattr(orchestration, "measure_barriers", None)  # nothing is measured again
    assert all(each.status == "kept" for each in align_runs(alignable(out), SETTINGS, Session(data_dir=data_dir)))
    run_suite(suite, out, session=Session(data_dir=data_dir))
    assert before == {path: path.read_bytes() for path in out.glob("*/record.json")}


def test_what_is_missing_or_otherwise_asked_for_is_measured(copied, data_dir):
    suite, out = copied
    runs = alignable(out)
    gnn = next(run for run in runs if read_record(run).model == "gnn")
    record = read_record(gnn)
    former = record.alignment
    Store(out).write_record(next(spec for spec in suite.runs if spec.run_id == gnn.name), without_barriers(record))
    states = {each.run: each.status for each in align_runs(runs, SETTINGS, Session(data_dir=data_dir))}
    assert states == {run: "measured" if run == gnn else "kept" for run in runs}
    again = read_record(gnn).alignment
    assert again["copies"] == former["copies"]
    assert again["methods"] == former["methods"]
    other = SETTINGS.model_copy(update={"angles": (90.0,), "path": 0})
    said = list(align_runs(runs, other, Session(data_dir=data_dir)))
    assert all(each.status == "measured" and each.replaced for each in said)
    assert barriers_line(said[0]).endswith("(in place of those by other settings)")
    # without its partner a run has no seed-to-seed baseline, and is measured again
    (alone,) = align_runs([gnn], other, Session(data_dir=data_dir))
    assert (alone.status, alone.alignment["other"]) == ("measured", None)


def test_further_methods_are_added_to_those_that_are_there(copied, data_dir, monkeypatch):
    _, out = copied
    runs, more = alignable(out), SETTINGS.model_copy(update={"method": ("weights", "activations")})
    former = {run: read_record(run).alignment for run in runs}
    asked = []
    measure = orchestration.measure_barriers
    monkeypatch.setattr(orchestration, "measure_barriers", lambda *args: asked.append(args[2].method) or measure(*args))
    assert all(each.status == "measured" for each in align_runs(runs, more, Session(data_dir=data_dir)))
    assert set(asked) == {("weights",)}
    for run in runs:
        found = read_record(run).alignment
        assert list(found["methods"]) == found["settings"]["method"] == ["none", "activations", "weights"]
        assert found["copies"][:4] == former[run]["copies"]
        assert [each["method"] for each in found["copies"][4:]] == ["weights"] * 2
    assert all(each.status == "kept" for each in align_runs(runs, more, Session(data_dir=data_dir)))
    assert all(each.status == "kept" for each in align_runs(runs, SETTINGS, Session(data_dir=data_dir)))


def test_an_interruption_costs_one_run_at_most(copied, data_dir):
    _, out = copied
    runs, other = alignable(out), SETTINGS.model_copy(update={"path": 0})
    going = align_runs(runs, other, Session(data_dir=data_dir))
    next(going)
    going.close()
    states = [each.status for each in align_runs(runs, other, Session(data_dir=data_dir))]
    assert states == ["kept", *["measured"] * (len(runs) - 1)]


def test_a_failure_is_recorded_and_tried_again(copied, data_dir):
    _, out = copied
    runs, other = alignable(out), SETTINGS.model_copy(update={"path": 0, "seed_baseline": False})
    (egnn,) = [run for run in runs if read_record(run).model == "egnn"]
    whole = (egnn / "checkpoint.ckpt").read_bytes()
    (egnn / "checkpoint.ckpt").write_bytes(whole[:100])
    states = {each.run: each.status for each in align_runs(runs, other, Session(data_dir=data_dir))}
    assert states == {run: "failed" if run == egnn else "measured" for run in runs}
    assert "is damaged" in read_record(egnn).alignment["error"]
    (row,) = [row for row in leaderboard(out)[0].rows if row.model == "egnn"]  # read as before, with what there was
    assert row.value("barrier/activations/copies") == 0
    assert read_record(egnn).alignment["settings"]["path"] == 3
    (egnn / "checkpoint.ckpt").write_bytes(whole)
    states = {each.run: each.status for each in align_runs(runs, other, Session(data_dir=data_dir))}
    assert states == {run: "measured" if run == egnn else "kept" for run in runs}


def failing_at(monkeypatch, *methods):
    """Let the network resist some methods as the tracing of a user's network may: with any exception."""
    measure = orchestration.measure_barriers

    def resisting(task, model, config, *rest):
        if set(config.method) & set(methods):
            raise KeyError("layer")
        return measure(task, model, config, *rest)

    monkeypatch.setattr(orchestration, "measure_barriers", resisting)


def test_a_failing_method_costs_neither_those_before_nor_those_after(copied, data_dir):
    _, out = copied
    run = next(run for run in alignable(out) if read_record(run).model == "gnn")
    (fresh,) = align_runs([run], SETTINGS, Session(data_dir=data_dir))  # without its partner: anew
    more = SETTINGS.model_copy(update={"method": ("weights", "none", "rotations")})
    with pytest.MonkeyPatch.context() as patch:
        failing_at(patch, "weights")
        (aligned,) = align_runs([run], more, Session(data_dir=data_dir))
    found = read_record(run).alignment
    assert aligned.status == "failed"
    assert "KeyError: 'layer' (weights)" in barriers_line(aligned)
    assert found["error"] == "KeyError: 'layer' (weights)"
    assert list(found["methods"]) == found["settings"]["method"] == ["none", "activations", "rotations"]
    assert found["copies"][:4] == fresh.alignment["copies"]
    with pytest.MonkeyPatch.context() as patch:
        failing_at(patch, "none", "activations", "rotations")  # they are there
        (aligned,) = align_runs([run], more, Session(data_dir=data_dir))
    assert aligned.status == "measured"
    assert list(read_record(run).alignment["methods"]) == ["none", "activations", "rotations", "weights"]
    assert "error" not in read_record(run).alignment


def test_a_suite_whose_barriers_fail_is_not_complete(copied, tmp_path, data_dir, monkeypatch):
    _, out = copied
    failing_at(monkeypatch, "none", "activations")
    before = {run: read_record(run).alignment for run in alignable(out)}
    result = run_suite(suite_of(tmp_path, ALIGN.replace("path: 3", "path: 0")), out, session=Session(data_dir=data_dir))
    assert not result.complete
    assert len(result.unaligned) == len(before) == 4
    for run, alignment in before.items():
        assert read_record(run).alignment == {**alignment, "error": "KeyError: 'layer'"}


def test_a_damaged_record_costs_its_own_run_alone(copied):
    _, out = copied
    first, *others = alignable(out)
    (first / "record.json").write_text("{")
    said = []
    assert alignable(out, said.append) == others
    assert len(said) == 1
    assert str(first) in said[0]


def test_seeds_of_one_entry_are_partners(trained):
    runs = alignable(trained[1])
    named = {run: read_record(run) for run in runs}
    for run, other in partners(runs).items():
        if named[run].model != "gnn":
            assert other is None
        else:
            assert named[other].seed == 1 - named[run].seed


def test_rotations_that_the_group_lacks_are_refused_before_training(tmp_path, data_dir):
    suite = suite_of(tmp_path, "align: {group: SO(2)@y, angles: [90], axis: x}\n")
    with pytest.raises(AlignmentError, match=r"90.0° about \(1.00, 0.00, 0.00\) is no element of SO\(2\)@y"):
        run_suite(suite, tmp_path / "out", session=Session(data_dir=data_dir))
    assert not list((tmp_path / "out").glob("*/checkpoint.ckpt"))


@pytest.mark.parametrize(
    ("config", "symmetry", "count"),
    [
        (AlignConfig(), "E(3)", 4),
        (AlignConfig(group="C4"), "E(3)", 3),
        (AlignConfig(angles=(30, 60)), "SO(2)@y", 2),
        (AlignConfig(angles=(30, 60), axis="random", elements=3), "E(3)", 6),
        (AlignConfig(angles=(30,)), "SO(2)", 1),
    ],
)
def test_copies_are_elements_of_the_group(config, symmetry, count):
    found = elements_of(config, symmetry)
    acting = group(config.group or symmetry)
    assert len(found) == count
    assert all(bool(acting.contains(each)) for each in found)
    angles = sorted({round(rotation_angle(each)) for each in found})
    if config.angles:
        assert angles == sorted(config.angles)


def test_axes_are_the_same_for_every_angle_and_follow_the_seed():
    names = [
        describe_rotation(each) for each in elements_of(AlignConfig(angles=(30, 60), axis="random", elements=2), "E(3)")
    ]
    assert [name.partition("about")[2] for name in names[:2]] == [name.partition("about")[2] for name in names[2:]]
    again = [
        describe_rotation(e)
        for e in elements_of(AlignConfig(angles=(30, 60), axis="random", elements=2, seed=1), "E(3)")
    ]
    assert again[0] != names[0]


def test_the_plane_has_no_axes():
    with pytest.raises(AlignmentError, match="rotations have no axis"):
        elements_of(AlignConfig(angles=(30,), axis="z"), "SO(2)")
    assert describe_rotation(Element(torch.eye(2))) == "0.0°"


def test_mirrors_of_the_plane_turn_by_no_angle():
    turn, mirror = Element(torch.tensor([[0.0, 1], [-1, 0]])), Element(torch.tensor([[0.0, 1], [1, 0]]))
    assert rotation_angle(turn) == pytest.approx(90)
    assert describe_rotation(turn) == "270.0°"
    assert rotation_angle(mirror) is None
    assert describe_rotation(mirror) == "reflection in the line at 45.0°"
    assert rotation_angle(Element(-torch.eye(3))) == 0
    assert rotation_angle(Element(torch.diag(torch.tensor([-1.0, 1, 1])))) == pytest.approx(180)


@given(st.permutations(list(range(7))))
def test_cycle_lengths_are_those_of_walking_round(places):
    for start, length in enumerate(cycle_lengths(places)):
        at, steps = places[start], 1
        while at != start:
            at, steps = places[at], steps + 1
        assert steps == length
