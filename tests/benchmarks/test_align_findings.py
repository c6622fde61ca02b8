"""The page of findings inside networks is what its script writes from the committed records."""

import json
import shutil
import sys
from pathlib import Path

import pytest

import align_findings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/explanation/findings-alignment.md"
STORE = ROOT / "benchmarks/results/align_nbody"


@pytest.fixture
def findings(monkeypatch):
    def write(store, page):
        monkeypatch.setattr(sys, "argv", ["align_findings.py", str(store), "--page", str(page)])
        align_findings.main()
        return page.read_text()

    return write


def test_the_page_is_what_the_records_say(findings, tmp_path):
    page = tmp_path / "findings.md"
    shutil.copy(PAGE, page)
    assert findings(STORE, page) == PAGE.read_text()
    for name in ("alignment-angle.svg", "alignment-error.svg"):
        assert (tmp_path / "images" / name).exists()
        assert (PAGE.parent / "images" / name).exists()


def test_other_records_give_another_page(findings, tmp_path):
    store = Path(shutil.copytree(STORE, tmp_path / "store"))
    path = store / "gravity" / "records.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for each in (merge for record in records for merge in record["alignment"]["copies"]):
        each["middle"] = 77.25
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    page = tmp_path / "findings.md"
    shutil.copy(PAGE, page)
    assert "| 77 | 77 |" not in PAGE.read_text()
    assert "| 77 | 77 |" in findings(store, page)


def test_a_page_without_its_marks_is_refused(findings, tmp_path):
    page = tmp_path / "findings.md"
    page.write_text("# nothing\n")
    with pytest.raises(SystemExit, match="needs one"):
        findings(STORE, page)
