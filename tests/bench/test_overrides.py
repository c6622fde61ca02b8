"""Settings on the command line in place of the file's: checked like the file, and named in errors."""

import pytest

from geoequiv.bench.suite import read_suite
from geoequiv.errors import ConfigError

HEAD = "name: tiny\ntask: {name: nbody/charged, train: 32}\ntrain: {lr: 1e-3}\nseeds: [0, 1]\n"
ENTRIES = """\
- model: gnn
  symmetry: {remul: {group: SO(3), beta: [0.1, 10]}}
- model: [egnn, {name: transformer, width: 8}]
"""


@pytest.fixture
def read(suite_file):
    return lambda *overrides: read_suite(suite_file(ENTRIES, HEAD), overrides=overrides).runs


@pytest.fixture
def complaint(read):
    def caught(*overrides):
        with pytest.raises(ConfigError) as error:
            read(*overrides)
        return str(error.value)

    return caught


def test_overrides_stand_in_place_of_the_file(read):
    runs = read(
        "train.epochs=3", "train.lr=5e-4", "seeds=[7]", "task.val=10", "entries.1.model.1.width=16", "name=other"
    )
    assert len(runs) == 4
    for run in runs:
        assert run.suite == "other"
        config = run.config
        assert (config["train"]["epochs"], config["train"]["lr"], config["seed"]) == (3, 5e-4, 7)
        assert (config["task"]["train"], config["task"]["val"]) == (32, 10)
    assert runs[-1].config["model"]["width"] == 16


def test_an_option_of_a_bare_name_and_of_a_method(read):
    runs = read("entries.0.model.width=8", "entries.0.symmetry.remul.beta=2", "seeds=[0]")
    assert runs[0].config["model"]["name"] == "gnn"
    assert runs[0].config["model"]["width"] == 8
    assert [run.config["symmetry"].get("beta") for run in runs] == [2.0, None, None]


def test_an_override_equals_the_same_setting_in_the_file(read, suite_file):
    written = read_suite(suite_file(ENTRIES, HEAD.replace("1e-3", "1e-2"))).runs
    assert [run.run_id for run in read("train.lr=1e-2")] == [run.run_id for run in written]


def test_mistakes_name_the_override(complaint):
    assert complaint("train.epohcs=3").startswith(
        "override 'train.epohcs=3', key 'train.epohcs': Unknown key 'epohcs'. Did"
    )
    assert "override 'train.epochs=0', key 'train.epochs': expected greater than" in complaint("train.epochs=0")
    line = complaint("entries.0.model.width=0")
    assert line.startswith("override 'entries.0.model.width=0', key 'entries[0].model.width': ")
    assert "override 'entries.0.model=gnm', key 'entries[0].model': Unknown model 'gnm'" in complaint(
        "entries.0.model=gnm"
    )
    assert "Unknown index of a list '2'. " in complaint("entries.2.model=gnn")
    assert "there is no 'a' in 'tiny', which is a value." in complaint("name.a=3")
    assert "Expected KEY=VALUE" in complaint("train.epochs")
    assert "override 'seeds=[0': not valid YAML" in complaint("seeds=[0")


def test_mistakes_of_the_file_still_name_its_lines(suite_file):
    with pytest.raises(ConfigError) as caught:
        read_suite(suite_file("- model: gnm", HEAD), overrides=["train.epochs=0"])
    first, second = str(caught.value).splitlines()
    assert first.startswith("override 'train.epochs=0'")
    assert "suite.yaml, line 6, key 'entries[0].model'" in second


def test_keys_with_dots(suite_file):
    path = suite_file("- {model: gnn, symmetry: {'a.b:METHOD': {strength: 1}}}", HEAD)
    with pytest.raises(ConfigError, match=r"Cannot import the method 'a\.b:METHOD'"):
        read_suite(path, overrides=["entries.0.symmetry.a.b:METHOD.strength=2"])


def test_a_place_of_5000_digits_is_one_error(suite_file):
    with pytest.raises(ConfigError, match="Unknown index of a list"):
        read_suite(suite_file("- model: gnn\n"), overrides=["entries." + "9" * 5000 + ".model=linear"])
