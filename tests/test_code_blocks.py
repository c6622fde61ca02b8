"""Every code block of README, CONTRIBUTING and docs/ is run as it is written."""

import sys
from pathlib import Path

import pytest

from geoequiv.cli import main

from .code_blocks import LANGUAGES, PAGES, ROOT, blocks_of, check_command, command_lines, exit_code, run_page

#: Commands that take no time and change nothing: these are run, not only parsed.
QUICK = (
    "list",
    "leaderboard benchmarks/",
    "run configs/quickstart.yaml --dry-run",
    "compare benchmarks/",
    "data list",
    "data info nbody",
    "--version",
)


def name_of(page):
    return page.relative_to(ROOT).as_posix()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory on the path of imports, whose modules are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_run(page, folder):
    run_page(page)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_say_their_language(page):
    assert [block for block in blocks_of(page.read_text()) if block.language not in LANGUAGES] == []


COMMANDS = [
    pytest.param(words, id=f"{name_of(page)}: {' '.join(words)}")
    for page in PAGES
    for block in blocks_of(page.read_text())
    if block.language == "console"
    for words in command_lines(block.text)
]


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_are_valid(words):
    check_command(words)


@pytest.mark.parametrize("words", [each for each in COMMANDS if " ".join(each.values[0][1:]).startswith(QUICK)])
def test_quick_commands_run(words, tmp_path, monkeypatch, capsys):
    for folder in ("benchmarks", "configs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOEQUIV_DATA", str(tmp_path / "data"))
    assert exit_code(lambda: main(words[1:])) == 0
    assert capsys.readouterr().out


def test_the_suite_of_your_own_five_runs(folder, capsys):
    """docs/how-to/add-your-own.md: model, method, frame and measurement of a user's own, labelled on the board."""
    run_page(ROOT / "docs/how-to/add-your-own.md")
    assert main(["run", "all_five.yaml", "--data-dir", str(folder / "data")]) == 0
    board = Path("results/all_five/leaderboard.md").read_text().replace("\\", "")
    assert "my_model:Net" in board
    assert "Jitter (sigma 0.05)" in board
    assert "Jitter (sigma 0.2)" in board
    assert "frame averaging SE(3) (my_frame:FirstPoints)" in board
    assert "| largest step |" in board


def test_a_wrong_block_is_found(folder):
    """The tests of this file fail where a page is wrong."""
    page = Path("page.md")
    page.write_text("```python\nundefined\n```\n")
    with pytest.raises(NameError):
        run_page(page)
    page.write_text("```yaml\ntrain: {epoch: 3}\n```\n")
    with pytest.raises(Exception, match="epochs"):
        run_page(page)
    for words in (["geoequiv", "runs"], ["make", "nothing"], ["python", "benchmarks/none.py"], ["rm", "x"]):
        with pytest.raises(AssertionError):
            check_command(words)


def test_a_block_can_be_a_file(folder):
    Path("page.md").write_text(
        "```python\n# mine.py\nX = 2\n```\n```python\nfrom mine import X\n\ny = X + 1\n```\n"
        "```console\ngeoequiv list \\\n  models  # all of them\n```\n"
    )
    assert run_page(Path("page.md"))["y"] == 3
    assert list(command_lines(blocks_of(Path("page.md").read_text())[2].text)) == [["geoequiv", "list", "models"]]
