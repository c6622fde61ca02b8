"""Figures: what they show, the same bytes each time, and a clear error without matplotlib."""

import math
import sys

import pytest

from geoequiv.errors import ConfigError, DataError, GeoequivError
from geoequiv.report import leaderboard
from geoequiv.report.figures.profiles import error_by_angle, error_by_axis, error_by_layer
from geoequiv.report.figures.style import drawn, save
from geoequiv.report.figures.trade_off import beta_of, sweeps_of, trade_off
from geoequiv.report.figures.training_curves import Bound, read_log, training_curves

DIRECTIONS = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)]
LOG = "epoch,lr,train_total,train_objective,train_equivariance,train_alpha,train_beta,val_mse,val_E_prime\n"
ROWS = "1,0.1,3.0,1.0,2.0,1.0,1.0,,\n2,0.1,2.0,0.5,0.75,1.0,2.0,0.6,0.2\n"


def sweep(record):
    """REMUL at three values of β, one of gradnorm, and a model without symmetry."""
    records = []
    for beta, weighting, error in (
        (0.1, "constant", 0.3),
        (1.0, "constant", 0.1),
        (10.0, "constant", 0.05),
        (1.0, "gradnorm", 0.08),
    ):
        for seed in range(2):
            one = record(
                model="gnn",
                symmetry=f"REMUL β={beta:g} {weighting} SO(3)",
                seed=seed,
                relative=error,
                value=0.01 * beta**0.1,
            )
            one["config"]["symmetry"] = {"name": "remul", "beta": beta, "weighting": weighting}
            one["metric"]["splits"] = {"test_rotated": {"value": 0.02, "n": 10}}
            records.append(one)
    return [*records, record(model="gnn", symmetry="none", relative=0.5), record(relative=1e-7)]


def figures(results, record):
    (board,) = leaderboard(results(sweep(record)))
    angles = [math.radians(angle) for angle in (30, 90, 180)]
    return {
        "angle": error_by_angle(angles, [0.1, 0.2, 0.3], [0.01, 0.01, 0.02], floor=1e-6),
        "axis": error_by_axis(DIRECTIONS, [0.1, 0.2, 0.0]),
        "layer": error_by_layer(["embed", "head"], [1e-7, 0.2], floor=1e-6),
        "trade-off": trade_off(board),
    }


def lines(figure):
    return [list(zip(*line.get_data(), strict=True)) for axes in figure.axes for line in axes.lines]


def test_equal_numbers_give_equal_files(results, record, tmp_path):
    for name, figure in figures(results, record).items():
        again = figures(lambda _: tmp_path / "results", record)[name] if name == "trade-off" else figure
        paths = [save(each, tmp_path / f"{name}{i}.svg") for i, each in enumerate((figure, again))]
        first, second = (path.read_bytes() for path in paths)
        assert first == second
        assert first.startswith(b"<?xml")
        assert b"<dc:date>" not in first


def test_names_are_text_and_no_formulas(tmp_path):
    """Two dollar signs and a backslash in a user's name are not given to matplotlib's parser of formulas."""
    figure = drawn(lambda figure: figure.subplots().set_title(r"$\model$ at 5"))
    assert save(figure, tmp_path / "figure.svg").stat().st_size > 0


def test_a_png_is_the_same_each_time(tmp_path):
    figures = [error_by_layer(["embed", "head"], [0.1, 0.2]) for _ in range(2)]
    first, second = (save(each, tmp_path / f"{i}.png").read_bytes() for i, each in enumerate(figures))
    assert first == second
    assert first.startswith(b"\x89PNG")


def test_error_by_angle_shows_degrees_and_errors():
    (curve, floor) = lines(error_by_angle([0.0, math.pi], [0.1, 0.3], floor=1e-6))
    assert curve == [(0.0, 0.1), (180.0, 0.3)]
    assert floor[0][1] == 1e-6


def test_error_by_axis_paints_each_cell_with_its_own_axis():
    axes = error_by_axis(DIRECTIONS, [0.1, 0.2, 0.0]).axes[0]
    painted = axes.collections[0].get_array().reshape(361, 721)
    assert painted[180, 360] == 0.1  # +x, the middle
    assert painted[180, 540] == 0.2  # +y
    assert painted[180, 0] == 0.1  # −x, the same axis
    assert (painted[-1, 0], painted[0, 0]) == (0.0, 0.0)  # the poles


def test_error_by_layer_keeps_the_order_of_the_network():
    axes = error_by_layer(["embed", "head"], [0.1, 0.2]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["embed", "head"]
    assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2]
    assert axes.yaxis_inverted()


def test_training_curves_show_what_was_logged(tmp_path):
    (tmp_path / "log.csv").write_text(LOG + ROWS)
    figure = training_curves(read_log(tmp_path), "run")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "E′", "weight"]
    drawn = lines(figure)
    assert [(1.0, 1.0), (2.0, 0.5)] in drawn  # the task's loss
    assert [(2.0, 0.6)] in drawn  # validation, measured once
    assert [(1.0, 1.0), (2.0, 2.0)] in drawn  # β


@pytest.mark.parametrize(
    ("bound", "labels"),
    [("E_prime", ["loss", "E′", "weight"]), ("relative", ["loss", "E′", "relative error", "weight"])],
)
def test_the_error_of_a_constrained_run_is_no_loss(tmp_path, bound, labels):
    (tmp_path / "log.csv").write_text(LOG + ROWS)
    asked = Bound.of({"symmetry": {"name": "remul", "weighting": "constrained", "bound": bound, "epsilon": 0.5}})
    figure = training_curves(read_log(tmp_path), "run", asked)
    assert [axes.get_ylabel() for axes in figure.axes] == labels
    panel = figure.axes[labels.index("E′" if bound == "E_prime" else "relative error")]
    drawn = [list(zip(*line.get_data(), strict=True)) for line in panel.lines]
    assert [(1.0, 2.0), (2.0, 0.75)] in drawn  # the error of the batches
    assert [y for line in drawn for _, y in line].count(0.5) == 2  # the line at ε
    assert Bound.of({"symmetry": {"name": "remul", "weighting": "gradnorm"}}) is None


def test_training_curves_of_a_plain_run_have_no_weights(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,lr,train_total,val_mse\n1,0.1,3.0,2.0\n")
    assert [axes.get_ylabel() for axes in training_curves(read_log(tmp_path)).axes] == ["loss"]


@pytest.mark.parametrize("text", ["", "epoch,lr\n", "a,b\n1,2\n", "epoch,lr\n1,many\n"])
def test_a_log_that_is_none(tmp_path, text):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match=r"log\.csv"):
        read_log(tmp_path)
    with pytest.raises(DataError, match="Cannot read"):
        read_log(tmp_path / "absent.csv")


def test_a_sweep_is_the_constant_betas_of_one_model(results, record):
    (board,) = leaderboard(results(sweep(record)))
    (found,) = sweeps_of(board)
    assert (found.model, found.betas) == ("gnn", (0.1, 1.0, 10.0))
    assert sorted(beta_of(row) or 0 for row in board.rows) == [0, 0, 0, 0.1, 1.0, 10.0]
    drawn = lines(trade_off(board))
    errors = [row.value("E_prime") for row in found.rows]
    assert list(zip(found.betas, errors, strict=True)) in drawn
    assert list(zip(errors, [row.metric.mean for row in found.rows], strict=True)) in drawn


def test_no_sweep_is_an_error(results, record):
    (board,) = leaderboard(results([record()]))
    with pytest.raises(DataError, match="two or more values of β"):
        trade_off(board)


def test_an_unknown_ending_names_the_formats(tmp_path):
    figure = error_by_layer(["a"], [1.0])
    with pytest.raises(ConfigError, match="Did you mean 'png'"):
        save(figure, tmp_path / "figure.pngg")
    (tmp_path / "file").write_text("")
    with pytest.raises(GeoequivError, match="Cannot write"):
        save(figure, tmp_path / "file" / "figure.png")


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(GeoequivError, match=r"pip install 'geoequiv\[plots\]'"):
        error_by_layer(["a"], [1.0])
