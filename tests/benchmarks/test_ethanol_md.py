"""The page on molecular dynamics says what was measured; the numbers are taken as they are said to be."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ase", reason="needs the extra 'ase'")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        specification = importlib.util.spec_from_file_location("ethanol_md", ROOT / "benchmarks/ethanol_md.py")
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        sys.modules.pop("marked", None)
        yield module


def test_the_page_has_the_table_of_the_committed_numbers(script):
    numbers = json.loads((ROOT / script.NUMBERS).read_text(encoding="utf-8"))
    found = {name: each for name, each in numbers.items() if isinstance(each, dict)}
    assert set(script.POTENTIALS) < set(found)
    assert script.table(found) in (ROOT / script.PAGE).read_text(encoding="utf-8")


def test_spread_and_drift_of_a_planted_energy(script):
    steps = np.arange(101)
    found = script.numbers_of(5.0 + 0.002 * steps * script.STEP * script.EVERY * 1e-3)
    assert found["drift_meV_per_ps"] == pytest.approx(2.0)
    assert found["picoseconds_within_1_eV"] is None
    lost = np.where(steps < 50, 0.0, np.nan)
    found = script.numbers_of(lost)
    assert found["std_meV"] == 0.0
    assert found["picoseconds_within_1_eV"] == pytest.approx(50 * script.STEP * script.EVERY * 1e-3)
