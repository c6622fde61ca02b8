"""What the documents say is true: links, files, numbers of lines, generated pages, and a newcomer's questions."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml

import geoequiv as ge
from geoequiv.bench.suite import read_suite
from geoequiv.records.schema import Record

from .code_blocks import PAGES, run_page

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_readme_is_short():
    assert README.read_text().count("\n") < 150


def test_numbers_of_the_readme(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page(README)
    framed, plain = map(float, capsys.readouterr().out.split())
    assert framed < 1e-5
    assert 0.1 < plain < 1
    assert names["net"].net[0].weight.grad.abs().sum() > 0
    loss = names["loss"]
    total = (loss.alpha * loss.objective + loss.beta * loss.equivariance).detach()
    assert float(loss.total.detach()) == pytest.approx(float(total))
    assert len(read_suite("section.yaml").runs) == 3 * (2 * 7 + 1)


@pytest.mark.parametrize("page", ["suite.md", "commands.md"])
def test_generated_pages_are_those_of_the_code(page):
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs/generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert (ROOT / "docs/reference" / page).read_text() == generate.PAGES[page](), "run: python docs/generate.py"


def test_every_key_of_a_suite_has_a_meaning():
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]*) \|", (ROOT / "docs/reference/suite.md").read_text(), re.MULTILINE)
    assert len(rows) > 100
    assert [key for key, meaning in rows if not meaning.strip()] == []


def test_every_key_of_a_record_is_in_the_reference():
    page = (ROOT / "docs/reference/results.md").read_text()
    written = [field.alias or name for name, field in Record.model_fields.items() if not field.exclude]
    assert len(written) > 15
    assert [key for key in written if f"`{key}`" not in page] == []


#: What a newcomer would search for → the page that a search has to find, and what it says there.
QUESTIONS = {
    "keys has `train`": ("docs/reference/suite.md", "| `epochs` |"),
    "edge_index": ("docs/how-to/wrap-a-model.md", "## Name your edges"),
    "add a frame": ("docs/how-to/add-your-own.md", "## A frame"),
    "results lie": ("docs/reference/results.md", "results/<name of the suite>"),
    "GPU": ("docs/how-to/run-suites.md", "--device"),
    "Which E": ("docs/explanation/equivariance-errors.md", "REMUL paper"),
    "compare two results": ("docs/how-to/run-suites.md", "geoequiv compare"),
    "--resume": ("docs/how-to/run-suites.md", "## Resume"),
    "cite": ("README.md", "CITATION.cff"),
    "own group": ("docs/explanation/equivariance-errors.md", '"own group"'),
}


@pytest.mark.parametrize("words", QUESTIONS)
def test_a_newcomers_question_is_answered_in_one_search(words):
    found = [page for page in PAGES if words.lower() in page.read_text().lower()]
    assert ROOT / "docs/how-to/questions.md" in found
    page, answer = QUESTIONS[words]
    assert answer in (ROOT / page).read_text()
    if page.startswith("docs"):
        assert page.removeprefix("docs/").split("/", 1)[1] in (ROOT / "docs/how-to/questions.md").read_text()


def test_questions_are_ten():
    assert (ROOT / "docs/how-to/questions.md").read_text().count("\n## ") == 10


#: Words that only insiders know: STYLE.md.
PRIVATE_WORDS = (
    "symmetry error", "simulated twin", "its twin", "otherwise:", "yardstick", "halfway network", "network halfway",
    "came to nothing", "at one place", "exchangeable", "as they stand",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_use_the_terms_of_the_field(page):
    text = page.read_text().lower()
    assert [words for words in PRIVATE_WORDS if words in text] == []


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_committed_suites_are_valid(path):
    assert read_suite(path).runs


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page):
    for path in re.findall(r"`(?:python )?((?:geoequiv|tests|benchmarks|configs|docs)/[\w./-]+)", page.read_text()):
        assert (ROOT / path).exists(), path


def test_tables_that_contributing_names_exist():
    rows = re.findall(r"`(\w+)` of `([\w/.]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(rows) >= 5
    for name, path in rows:
        assert re.search(rf"^{name}\b", (ROOT / path).read_text(), re.MULTILINE), f"{path} has no {name}"


def test_citation_names_three_papers_and_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert len(citation["references"]) == 3
    assert citation["version"] == ge.__version__
