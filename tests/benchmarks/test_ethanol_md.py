"""The page on molecular dynamics says what was measured; the numbers are taken as they are said to be."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("ase", reason="needs the extra 'ase'")
import ethanol_md

ROOT = Path(__file__).parents[2]


def test_the_page_has_the_table_of_the_committed_numbers():
    numbers = json.loads((ROOT / ethanol_md.NUMBERS).read_text(encoding="utf-8"))
    found = {name: each for name, each in numbers.items() if isinstance(each, dict)}
    assert set(ethanol_md.POTENTIALS) < set(found)
    assert ethanol_md.table(found) in (ROOT / ethanol_md.PAGE).read_text(encoding="utf-8")


def test_spread_and_drift_of_a_planted_energy():
    steps = np.arange(101)
    found = ethanol_md.numbers_of(5.0 + 0.002 * steps * ethanol_md.STEP * ethanol_md.EVERY * 1e-3)
    assert found["drift_meV_per_ps"] == pytest.approx(2.0)
    assert found["picoseconds_within_1_eV"] is None
    lost = np.where(steps < 50, 0.0, np.nan)
    found = ethanol_md.numbers_of(lost)
    assert found["std_meV"] == 0.0
    assert found["picoseconds_within_1_eV"] == pytest.approx(50 * ethanol_md.STEP * ethanol_md.EVERY * 1e-3)
