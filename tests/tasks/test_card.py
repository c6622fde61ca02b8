"""The card of a task, printed by ``geoequiv data info``."""

import numpy as np

from geoequiv.cli import main


def told_in(lines):
    """Name → text of each line of a card."""
    return {name: text.strip() for name, _, text in (line.partition("  ") for line in lines)}


def test_data_info_prints_the_card(tmp_path, capsys):
    options = ["train=4", "val=3", "test=5", "limit=2"]
    assert main(["data", "info", "nbody/gravity", *options, "--data-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.splitlines()
    told = told_in(printed)
    assert told["Protocol"] == "nbody/gravity/remul/Δ100/4-3-5/mse/limit2"
    assert told["Items"] == "train 2, val 2, test 2, test_rotated 2, test_shifted 2"
    (pos,) = (line for line in printed if line.startswith("Input pos"))
    assert "point, [2, 4, 3] float32, from" in pos
    assert any(line.startswith("Target pos") for line in printed)
    assert "the register has none for this id" in told["Checksum"]


def test_a_card_says_how_far_ahead_where_from_and_under_which_licence(tmp_path, capsys):
    assert main(["data", "info", "mocap-gait/walk", "train=4", "val=3", "test=5", "--data-dir", str(tmp_path)]) == 0
    told = told_in(capsys.readouterr().out.splitlines())
    assert told["Horizon"] == "30 frames, 0.25 s"
    assert told["Source"].startswith(str(tmp_path))
    assert "simulated" in told["Licence"]
    assert "()" not in told["Citation"]


def test_options_are_yaml_and_signatures_as_they_stand(tmp_path, capsys):
    np.savez(tmp_path / "mine.npz", pos=np.zeros((9, 4, 3)), target_pos=np.ones((9, 4, 3)))
    options = [f"path={tmp_path}/mine.npz", "signature=pos: point -> pos: point", "train=3", "val=3", "test=3"]
    assert main(["data", "info", "files", *options]) == 0
    assert "pos: point -> pos: point" in capsys.readouterr().out
    assert main(["data", "info", "files", f"data_dir={tmp_path}"]) == 2
    assert "--data-dir" in capsys.readouterr().err
    assert main(["data", "info", "files", *options, "normalise=maybe"]) == 2
    assert "task 'files', option 'normalise': expected" in capsys.readouterr().err


def test_an_unknown_task_names_the_nearest(capsys):
    assert main(["data", "info", "nbody/gravty"]) == 2
    assert "Did you mean 'nbody/gravity'" in capsys.readouterr().err


def test_official_files_are_fetched_or_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("geoequiv.tasks.md17_dynamics.SOURCE", "http://127.0.0.1:9/")
    where = ["molecule=uracil", "--data-dir", str(tmp_path)]
    assert main(["data", "fetch", "md17/dynamics", *where]) == 2
    told = capsys.readouterr().err
    assert f"put the file 'md17_uracil.npz' into {tmp_path / 'md17'} by hand" in told
    assert "data make md17-xtb --molecule uracil --frames 100000, then configs/md17_xtb_dynamics.yaml" in told
    (tmp_path / "md17").mkdir(exist_ok=True)
    frames = np.random.default_rng(0).normal(size=(60, 3, 3))
    np.savez(tmp_path / "md17" / "md17_uracil.npz", R=frames, z=np.array([6, 8, 1]))
    small = ["horizon=5", "margin=0", "train=5", "val=5", "test=5"]
    assert main(["data", "fetch", "md17/dynamics", *small, *where]) == 0
    assert f"{tmp_path / 'md17' / 'md17_uracil.npz'}; official: http://127.0.0.1:9/" in capsys.readouterr().out
    assert main(["data", "fetch", "md17-xtb/forces"]) == 2
    assert "is simulated: geoequiv data make md17-xtb" in capsys.readouterr().err
