"""The page of findings on real tasks is written from the records: several seeds, units, published numbers."""

import sys
from pathlib import Path

import pytest

import findings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/findings.md"
FORCES = "md17/forces/{}/split1/950-50-1000/force_mae"


@pytest.fixture
def write_page(monkeypatch):
    def write(store, page):
        monkeypatch.setattr(sys, "argv", ["findings.py", "--store", str(store), "--page", str(page)])
        findings.main()
        return page.read_text(encoding="utf-8")

    return write


def marks(*names):
    return "before\n" + "\n".join(f"<!-- {name} -->\nold {name}\n<!-- /{name} -->" for name in names) + "\nafter\n"


def force_records(record, molecule, *entries):
    made = []
    for k, (model, symmetry, values) in enumerate(entries):
        for seed, value in enumerate(values):
            one = record(model=model, symmetry=symmetry, seed=seed, run_id=f"{k}{seed:011x}")
            one |= {"task": "md17/forces", "protocol": FORCES.format(molecule)}
            further = [{"name": "energy_mae", "unit": "meV", "better": "lower", "value": 10 * value, "n": 1000}]
            one["metric"] |= {"name": "force_mae", "unit": "meV/Å", "value": value, "further": further}
            made.append(one)
    return made


def test_the_page_is_what_the_script_writes_from_the_committed_records(write_page, tmp_path):
    page = tmp_path / "findings.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    assert write_page(ROOT / "benchmarks/results", page) == PAGE.read_text(encoding="utf-8")


def test_forces_in_both_units_with_seeds_and_published_numbers(write_page, tmp_path, record, results):
    entries = (
        ("gnn", "none", (20.0, 22.0, 24.0)),
        ("transformer", "none", (43.364,)),
        ("egnn", "built-in E(3)", (9.0,)),
    )
    results(force_records(record, "ethanol", *entries), "md17_forces_ethanol")
    results(force_records(record, "benzene", entries[0]), "md17_forces_benzene")
    page = tmp_path / "page.md"
    page.write_text(marks("forces", "energies", "run"), encoding="utf-8")
    lines = write_page(tmp_path, page).splitlines()
    assert lines[0] == "before"
    assert lines[-1] == "after"
    assert "old run" in lines  # there are no records of running here: left as it is
    assert "| symmetry | ethanol transformer | ethanol gnn | benzene transformer | benzene gnn |" in lines
    assert "| none | 43.4 (1.00) | 22.0 ± 2.0 (0.51) |  | **22.0 ± 2.0 (0.51)** |" in lines
    assert "| egnn, built-in E(3) | **9.00 (0.21)** |  |  |  |" in lines
    assert "| *MACE, built-in E(3), Batatia et al. 2022 [S]* | *2.10 (0.05)* |  | *.300 (0.01)* |  |" in lines
    assert "| none | 434 (10.00) | 220 ± 20 (5.07) |  | **220 ± 20 (5.07)** |" in lines  # of the energies


def test_a_folder_of_two_protocols_is_refused(write_page, tmp_path, record, results):
    both = [one for name in ("ethanol", "benzene") for one in force_records(record, name, ("gnn", "none", (1.0,)))]
    for k, one in enumerate(both):
        one["run_id"] = f"{k:012x}"
    results(both, "md17_forces_ethanol")
    results(both, "md17_forces_benzene")
    page = tmp_path / "page.md"
    page.write_text(marks("forces", "energies"), encoding="utf-8")
    with pytest.raises(SystemExit, match="a table is of one protocol"):
        write_page(tmp_path, page)


def test_a_table_has_the_folders_that_are_there(write_page, tmp_path, record, results, capsys):
    results(force_records(record, "benzene", ("gnn", "none", (5.0,))), "md17_forces_benzene")
    page = tmp_path / "page.md"
    page.write_text(marks("forces", "energies"), encoding="utf-8")
    text = write_page(tmp_path, page)
    assert "| symmetry | benzene gnn |\n| :-- | --: |\n| none | **5.00 (0.12)** |" in text
    assert "ethanol" not in text
    assert f"forces: there is no {tmp_path / 'md17_forces_ethanol'}\n" in capsys.readouterr().out
