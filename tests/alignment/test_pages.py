"""What the pages on alignment show runs as it is written and prints what they say."""

import re
from pathlib import Path

from ..code_blocks import ROOT, run_page

GUIDE = ROOT / "docs/how-to/look-inside.md"
PAGE = ROOT / "docs/explanation/alignment.md"


def test_examples_of_the_guide(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(GUIDE)
    numbers, spec = capsys.readouterr().out.strip().splitlines()
    barriers = [float(word) for word in numbers.split()]
    assert len(barriers) == 3
    assert abs(barriers[0]) < 1e-3
    assert f"\n# {spec}\n" in GUIDE.read_text()


def test_files_that_the_page_names_exist():
    for path in re.findall(r"`((?:geoequiv|tests|benchmarks)/[\w./]+)`", PAGE.read_text()):
        assert Path(ROOT, path).exists(), path
