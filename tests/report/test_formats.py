"""HTML, Markdown, CSV and JSON: complete, escaped, valid, the same bytes each time."""

import cProfile
import csv
import io
import json
import pstats
import re
from html.parser import HTMLParser

import pytest

from geoequiv.errors import ConfigError, DataError
from geoequiv.records import reading
from geoequiv.records.reading import read_file
from geoequiv.report import leaderboard, render, write, write_all

EVIL = "<script>alert('x')</script>\"&|`*"
FORMATS = ("html", "md", "csv", "json", "svg")


class Page(HTMLParser):
    """Collects the tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.links, self.words = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def test_json_has_the_promised_shape(results, suite):
    content = json.loads(render(results(suite), "json"))
    assert {"task", "protocol", "rows", "references"} <= set(content)
    assert len(content["rows"]) == 17
    row = content["rows"][0]
    assert (row["model"], row["symmetry"], row["rank"]) == ("gnn", "frame averaging SE(3) (pca)", 1)
    assert {"name", "mean", "std", "n"} <= set(row["metric"])
    assert {"E", "E_prime", "relative", "worst"} <= set(row["equivariance"])
    assert {"train", "inference"} <= set(row["seconds"])
    assert row["params"] == 133_891
    assert {"model", "value", "source", "state"} <= set(content["references"][0])
    assert [failure["seed"] for failure in content["failures"]] == [3, 0, 1]
    assert content["task_card"]["irreducible_error"] == pytest.approx(1.85e-3)


def test_json_is_strict_even_where_the_records_are_not(results, record):
    odd = record()
    odd["equivariance"]["worst"] = float("inf")
    odd["config"]["limit"] = float("nan")
    text = render(results([odd]), "json")
    content = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert content["rows"][0]["equivariance"]["worst"] is None


def test_several_protocols_are_a_list_in_json_and_tables_elsewhere(results, record):
    folder = results([record(), record(protocol="other")])
    assert [board["protocol"] for board in json.loads(render(folder, "json"))] == [
        "nbody/charged/Δ1000/3000-2000-2000/mse",
        "other",
    ]
    assert Page(render(folder, "html")).tags.count("section") == 2
    assert render(folder, "md").count("| # | model |") == 2
    assert {line["protocol"] for line in csv.DictReader(io.StringIO(render(folder, "csv")))} >= {"other"}


def test_csv_parses_back(results, suite):
    folder = results(suite)
    lines = list(csv.DictReader(io.StringIO(render(folder, "csv"))))
    kinds = [line["kind"] for line in lines]
    assert (kinds.count("measured"), kinds.count("published"), kinds.count("failed")) == (17, 8, 1)
    (board,) = leaderboard(folder)
    measured = [line for line in lines if line["kind"] == "measured"]
    assert [float(line["mean"]) for line in measured] == [row.metric.mean for row in board.rows]
    assert [float(line["std"]) for line in measured] == [row.metric.std for row in board.rows]
    assert [float(line["metric/with/clamp_event"]) for line in measured] == [
        row.value("metric/with/clamp_event") for row in board.rows
    ]
    assert {line["state"] for line in lines if line["kind"] == "published"} == {"P", "M"}


@pytest.mark.parametrize("text", ['=HYPERLINK("x")', " =1+1", "\u00a0@SUM(A1)", "＝1", "－1", "\t=1"])
def test_csv_text_is_no_formula(results, record, text):
    lines = list(csv.DictReader(io.StringIO(render(results([record(model=text)]), "csv"))))
    assert any(line["model"] == f"'{text}" for line in lines)


def test_html_is_self_contained(results, suite):
    page = Page(render(results(suite), "html"))
    assert not {"link", "img", "iframe"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert page.tags.count("script") == 1


def test_html_says_what_a_reader_must_know(results, suite):
    folder = results(suite)
    (folder / "zz").mkdir()
    (folder / "zz" / "record.json").write_text('{"schema')
    text = Page(render(folder, "html")).text
    for fact in (
        "nbody/charged/Δ1000/3000-2000-2000/mse",
        "test MSE, lower is better",
        "no exactly equivariant model can reach a test MSE below about .0019",
        "over E(3), 256 items × 16 group elements, float32",
        "54 (51 finished, 3 failed), 3 seeds a row",
        "batch 100, 1 thread",
        "sha256:3f9a1c77e0b24d55…",
        "torch 2.13.0",
        "0647eec",
        "Imaginary CPU @ 2.00GHz",
        "published in Puny et al. 2022",
        "read in the primary source",
        "from memory, not verified",
        "with clamp event",
        "without clamp event",
        "1 failed",
        "no seed finished (2 failed)",
        "Traceback (most recent call last)",
        "zz/record.json",
    ):
        assert fact in text, fact


def test_ood_splits_have_columns(results, record):
    odd = record()
    odd["metric"]["splits"] = {"test_rotated": {"value": 0.0123, "n": 10}}
    folder = results([odd])
    assert "test rotated" in Page(render(folder, "html")).text
    assert "| test rotated |" in render(folder, "md")
    assert json.loads(render(folder, "json"))["rows"][0]["metric"]["splits"]["test_rotated"]["mean"] == 0.0123


@pytest.mark.parametrize("place", ["model", "symmetry", "suite", "run_id", "protocol", "task"])
def test_html_escapes_what_came_from_a_user(results, record, place):
    evil = record()
    evil[place] = EVIL
    folder = results([evil | {"run_id": "a"} if place != "run_id" else {**record(), "model": EVIL}])
    text = render(folder, "html")
    assert "<script>alert" not in text
    assert Page(text).tags.count("script") == 1
    assert EVIL in Page(text).text or place == "run_id"


def test_html_escapes_tracebacks_sources_and_cards(results, record):
    evil = record()
    evil["task_card"] |= {"description": EVIL, "checksum": EVIL, "citation": EVIL, "signature": EVIL}
    evil["task_card"]["references"] = [{"model": EVIL, "value": 1.0, "source": EVIL, "state": "P", "note": EVIL}]
    evil["environment"] |= {"cpu": EVIL, "git_commit": EVIL}
    failed = record(model=EVIL, run_id="b", seed=1, status="failed", error=EVIL)
    evil["metric"]["marks"] = {EVIL: {"with": {"value": 1.0, "n": 1}}}
    text = render(results([evil, failed]), "html")
    assert "<script>alert" not in text
    assert Page(text).tags.count("script") == 1


def test_markdown_escapes_what_came_from_a_user(results, record):
    text = render(results([record(model=EVIL + "\n# heading", run_id="a")]), "md")
    assert "<script>" not in text
    assert "\n# heading" not in text
    row = next(line for line in text.splitlines() if "alert" in line)
    assert row.replace("\\|", "").count("|") == next(
        line for line in text.splitlines() if line.startswith("| # |")
    ).count("|")


@pytest.mark.parametrize("place", ["name", "unit", "splits", "marks", "further", "further unit"])
def test_markdown_escapes_the_heads_of_its_columns(results, record, place):
    """The unit of `files`, and the names of splits, marks and metrics, are a user's text."""
    odd = record(run_id="a")
    metric, known = odd["metric"], {"value": 1.0, "n": 1}
    if place in ("name", "unit"):
        metric[place] = EVIL
    elif place.startswith("further"):
        name, unit = ("mae", EVIL) if place == "further unit" else (EVIL, "m")
        metric["further"] = [{**known, "name": name, "unit": unit}]
    else:
        metric[place] = {EVIL: {"with": known} if place == "marks" else known}
    lines = render(results([odd]), "md").splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("| # |"))
    assert "alert" in lines[head].lower()
    assert "<script>" not in "".join(lines).lower()
    bare = [line.replace("\\|", "").count("|") for line in lines[head : head + 3]]
    assert bare == [bare[0]] * 3


def test_markdown_marks_the_references_and_carries_the_header(results, suite):
    text = render(results(suite), "md")
    assert "| *FA-GNN* · Puny et al. 2022 [P] |" in text
    assert "| *CEGNN* · Ruhe et al. 2023 [M] |" in text
    assert "not measured here: [P] read in the primary source; [M] from memory, not verified." in text
    assert "- **Protocol:** nbody/charged/Δ1000/3000-2000-2000/mse" in text
    assert "below about .0019" in text
    assert "Failed runs:" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


@pytest.mark.parametrize("format", FORMATS)
def test_equal_records_give_equal_bytes(results, suite, tmp_path, format):
    folder = results(suite)
    again = tmp_path / "elsewhere"
    folder.rename(again)
    first = render(again, format)
    again.rename(folder)
    assert render(folder, format) == first


@pytest.mark.parametrize("format", FORMATS)
def test_written_beside_the_records_and_nothing_left_behind(results, record, format):
    folder = results([record(), record(seed=1, status="failed", protocol=None, task_card=None)])
    before = {path.name for path in folder.iterdir()}
    path = write(folder, format)
    assert path == folder / f"leaderboard.{format}"
    assert path.read_text(encoding="utf-8") == render(folder, format)
    assert {p.name for p in folder.iterdir()} == before | {path.name}


def test_output_goes_where_it_is_told(results, record, tmp_path):
    target = tmp_path / "new" / "page.html"
    assert write(results([record()]), "html", target) == target
    assert target.exists()


def test_unwritable_output_is_a_clear_error(results, record, tmp_path):
    (tmp_path / "file").write_text("")
    folder = results([record()])
    with pytest.raises(DataError, match="Cannot write the leaderboard to"):
        write(folder, "html", tmp_path / "file" / "page.html")
    with pytest.raises(DataError, match="it is a folder"):
        write(folder, "html", tmp_path)


def test_unknown_format(results, record):
    with pytest.raises(ConfigError, match=r"Unknown format 'htm'\. Did you mean 'html'"):
        render(results([record()]), "htm")


@pytest.mark.parametrize("format", FORMATS)
def test_failures_alone_can_be_rendered(results, record, format):
    assert "not finite" in render(results([record(status="failed")]), format) or format in ("csv", "svg")


def test_error_over_the_own_group_stands_beside_the_common_one(results, record):
    """Averaging over O is exact for O and shows an error over E(3): both are there, with the group's name."""
    made = [
        record(model="gnn", symmetry="group averaging O", relative=0.02),
        record(model="gnn", symmetry="none", relative=0.04),
    ]
    directory = results(made)
    averaged, plain_row = json.loads(render(directory, "json"))["rows"]
    assert averaged["equivariance"]["group"] == "E(3)"
    assert averaged["equivariance_own"]["group"] == "O"
    assert averaged["equivariance_own"]["relative"] == 2e-7
    assert plain_row["equivariance_own"] is None
    assert "| 2.0e-7 |" in render(directory, "md")
    assert 'data-key="own/relative" data-sort="2e-07"' in render(directory, "html")
    first = next(line for line in csv.DictReader(io.StringIO(render(directory, "csv"))) if line["kind"] == "measured")
    assert (first["own_group"], first["own/relative"]) == ("O", "2e-07")


def test_a_long_table_can_be_searched_filtered_and_paged(results, suite):
    """Model and family from the rows, a box for every column; shown by the script, so without it nothing is hidden."""
    text = render(results(suite), "html")
    page = Page(text)
    assert page.links == [link for link in page.links if link.startswith("#")]
    assert '<div class="find" hidden>' in text
    assert '<div class="pages" hidden>' in text
    assert 'type="search"' in text
    assert "<option>gnn</option>" in text
    assert '<option value="remul">REMUL</option>' in text
    assert '<tr data-family="frame">' in text
    heads = re.findall(r'<th scope="col" data-key="([^"]+)"', text)
    assert heads
    assert re.findall(r'type="checkbox" checked value="([^"]+)"', text) == heads


def test_a_short_table_has_no_controls_and_several_tasks_can_be_told_apart(results, record):
    one, other = record(run_id="a"), record(run_id="b", task="other", protocol="other")
    for each in (one, other):
        each["task_card"] = {**each["task_card"], "references": []}
    text = render(results([one, other]), "html")
    assert 'type="search"' not in text
    assert '<select class="task"><option value="">all</option>\n<option>nbody/charged</option>' in text


def test_the_cost_of_a_row_does_not_grow_with_the_rows(tmp_path, record):
    """Calls are counted: no number, label or sparkline of a row looks at every other row."""
    calls = {}
    for rows in (40, 160):
        folder = tmp_path / str(rows)
        for index in range(rows):
            each = record(
                model=f"m{index}", run_id=f"{index:012x}", value=1.01**index, relative=1e-6 * 1.03**index, seed=0
            )
            (folder / each["run_id"]).mkdir(parents=True)
            (folder / each["run_id"] / "record.json").write_text(json.dumps(each))
        profile = cProfile.Profile()
        profile.enable()
        assert len(list(write_all(folder, FORMATS))) == len(FORMATS)
        profile.disable()
        calls[rows] = pstats.Stats(profile).total_calls
    assert calls[160] < 1.3 * 4 * calls[40]


def test_several_formats_are_written_from_one_reading(results, suite, monkeypatch):
    folder = results(suite)
    read = []
    monkeypatch.setattr(reading, "read_file", lambda path, *rest: read.append(path) or read_file(path, *rest))
    written = list(write_all(folder, FORMATS))
    assert len(read) == len(set(read)) == len(suite)
    assert [path.read_text(encoding="utf-8") for path in written] == [render(folder, form) for form in FORMATS]
