"""Text of files: its size, and characters that steer a terminal or a page."""

import unicodedata

import pytest

from geoequiv.cli import main
from geoequiv.config import read_yaml
from geoequiv.errors import ConfigError, DataError
from geoequiv.tasks.data.asf_amc import read_asf
from geoequiv.tasks.data.bvh import read_bvh
from geoequiv.tasks.data.mesh_files import read_mesh
from geoequiv.tasks.data.rmd17_files import read_index
from geoequiv.tasks.data.xyz import read_frames
from geoequiv.text import control_character, read_text, shown

READERS = {
    "a.asf": read_asf, "a.bvh": read_bvh, "a.xyz": read_frames, "a.csv": lambda path: read_index(path, 9),
    "a.obj": read_mesh, "a.off": read_mesh,
}  # fmt: skip
STEERING = ["\x00", "\x1b[2J", "\x7f", "\x9b", "\u202e", "\u2066"]


def test_every_control_character_is_found_but_tab_and_line_feed():
    for code in range(0x2100):
        character = chr(code)
        steers = unicodedata.category(character) == "Cc" and character not in "\n\t"
        steers |= unicodedata.bidirectional(character) in {
            "LRE",
            "RLE",
            "PDF",
            "LRO",
            "RLO",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        }
        steers |= character in "\u061c\u200e\u200f"
        assert (control_character(f"a{character}b") == character) == steers, hex(code)
        assert (shown(character) == character) != steers


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("steering", STEERING)
def test_a_data_file_with_a_character_that_steers_a_terminal_is_refused(tmp_path, name, steering):
    (tmp_path / name).write_text(f"1\n{steering}", encoding="utf-8")
    with pytest.raises(DataError, match=rf"(?s){name}.*control character") as found:
        READERS[name](tmp_path / name)
    assert control_character(str(found.value)) is None


@pytest.mark.parametrize("name", READERS)
def test_a_file_larger_than_memory_is_refused_before_it_is_read(tmp_path, name, monkeypatch):
    monkeypatch.setattr("geoequiv.text.os.sysconf", lambda _: 1 << 10)  # a machine of one megabyte
    with open(tmp_path / name, "wb") as file:
        file.truncate(8 << 30)  # takes no place on the disk
    with pytest.raises(DataError, match=rf"(?s){name}.*it has 8\.6 GB, and at most 131\.1 kB are read"):
        READERS[name](tmp_path / name)


def test_a_suite_of_gigabytes_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "suite.yaml", "wb") as file:
        file.truncate(8 << 30)
    with pytest.raises(ConfigError, match=r"suite\.yaml: it has 8\.6 GB, and at most 16\.8 MB are read"):
        read_yaml(tmp_path / "suite.yaml")


def test_text_has_one_kind_of_line_end_and_no_byte_order_mark(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffå\r\nb".encode())
    assert read_text(tmp_path / "a") == "å\nb"


def test_an_error_of_the_command_line_steers_no_terminal(capsys):
    assert main(["leaderboard", "results\x1b[2J\u202e"]) == 2
    assert r"results\x1b[2J\u202e" in capsys.readouterr().err
