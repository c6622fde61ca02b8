"""`geoequiv check`: the verdict in words, in JSON and in the exit status, for any importable model."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from geoequiv.cli import main

MODELS = """
import torch
from torch import nn


def drift(pos, vel):
    return pos + vel


def wind(pos, vel):
    return pos + vel + torch.tensor([0.5, 0.0, 0.0], dtype=pos.dtype)


def fails(pos, vel):
    raise RuntimeError("no such luck")


class Scale(nn.Module):
    def __init__(self, signature, factor: float = 1.0, tilt: float = 0.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.tilt = nn.Parameter(torch.tensor([tilt, 0.0, 0.0]))

    def forward(self, pos):
        middle = pos.mean(-2, keepdim=True)
        return middle + self.factor * (pos - middle) + self.tilt


def make(factor=1.0):
    return Scale(None, factor)


class Energy(nn.Module):
    def forward(self, z, pos, batch, edge_index):
        sender, receiver = edge_index
        pairs = (pos[sender] - pos[receiver]).norm(dim=-1) * z[sender]
        return pairs.new_zeros(int(batch.max()) + 1, 1).index_add(0, batch[sender], pairs[:, None])


def of_graphs(data):
    return data.pos


ready = Scale(None, 2.0)
"""
DRIFT = ["--signature", "pos: point, vel: vector -> pos: point", "--group", "E(3)"]
CLOUD = ["--signature", "pos: point -> pos: point", "--group", "SE(3)"]
SMALL = ["--items", "6", "--points", "5", "--samples", "4"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "checked_models", raising=False)
    Path("checked_models.py").write_text(MODELS)
    return tmp_path


def check(name, *arguments):
    return main(["check", f"checked_models:{name}", *arguments, *SMALL])


def certificate(capsys, name, *arguments):
    code = check(name, *arguments, "--json")
    return code, json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_an_equivariant_function_passes(capsys):
    assert check("drift", *DRIFT) == 0
    printed = capsys.readouterr().out
    assert "checked_models:drift under E(3)" in printed
    assert "EXACT" in printed
    assert "round-off" in printed


def test_a_broken_one_does_not_and_says_where(capsys):
    assert check("wind", *DRIFT) == 1
    printed = capsys.readouterr().out
    assert "BROKEN" in printed
    assert "O(2)@x" in " ".join(printed.split())


def test_json_alone_is_valid_and_has_the_errors(capsys):
    code, told = certificate(capsys, "wind", *DRIFT)
    assert (code, told["verdict"]) == (1, "broken")
    assert told["errors"]["E_prime"] > 0.1
    assert told["errors"]["standard_errors"]["E_prime"]["se"] > 0
    assert (told["measured"]["num_items"], told["measured"]["num_samples"]) == (6, 4)


def test_a_tolerance_decides(capsys):
    assert check("wind", *DRIFT, "--tolerance", "2") == 0
    assert check("drift", *DRIFT, "--tolerance", "1e-12") == 1
    assert check("drift", *DRIFT, "--tolerance", "1e-12", "--dtype", "float64") == 0


def test_classes_factories_and_instances(capsys):
    assert check("Scale", *CLOUD, "--option", "factor=0.5") == 0
    assert check("Scale", *CLOUD, "--option", "tilt=0.5") == 1
    assert check("make", *CLOUD) == 0
    assert check("make", *CLOUD, "--option", "factor=3.0") == 0
    assert check("ready", *CLOUD) == 0
    assert main(["check", "egnn", *CLOUD, *SMALL, "--option", "width=8"]) == 0


def test_weights_are_loaded(capsys):
    torch.save({"factor": torch.tensor(1.0), "tilt": torch.tensor([0.3, 0.0, 0.0])}, "weights.pt")
    assert check("Scale", *CLOUD, "--weights", "weights.pt") == 1


ENERGY = ["--signature", "pos: point -> energy: scalar per graph", "--group", "E(3)", "--input", "z=int:1..9"]


def test_ragged_inputs_with_atom_types_and_edges(capsys):
    assert check("Energy", *ENERGY, "--layout", "ragged", "--edges", "complete") == 0
    assert check("Energy", *ENERGY, "--layout", "ragged", "--edges", "radius:2") == 0


def test_graph_objects(capsys):
    assert check("of_graphs", *CLOUD, "--layout", "graph") == 0


@pytest.mark.parametrize("name", ["clouds.npz", "clouds.pt"])
def test_given_inputs_are_used(capsys, name):
    rng = np.random.default_rng(0)
    arrays = {"pos": rng.standard_normal((3, 5, 3)), "vel": rng.standard_normal((3, 5, 3))}
    if name.endswith("npz"):
        np.savez(name, **arrays)
    else:
        torch.save({key: torch.as_tensor(value) for key, value in arrays.items()}, name)
    _, told = certificate(capsys, "drift", *DRIFT, "--inputs", name)
    assert (told["measured"]["num_items"], told["measured"]["dtype"]) == (3, "float32")


def test_the_same_command_gives_the_same_certificate(capsys):
    first, second = (certificate(capsys, "wind", *DRIFT)[1] for _ in range(2))
    assert first == second


def test_json_and_figures_are_written(capsys):
    assert check("Scale", *CLOUD, "--json", "out/c.json", "--plots", "figures") == 0
    assert json.loads(Path("out/c.json").read_text())["verdict"] == "exact"
    assert "Wrote figures/error-by-angle.svg" in capsys.readouterr().out
    assert Path("figures/error-by-axis.svg").exists()


def test_a_certificate_is_written_where_nothing_can_be_drawn(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert check("Scale", *CLOUD, "--json", "c.json", "--plots", "figures") == 2
    captured = capsys.readouterr()
    assert "pip install 'geoequiv[plots]'" in captured.err
    assert "EXACT" in captured.out
    assert json.loads(Path("c.json").read_text())["verdict"] == "exact"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent:Model", *CLOUD], "Cannot import the model 'absent:Model'"),
        (["checked_models:Scael", *CLOUD], "Did you mean 'Scale'"),
        (["egn", *CLOUD], "Did you mean 'egnn'"),
        (["checked_models:Scale", *CLOUD, "--option", "facto=1"], "Did you mean 'factor'"),
        (["checked_models:Scale", *CLOUD, "--option", "factor"], "Expected OPTION=VALUE"),
        (["checked_models:Scale", *CLOUD, "--option", "factor=[a]"], "Cannot construct"),
        (["checked_models:ready", *CLOUD, "--option", "factor=1"], "is a model already"),
        (["checked_models:fails", *DRIFT], "failed on these inputs: RuntimeError: no such luck"),
        (["checked_models:drift", "--signature", "pos: pont -> pos: point", "--group", "E(3)"], "Did you mean 'point'"),
        (["checked_models:drift", "--signature", "pos: point -> pos: point", "--group", "SE(33)"], "SE(33)"),
        (["checked_models:ready", *CLOUD, "--inputs", "absent.npz"], "Cannot read 'absent.npz'"),
        (["checked_models:ready", *CLOUD, "--inputs", "checked_models.py"], "Unknown kind of file '.py'"),
        (["checked_models:ready", *CLOUD, "--inputs", "damaged.npz"], "is no file of plain tensors"),
        (["checked_models:ready", *CLOUD, "--inputs", "damaged.pt"], "is no file of plain tensors"),
        (["checked_models:ready", *CLOUD, "--inputs", "list.pt"], "must hold a dict of tensors"),
        (["checked_models:ready", *CLOUD, "--weights", "other.pt"], "do not fit the model"),
        (["checked_models:drift", *DRIFT, "--weights", "other.pt"], "--weights needs a module"),
        (["checked_models:ready", *CLOUD, "--inputs", "other.pt", "--layout", "graph"], "has no 'batch' vector"),
        (["checked_models:ready", *CLOUD, "--inputs", "other.pt"], "names 'pos'"),
        (["checked_models:ready", *CLOUD, "--input", "z=1..9"], "such as z=int:1..9"),
        (["checked_models:ready", *CLOUD, "--json", "checked_models.py/c.json"], "Cannot write the certificate"),
    ],
)
def test_bad_input_is_one_message_and_exit_status_2(capsys, arguments, message):
    Path("damaged.npz").write_bytes(b"no zip")
    Path("damaged.pt").write_bytes(b"no zip")
    torch.save([1], "list.pt")
    torch.save({"x": torch.zeros(2, 3)}, "other.pt")
    assert main(["check", *arguments, *SMALL]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("geoequiv: error: ")
    assert message in captured.err
    assert "Traceback" not in captured.err


def test_bad_usage_is_exit_status_2(capsys):
    for arguments in (
        ["check", "egnn"],
        ["check", "egnn", *CLOUD, "--tolerance", "0"],
        ["check", "egnn", *CLOUD, "--dtype", "half"],
    ):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
