"""Figures of what is inside: drawn from records alone, equal bytes for equal records."""

import pytest

from geoequiv.errors import DataError
from geoequiv.records import AlignmentOfRun, MergeOfRun, read_run
from geoequiv.report import leaderboard
from geoequiv.report.figures.barrier_curves import barrier_by_angle, barrier_by_error, far_copies, merge_paths
from geoequiv.report.figures.inside import board_figures, run_figures
from geoequiv.report.figures.matched_units import LONGEST, correlations, cycles, order_of, shares_of
from geoequiv.report.figures.style import save
from geoequiv.report.figures.subject import Subject, between, subjects_of


def merged(method, barrier, **others):
    units = {"layers": {"embed": {"before": 0.1, "after": 0.8}}, "cycles": {"1": 2, "2": 4, "20": 10}}
    path = {"at": [0, 0.5, 1], "metric": [1.0, 1 + barrier, 1.0], "as_they_stand": [1.0, 3.0, 1.0]}
    numbers = {"barrier": barrier, "without_repair": barrier, "without_matching": 2.0, "absolute": barrier}
    return {"method": method, **numbers, "path": path, **(units if method != "none" else {}), **others}


def alignment(seed, scale=1.0, angles=(45.0, 180.0)):
    methods = ("none", "activations")
    copies = [
        merged(m, scale * angle / 100 + seed, angle=angle, element=f"{angle}°") for m in methods for angle in angles
    ]
    trainings = [merged(m, 5.0, seed=seed + 1) for m in methods]
    mean = sum(scale * angle / 100 + seed for angle in angles) / len(angles)
    kinds = {"copies": {"n": len(angles), "barrier": mean}, "trainings": {"n": 1, "barrier": 5.0}}
    settings = {"angles": angles, "axis": None, "repair": True, "items": 8, "elements": 4, "group": None}
    return {"settings": settings, "methods": dict.fromkeys(methods, kinds), "copies": copies, "trainings": trainings}


@pytest.fixture
def store(results, record):
    """None, and REMUL at two values of β, two seeds each, looked into."""
    records = []
    for symmetry, beta in (("none", None), ("REMUL β=0.1 SO(3)", 0.1), ("REMUL β=10 SO(3)", 10.0)):
        for seed in (0, 1):
            made = record(model="gnn", symmetry=symmetry, seed=seed, relative=0.1 / (1 + (beta or 0)))
            config = {"name": "remul", "beta": beta, "weighting": "constant"} if beta else {"name": "none"}
            made["config"] = {**made["config"], "symmetry": config}
            records.append(made | {"alignment": alignment(seed, 1 / (beta or 1))})
    return results(records)


def test_rows_become_subjects_in_order(store):
    (board,) = leaderboard(store)
    none, low, high = subjects_of(board)
    assert [each.beta for each in (none, low, high)] == [None, 0.1, 10.0]
    assert len({each.shade for each in (none, low, high)}) == 3
    assert none.over_seeds("copies", "none", 180.0).values == (1.8, 2.8)
    assert none.over_seeds("trainings", "activations").mean == 5.0
    assert none.angles("none") == [45.0, 180.0]
    assert far_copies(none, "activations", 90).mean == pytest.approx(2.3)
    assert far_copies(none, "activations", 181).mean == pytest.approx((0.45 + 1.8) / 2 + 0.5)  # none so far: all


def test_figures_say_what_the_records_say(store):
    (board,) = leaderboard(store)
    figures = board_figures(board)
    assert set(figures) == {"barrier-angle", "barrier-error"}
    stand, matched = figures["barrier-angle"].axes
    assert stand.get_title(loc="left") == "units unmatched"
    line = next(each for each in matched.get_lines() if len(each.get_xdata()) == 2)
    assert list(line.get_ydata()) == pytest.approx([0.95, 2.3])
    names = [text.get_text() for text in matched.get_legend().get_texts()]
    assert names == ["none", "REMUL β=0.1 SO(3)", "REMUL β=10 SO(3)"]
    assert "hollow: with another training" in [
        text.get_text() for text in figures["barrier-error"].axes[-1].get_legend().get_texts()
    ]


def test_figures_of_a_run(store, tmp_path):
    record = read_run(min(store.glob("*/record.json")).parent)
    figures = run_figures(Subject.of_run(record, (record.merges,)))
    assert set(figures) == {"barrier-path", "barrier-angle", "correlation", "cycles"}
    titles = [axes.get_title(loc="left") for axes in figures["barrier-path"].axes]
    assert titles == ["copy rotated by 45°", "copy rotated by 180°", "another training"]
    heights = [bar.get_height() for bar in figures["cycles"].axes[-1].patches]
    assert heights[:2] == [0.125, 0.25]
    assert heights[-1] == 0.625
    again = run_figures(Subject.of_run(record, (record.merges,)))
    for name in figures:
        first, second = (save(each[name], tmp_path / str(i) / f"{name}.svg") for i, each in enumerate((figures, again)))
        assert first.read_bytes() == second.read_bytes()


def test_a_gap_in_a_path_is_left_open(store):
    """Records allow null where a metric was not finite: the mean there is that of the others, or a gap."""
    known = alignment(0, angles=(45.0,)) | {"trainings": []}
    first, second = known["copies"][1], merged("activations", 3.0, angle=45.0)
    first["path"] = {**first["path"], "metric": [1.0, None, None], "as_they_stand": [None, None, None]}
    second["path"] = {**second["path"], "metric": [3.0, 5.0, None]}
    known["copies"] = [first, second]
    figure = merge_paths(Subject("run", "#000000", (AlignmentOfRun.model_validate(known),)))
    (axes,) = figure.axes
    mean = next(line for line in axes.get_lines() if line.get_label() == "units matched by activations")
    assert list(mean.get_ydata()) == pytest.approx([2.0, 5.0, float("nan")], nan_ok=True)
    assert len(axes.get_lines()) == 6


def test_what_was_not_measured_is_not_drawn(store):
    settings = {"methods": {"none": {"copies": {"n": 1, "barrier": 0.0}, "trainings": None}}}
    bare = AlignmentOfRun(**settings, copies=[{"method": "none", "element": "e", "barrier": 0.0}])
    subject = Subject("bare", "#000000", (bare,))
    assert run_figures(subject) == {}
    for draw in (merge_paths, correlations, cycles):
        with pytest.raises(DataError):
            draw(subject)
    for draw in (barrier_by_angle, barrier_by_error):
        with pytest.raises(DataError):
            draw([subject])


def test_a_failed_alignment_has_no_columns(results, record):
    failed = record(alignment={"settings": {}, "error": "AlignmentError: no"})
    (board,) = leaderboard(results([failed]))
    assert subjects_of(board) == []
    assert board.rows[0].below("barrier") == {}


@pytest.mark.parametrize(("angle", "order"), [(180.0, 2), (120.0, 3), (72.0, 5), (0.36, 1000), (0.0, 1), (77.77, None)])
def test_order_of_a_rotation(angle, order):
    assert order_of(angle) == order


def test_long_cycles_are_one_bar():
    shares = shares_of([MergeOfRun(method="activations", cycles={"1": 1, str(LONGEST): 1, "400": 2})])
    assert shares == [0.25, *[0.0] * (LONGEST - 2), 0.75]
    assert sum(shares) == 1


def test_colours_between():
    assert between("#102030", "#102030", 0.3) == "#102030"
    assert between("#000000", "#ff0000", 1.0) == "#ff0000"
