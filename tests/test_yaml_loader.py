"""YAML that is too much: one error with its line, at once; and the data of users that must not be refused."""

import pytest

from geoequiv.bench.suite import read_suite
from geoequiv.config import parse_value, read_yaml
from geoequiv.errors import ConfigError

HEAD = "name: x\ntask: {name: nbody/charged, train: 8, val: 4, test: 4}\n"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{former}'] * 10)}]\n" for former, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "line 6: not valid YAML: more than 500,000 values, those behind aliases counted each time"),
        ("a: " + "[" * 500 + "]" * 500, "line 1: not valid YAML: nested more than 50 levels deep"),
        ("a: " + "[" * 20_000 + "]" * 20_000, "nested more than 50 levels deep"),
        ("a: " + "{b: " * 500 + "1" + "}" * 500, "nested more than 50 levels deep"),
        ("a:\n  - " + "9" * 5000, "line 2: not valid YAML: a number of 5000 digits; at most 300"),
        ("a: 0x" + "f" * 5000, "a number of 5002 digits"),
        ('a: "b\\0c"', r"line 1: not valid YAML: a control character \(U\+0000\) in text"),
        ('a: "b\\ec"', r"a control character \(U\+001B\)"),
        ('"a\\u202e": 1', r"a control character \(U\+202E\)"),
        (
            "a: 010",
            "line 1: not valid YAML: '010' is a number in base 8 in YAML 1.1: write it without the leading zero",
        ),
        ("a: &a [*a]", "an alias that contains itself"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_a_document_that_is_too_much(tmp_path, text, message):
    path = tmp_path / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)


def test_what_is_large_and_sound_is_read(tmp_path):
    path = tmp_path / "suite.yaml"
    shared = "base: &base {lr: 5e-4, text: 'β — 1\\n'}\n" + "".join(f"k{i}: *base\n" for i in range(100))
    path.write_text(f"{shared}seeds: [{', '.join(map(str, range(20_000)))}]\n", encoding="utf-8")
    data = read_yaml(path).data
    assert len(data["seeds"]) == 20_000
    assert data["k99"] == {"lr": 5e-4, "text": "β — 1\\n"}
    assert parse_value("9" * 300, "override") == 10**300 - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"seeds: [{2**64}]\nentries: [{{model: linear}}]",
            r"key 'seeds\[0\]': expected less than 1844674407370955",
        ),
        ("align: {angles: [.nan]}\nentries: [{model: linear}]", r"'align\.angles\[0\]': expected a finite number"),
        ("entries: [{model: 'builtins:dict'}]", r"'entries\[0\]\.model': .* does not say which arguments it takes"),
    ],
)
def test_values_that_no_run_could_use(tmp_path, text, message):
    path = tmp_path / "suite.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_suite(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("4:00:00", "4:00:00"),
        ("1:30.5", "1:30.5"),
        ("1_000", 1000),
        ("-0.5", -0.5),
        ("5e-4", 5e-4),
        ("0x1f", 31),
    ],
)
def test_numbers_are_those_that_a_reader_sees(text, value):
    """YAML 1.1 reads 1:30 in base 60, as 90."""
    assert parse_value(text, "override") == value
    assert type(parse_value(text, "override")) is type(value)
