"""Options of tasks that cannot be are found when a suite is read, with line and key, before any data is looked for."""

import pytest

from geoequiv.bench.suite import read_suite
from geoequiv.errors import ConfigError

FILES = "files, path: absent.npz, signature: 'pos: point -> pos: point'"


@pytest.mark.parametrize(
    ("task", "key", "message"),
    [
        ("md17/dynamics, molecule: etanol", "molecule", "expected 'aspirin', 'benzene', .* got 'etanol'"),
        ("md17/dynamics, margin: -1", "margin", "expected greater than or equal to 0; got -1"),
        ("md17-xtb/forces, molecule: azobenzene", "molecule", "got 'azobenzene'"),
        ("md17/forces, split: 6", "split", "expected less than or equal to 5; got 6"),
        ("md17/forces, energy_weight: -1", "energy_weight", "expected greater than or equal to 0"),
        ("nbody/charged, train: 0", "train", "expected greater than or equal to 1; got 0"),
        ("nbody/charged, variant: iso", "variant", "expected 'component' or 'isotropic'"),
        ("nbody/gravity, protocol: gart", "protocol", "expected 'remul' or 'gatr'"),
        ("mocap/walk, horizon: 0", "horizon", "expected greater than or equal to 1"),
        ("mocap-gait/walk, seed: -1", "seed", "expected greater than or equal to 0"),
        ("mocap/files, path: x, up: w", "up", "expected 'x', 'y' or 'z'"),
        ("images/cifar10, dtype: float16", "dtype", "expected 'float32' or 'float64'; got 'float16'"),
        (f"{FILES}, metric: mea", "metric", "expected 'mse' or 'mae'"),
        (f"{FILES}, train: .nan", "train", "expected a finite number"),
    ],
)
def test_an_option_that_cannot_be_is_an_error_of_the_suite(tmp_path, task, key, message):
    path = tmp_path / "suite.yaml"
    path.write_text(f"name: x\ntask: {{name: {task}}}\ntrain: {{epochs: 1}}\nentries: [{{model: gnn}}]\n")
    with pytest.raises(ConfigError, match=rf"suite\.yaml, line 2, key 'task\.{key}': .*{message}"):
        read_suite(path)
