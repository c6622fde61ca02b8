"""What docs/explanation/alignment.md shows runs as it stands."""

import re
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/alignment.md").read_text()


def test_examples_of_the_page(capsys):
    torch.manual_seed(0)
    names = {}
    first, second = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(first, "alignment.md", "exec"), names)
    barriers = [float(word) for word in capsys.readouterr().out.split()]
    assert len(barriers) == 3
    assert abs(barriers[0]) < 1e-3
    exec(compile(second, "alignment.md", "exec"), names)
    assert capsys.readouterr().out.strip() == second.strip().splitlines()[-1].removeprefix("# ")


def test_files_and_links_of_the_page_exist():
    for path in re.findall(r"`((?:geoequiv|tests|benchmarks)/[\w./]+)`", PAGE):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / "explanation" / target).exists(), target
