"""The committed table of models against the code."""

from pathlib import Path

import pytest

import model_table
from geoequiv import catalog
from geoequiv.models import EGNN
from model_table import BEGIN, END, HEADS, main, markdown, reference, row, written

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "reference" / "models.md"


def test_the_committed_table_names_every_model_in_order():
    names = [each["model"].strip("`") for each in written(DOCUMENT.read_text(encoding="utf-8"))]
    assert names == list(catalog.names("model")), "python benchmarks/model_table.py docs/reference/models.md"


@pytest.mark.parametrize("name", catalog.names("model"))
def test_the_committed_table_is_up_to_date(name):
    found = next(each for each in written(DOCUMENT.read_text(encoding="utf-8")) if each["model"] == f"`{name}`")
    now = row(name)
    same = ("what it is", "claims", "size", "parameters", "torch.compile", "reference")
    assert {head: found[head] for head in same} == {head: now[head] for head in same}, (
        "python benchmarks/model_table.py docs/reference/models.md"
    )
    assert float(now["MFLOP forward"]) > 0 or name == "linear"


def test_a_table_is_written_between_the_marks_and_read_back(tmp_path, monkeypatch):
    rows = [dict.fromkeys(HEADS, "a") | {"model": "`x`"}, dict.fromkeys(HEADS, "b | c")]
    monkeypatch.setattr(model_table, "rows", lambda: rows)
    path = tmp_path / "models.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    main(str(path))
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert written(text)[0] == rows[0]
    assert markdown(rows) in text


def test_references_are_read_from_docstrings():
    assert reference(EGNN) == "Satorras, Hoogeboom & Welling 2021"
