"""The table of methods: labels, families, what is built, and methods of a user."""

import textwrap

import pytest

import geoequiv as ge
from geoequiv.bench.options import options_of
from geoequiv.bench.runner import run
from geoequiv.bench.spec import RESERVED
from geoequiv.bench.suite import read_suite
from geoequiv.declared import inspected
from geoequiv.errors import ConfigError, GeoequivError
from geoequiv.methods import FAMILIES, METHODS, Method, method, run_of_method
from geoequiv.records.store import Store
from geoequiv.session import Session

MINE = '''
"""A method of a user, in one file."""

from typing import NamedTuple

import torch
from torch import Tensor

import geoequiv as ge


class Value(NamedTuple):
    total: Tensor


class Shaken:
    """The task's loss on inputs with noise."""

    def __init__(self, model, signature, loss, noise: float = 0.1, kind: str = "normal"):
        self.model, self.loss, self.noise = model, loss, noise

    def __call__(self, inputs, targets):
        shaken = {name: x + self.noise * torch.randn_like(x) for name, x in inputs.items()}
        (target,) = targets.values() if isinstance(targets, dict) else (targets,)
        return Value(self.loss(self.model(**shaken), target))


class Doubled(torch.nn.Module):
    """Calls the model twice."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, **inputs):
        return (self.model(**inputs) + self.model(**inputs)) / 2


SHAKEN = ge.Method.objective(Shaken, family="augmentation")
DOUBLED = ge.Method.wrapper(Doubled, family="other", name="doubled")
'''


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)

    def write(symmetry):
        path = tmp_path / "suite.yaml"
        head = """\
        name: tiny
        task: {name: nbody/charged, train: 16, val: 4, test: 4}
        train: {epochs: 1, batch_size: 8, equivariance_items: 0}
        evaluate: {num_items: 2, num_samples: 2, batch_size: 4, repeats: 1}
        """
        path.write_text(
            textwrap.dedent(head)
            + f"entries:\n  - model: {{name: gnn, width: 4, depth: 1}}\n    symmetry: {symmetry}\n"
        )
        return read_suite(path)

    return write


def test_two_settings_of_a_users_method_have_two_labels(suite, tmp_path):
    runs = suite('[{"mine:SHAKEN": {noise: [0.1, 0.25], kind: [normal, other]}}, "mine:DOUBLED"]').runs
    labels = [run_of_method(*each.part("symmetry"))["label"] for each in runs]
    assert labels == [
        "Shaken",
        "Shaken (kind other)",
        "Shaken (noise 0.25)",
        "Shaken (kind other, noise 0.25)",
        "doubled",
    ]
    records = [run(each, Store(tmp_path / "out"), Session(data_dir=tmp_path)).record for each in (runs[2], runs[-1])]
    assert [(each.status, each.error) for each in records] == [("finished", None)] * 2
    assert run_of_method(*runs[2].part("symmetry"))["family"] == "augmentation"


def test_the_label_of_a_frame_has_its_name_first_and_nested_options_in_parentheses():
    options = {"epsilon": 1e-8, "name": "mine:Frame"}
    stochastic = {"group": "SE(3)", "frame": {"of": options, "name": "stochastic"}}
    label = METHODS["frame_averaging"].label(stochastic, None)
    assert label == "frame averaging SE(3) (stochastic, of (mine:Frame, epsilon 1e-08))"


def test_options_of_a_users_method_are_checked(suite):
    with pytest.raises(ConfigError, match=r"line 7, key 'entries\[0\]\.symmetry\.mine:SHAKEN\.nose'.*Did you mean"):
        suite('{"mine:SHAKEN": {nose: 1}}')


def test_a_bare_class_is_an_error_that_says_what_to_write(suite):
    with pytest.raises(ConfigError) as caught:
        suite('"mine:Shaken"')
    assert 'METHOD = ge.Method.objective(Shaken, family="other")' in str(caught.value)
    assert 'METHOD = ge.Method.wrapper(Shaken, family="other")' in str(caught.value)


def test_an_unknown_method_and_an_unknown_family():
    with pytest.raises(GeoequivError, match=r"Unknown method 'REMUL'\. Did you mean 'remul'"):
        method("REMUL")
    with pytest.raises(ConfigError, match=r"Unknown family of methods 'augment'\. Did you mean 'augmentation'"):
        Method.objective(dict, family="augment")


@pytest.mark.parametrize("name", METHODS)
def test_the_options_of_a_method_are_parameters_of_what_it_makes(name):
    row = METHODS[name]
    assert method(name) is row
    assert row.name == name
    assert callable(row.load())
    assert row.load().__doc__
    assert row.family in {each.key for each in FAMILIES}


@pytest.mark.parametrize("name", METHODS)
def test_options_read_from_source_are_those_of_the_imported_target(name):
    row = METHODS[name]
    imported = options_of(inspected(row.load()), RESERVED)
    assert repr(options_of(row.declaration, RESERVED)) == repr(imported)  # two equal Field() are not ==


def test_a_model_that_claims_a_group_is_of_the_family_built_in():
    assert run_of_method("none", {}) == {"name": "none", "family": "none", "label": "none"}
    assert run_of_method("none", {}, "E(3)") == {"name": "none", "family": "builtin", "label": "built-in E(3)"}
    assert run_of_method("remul", {"group": "O"}, "E(3)") == {
        "name": "remul",
        "family": "remul",
        "label": "REMUL β=1 O",
    }


def test_families_differ_in_key_name_marker_and_colours():
    for part in ("key", "name", "marker", "light", "dark"):
        assert len({getattr(each, part) for each in FAMILIES}) == len(FAMILIES)


def test_the_table_is_light():
    import subprocess
    import sys

    code = (
        "import sys, geoequiv as ge; ge.Method; from geoequiv.methods import METHODS; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert ge.Method is Method
