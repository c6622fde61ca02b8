"""The page of findings is written from the records: tables, the verdict on β, the reached ε, and pictures."""

import sys
from pathlib import Path

import pytest

import remul_findings

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "findings-remul.md"
LOG = "epoch,lr,train_total,train_objective,train_equivariance,train_alpha,train_beta,val_mse,val_E_prime\n"


@pytest.fixture
def findings(monkeypatch):
    def write(store, page):
        monkeypatch.setattr(sys, "argv", ["remul_findings.py", str(store), "--page", str(page)])
        remul_findings.main()
        return page.read_text()

    return write


def store(results, record):
    """β of 0.1, 1, 10 with falling error and the best metric in the middle; a constrained run; one without symmetry."""
    entries = [({"beta": beta, "weighting": "constant"}, value, error) for beta, value, error in
               ((0.1, 0.009, 0.3), (1.0, 0.004, 0.1), (10.0, 0.006, 0.05))]  # fmt: skip
    entries.append(({"beta": 1.0, "weighting": "constrained", "epsilon": 0.1, "bound": "relative"}, 0.005, 0.12))
    records = []
    for options, value, error in entries:
        for seed in range(2):
            one = record(model="gnn", symmetry=f"REMUL {options['weighting']} β={options['beta']:g} SO(3)", seed=seed)
            one["config"]["symmetry"] = {"name": "remul", "group": "SO(3)", **options}
            one["metric"]["value"], one["equivariance"]["relative"] = value, error
            one["equivariance"]["E_prime"] = error * (1 + 0.01 * seed)
            one["metric"]["splits"] = {"test_rotated": {"value": 1 / value, "n": 10}}
            one["run_id"] = f"{options['weighting']}{options['beta']:g}-{seed}"
            records.append(one)
    folder = results([*records, record(model="gnn", symmetry="none", relative=0.5)])
    for path in list(folder.iterdir()):
        home = path.with_name(path.name.rsplit("-", 1)[0])  # the folder of a run bears its id
        path.rename(home)
        (home / "log.csv").write_text(LOG + "1,0.1,3.0,1.0,0.2,1.0,1.0,,\n2,0.1,2.0,0.5,0.11,0.5,2.0,0.6,0.2\n")
    return folder


def test_the_page_is_written_from_the_records(findings, results, record, tmp_path):
    page = tmp_path / "findings.md"
    page.write_text(PAGE.read_text())
    folder = store(results, record)
    written = findings(folder, page)
    assert "it falls at every step." in written
    assert "**Best β on test**: 1 (.0040)" in written
    assert "**Best β on test rotated**: 0.1" in written
    assert "| gnn | relative | .10 | .11 | .12 | 1.20 | 2 |" in written  # ε, last epoch, reached, ratio, seeds
    assert "| .50 | 2.0 | 4.0 | 2 |" in written  # α, β, β/α of the last epoch
    assert "| gnn | none |" in written
    assert (tmp_path / "images" / "remul-trade-off.svg").exists()
    assert (tmp_path / "images" / "remul-gnn-constrained-0.1.svg").exists()
    assert findings(folder, page) == written


def test_an_error_that_rises_is_said_to(findings, results, record, tmp_path):
    page = tmp_path / "findings.md"
    page.write_text(PAGE.read_text())
    folder = store(results, record)
    for path in folder.glob("constant10-*/record.json"):
        path.write_text(path.read_text().replace('"E_prime": 0.05', '"E_prime": 0.7'))
    assert "it does not fall from β = 1 to 10" in findings(folder, page)


def test_a_page_without_its_marks_is_refused(findings, results, record, tmp_path):
    page = tmp_path / "findings.md"
    page.write_text("# nothing\n")
    with pytest.raises(SystemExit, match="needs one"):
        findings(store(results, record), page)
