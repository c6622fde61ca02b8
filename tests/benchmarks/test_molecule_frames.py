"""Frames on molecules in four precisions, at a small size; the whole is ``benchmarks/molecule_frames.py``."""

from pathlib import Path

import pytest

pytest.importorskip("ase")
import molecule_frames

#: tetrahedral, hexagonal, bent, linear, octahedral-like, without symmetry
MOLECULES = ("CH4", "C6H6", "H2O", "CO2", "NH3", "CH3CH2OH")


@pytest.mark.parametrize("name", MOLECULES)
def test_no_error_is_beyond_its_tolerance(name):
    """Every frame, group and dtype."""
    errors = molecule_frames.measured([name])
    for (dtype, frame), molecules in errors.items():
        for group, value in molecules[name].items():
            assert value <= molecule_frames.tolerance(dtype, frame), f"{name}: {frame}, {group}, {dtype}"


def test_an_error_beyond_its_tolerance_is_reported():
    errors = {("float32", "pca"): {"CH4": dict.fromkeys(molecule_frames.GROUPS, 1e-4)}}
    assert len(molecule_frames.beyond(errors)) == 4
    assert "CH4" in molecule_frames.beyond(errors)[0]
    errors["float32", "pca"]["CH4"] = dict.fromkeys(molecule_frames.GROUPS, 1e-6)
    assert molecule_frames.beyond(errors) == []
    assert "| float32 | pca | 1e-05 | 1e-06 | 1e-06 | 0 |" in molecule_frames.table(errors)


def test_the_page_has_all_rows():
    page = (Path(__file__).parents[2] / "docs/explanation/choosing-a-frame.md").read_text(encoding="utf-8")
    rows = page.partition(molecule_frames.BEGIN)[2].partition(molecule_frames.END)[0].strip().splitlines()[2:]
    found = [tuple(cell.strip() for cell in row.strip("|").split("|"))[:2] for row in rows]
    assert found == [(dtype, frame) for dtype in molecule_frames.DTYPES for frame in molecule_frames.FRAMES]
