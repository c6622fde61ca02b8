"""Objects by path: what a user's module does when it is imported is one clear error."""

import pytest

from geoequiv.cli import main
from geoequiv.errors import GeoequivError
from geoequiv.importing import import_object

MODULES = {
    "exits_with_0": "import sys\nsys.exit()\n",
    "exits_with_3": "import sys\nsys.exit(3)\n",
    "exits_with_words": "raise SystemExit('usage: …')\n",
    "raises": "1 / 0\n",
    "raises_a_base": "class Odd(BaseException): ...\nraise Odd('so')\n",
    "is_no_python": "def (\n",
    "is_interrupted": "raise KeyboardInterrupt\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for name, code in MODULES.items():
        (tmp_path / f"imported_{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("exits_with_0", r"importing imported_exits_with_0 calls sys.exit\(None\). Put what .* __name__"),
        ("exits_with_3", r"calls sys.exit\(3\)"),
        ("exits_with_words", r"calls sys.exit\('usage: …'\)"),
        ("raises", "ZeroDivisionError: division by zero"),
        ("raises_a_base", "Odd: so"),
        ("is_no_python", "SyntaxError"),
    ],
)
def test_a_module_that_cannot_be_imported(name, message):
    with pytest.raises(GeoequivError, match=f"Cannot import the model 'imported_{name}:Net': .*{message}"):
        import_object("model", f"imported_{name}:Net")


def test_an_interrupt_is_not_an_error_of_the_module():
    with pytest.raises(KeyboardInterrupt):
        import_object("model", "imported_is_interrupted:Net")


@pytest.mark.parametrize("command", [["run", "suite.yaml"], ["check", "imported_exits_with_0:Net"]])
def test_a_command_does_not_end_with_the_module_that_it_imports(command, folder, tmp_path, capsys):
    suite = "name: one\ntask: nbody/charged\nentries: [{model: 'imported_exits_with_0:Net'}]\n"
    (tmp_path / "suite.yaml").write_text(suite, encoding="utf-8")
    more = ["--signature", "pos: point -> pos: point", "--group", "SO(3)"] if command[0] == "check" else []
    assert main([*command, *more]) == 2
    error = capsys.readouterr().err
    assert "Cannot import the model 'imported_exits_with_0:Net'" in error
    assert "suite.yaml, line 3" in error or command[0] == "check"
