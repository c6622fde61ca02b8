"""Every symmetry of the catalog from YAML to its label, and trained with what it says."""

import pytest

from geoequiv.bench.runner import build, load_task
from geoequiv.bench.runner import run as run_spec
from geoequiv.bench.suite import read_suite
from geoequiv.errors import ConfigError
from geoequiv.methods import METHODS, run_of_method
from geoequiv.objectives import Augmentation, TaskObjective
from geoequiv.records.store import Store
from geoequiv.session import Session

WAYS = """\
- model: {name: transformer, width: 8, depth: 1, heads: 2}
  symmetry:
    - remul: {group: SO(3), beta: 1.0, weighting: gradnorm}
    - remul: {group: SO(3), weighting: [uncertainty, linear]}
    - remul: {group: SO(3), weighting: constrained, epsilon: [1e-2, 0.1], beta: 0.01}
    - remul: {group: SO(3), weighting: constrained, bound: E_prime, epsilon: 1}
    - remul: {group: SO(2)@y, sampling: small-angle, anchor: prediction}
    - remul: {group: O, sampling: adversarial, num_samples: 2}
    - augmentation: {group: SO(3), num_samples: 2}
    - invariance_loss: {group: SO(3), start: 0.2}
    - invariance_loss: {group: SO(3), weight: 0.5, augment: true}
    - latent_equivariance: {group: SO(3), weight: 0.1}
    - latent_equivariance: {group: SO(3), layer: norm, type: scalar}
    - test_time_averaging: {group: SO(3), num_samples: 4}
    - test_time_averaging: {group: O, training: augmentation}
"""
LABELS = [
    "REMUL gradnorm SO(3)",
    "REMUL uncertainty SO(3)",
    "REMUL β=0→1 linear SO(3)",
    "REMUL relative≤0.01 SO(3)",
    "REMUL relative≤0.1 SO(3)",
    "REMUL E′≤1 SO(3)",
    "REMUL β=1 SO(2)@y (prediction, small-angle)",
    "REMUL β=1 O (adversarial of 2)",
    "augmentation SO(3) (2 samples)",
    "late (20%) invariance loss β=1 SO(3)",
    "invariance loss β=0.5 SO(3) (augmented)",
    "latent equivariance β=0.1 SO(3)",
    "latent equivariance β=1 SO(3) (norm, scalar)",
    "test-time averaging SO(3) (4 samples)",
    "test-time averaging O (trained with augmentation)",
]


def test_every_way_runs_under_a_label_of_its_own(suite_file, tmp_path, data_dir):
    suite = read_suite(suite_file(WAYS))
    assert [run_of_method(*run.part("symmetry"))["label"] for run in suite.runs] == LABELS
    store = Store(tmp_path / "results")
    records = [run_spec(spec, store, Session(data_dir=data_dir)).record for spec in suite.runs]
    assert [(record.status, record.error) for record in records] == [("finished", None)] * len(LABELS)
    learned = (tmp_path / "results" / suite.runs[0].run_id / "log.csv").read_text().splitlines()
    assert learned[0].split(",")[2:7] == [
        f"train_{name}" for name in ("total", "objective", "equivariance", "alpha", "beta")
    ]
    assert float(learned[1].split(",")[6]) != 1.0


def test_an_averaged_model_is_trained_with_what_it_names(suite_file, data_dir):
    runs = read_suite(suite_file(WAYS)).runs[-2:]
    (_, plain), (wrapped, augmented) = (build(run, load_task(run, Session(data_dir=data_dir))) for run in runs)
    assert isinstance(plain, TaskObjective)
    assert isinstance(augmented, Augmentation)
    assert augmented.model is wrapped
    assert augmented.group == wrapped.group


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{group: SO(3), weighting: gradnrm}", "expected 'constant', 'linear', 'cosine', 'gradnorm'"),
        ("{group: SO(3), epsilon: wide}", "valid number"),
        ("{group: SO(3), anchors: label}", "Did you mean 'anchor'"),
    ],
)
def test_mistakes_are_found_before_anything_runs(suite_file, options, message):
    with pytest.raises(ConfigError, match=message):
        read_suite(suite_file(f"- {{model: gnn, symmetry: {{remul: {options}}}}}\n"))


def test_label_of_a_frame_with_options():
    label = METHODS["frame_averaging"].label
    options = {"group": "SE(3)", "frame": {"name": "weighted", "threshold": 0.5}}
    assert label(options, None) == "frame averaging SE(3) (weighted, threshold 0.5)"
    assert label(options | {"frame": "pca"}, None) == "frame averaging SE(3) (pca)"
