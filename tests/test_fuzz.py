"""A seeded share of the malformed inputs of `benchmarks/fuzz.py`: refused with a clear error, or read."""

import json
from collections import Counter
from pathlib import Path

import pytest

import fuzz
import fuzz_kinds
from fuzz_kinds import KINDS, Kind
from geoequiv.errors import DataError

ROOT = Path(__file__).parents[1]
INPUTS = {"c3d": 12, "command line": 12}


@pytest.fixture(autouse=True)
def needed(request):
    kind = request.node.callspec.params.get("kind") if hasattr(request.node, "callspec") else None
    for name, package in (("c3d", "ezc3d"), ("extxyz", "ase")):
        if kind is not None and kind.name == name:
            pytest.importorskip(package)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_malformed_inputs_are_refused_or_read(kind):
    number = INPUTS.get(kind.name, 30)
    counts, findings = fuzz.fuzz([kind], number, seed=0)
    assert findings == []
    assert counts[kind.name]["error"] > number / 10


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name not in fuzz_kinds.OF_TEXTS], ids=lambda k: k.name)
def test_the_seed_itself_is_accepted(kind, tmp_path):
    kind.read(kind.seed(tmp_path), tmp_path)


def test_the_texts_themselves_are_accepted(tmp_path):
    fuzz_kinds.workplace(tmp_path)
    for text in fuzz_kinds.SIGNATURES:
        assert fuzz_kinds.not_printed_back(fuzz_kinds.signature(text, tmp_path), None, "") == ""
    for text in fuzz_kinds.GROUPS:
        assert fuzz_kinds.not_printed_back(fuzz_kinds.group(text, tmp_path), None, "") == ""


def loop(value, folder):
    while True:
        pass


def refuse(value, folder):
    raise DataError("no")


def silence(value, folder):
    raise DataError("")


def test_each_outcome_is_found(monkeypatch):
    """The tester tested, on readers that fail in each way."""
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    readers = {
        "error": refuse, "traceback": lambda value, folder: 1 // 0, "hang": loop,
        "silent": lambda value, folder: len(value), "accepted": lambda value, folder: "x",
    }  # fmt: skip

    def judge(value, whole, mutation):
        return "another length" if isinstance(value, int) else ""

    for outcome, read in [*readers.items(), ("traceback", silence)]:
        kind = Kind("made up", lambda folder: "text", lambda text, rng: ("cut", text[:2]), read, judge)
        counts, findings = fuzz.fuzz([kind], 1, 0)
        assert dict(counts["made up"]) == {outcome: 1}
        assert len(findings) == (outcome in ("traceback", "hang", "silent"))


def test_inputs_are_the_same_for_a_seed():
    kind = next(kind for kind in KINDS if kind.name == "bvh")
    first, again, other = ([each[2] for each in fuzz.judged(kind, 20, seed)] for seed in (0, 0, 1))
    assert first == again != other


def test_the_page_has_the_committed_outcomes():
    outcomes = json.loads((ROOT / "benchmarks/results/fuzz/outcomes.json").read_text())["outcomes"]
    page = (ROOT / "docs/reference/faults.md").read_text()
    assert fuzz.table({name: Counter(row) for name, row in outcomes.items()}) in page
