"""Files replaced in one step: the former content or the new one, whatever happens, and nothing beside it."""

import os
import threading

import pytest

from geoequiv.files import replace_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("alone", [False, True])
def test_the_content_is_replaced_and_nothing_is_left(tmp_path, alone):
    path = tmp_path / "file"
    for content in (b"old", b"new"):
        replace_file(path, lambda file, content=content: file.write(content), alone=alone)
        assert path.read_bytes() == content
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ZeroDivisionError])
def test_what_is_interrupted_leaves_the_former_file(tmp_path, alone, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(error):
        replace_file(path, write, alone=alone)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_what_a_kill_left_behind_is_overwritten_by_the_one_that_writes_alone(tmp_path):
    path = tmp_path / "file"
    (tmp_path / ".file.tmp").write_bytes(b"left by a kill, and longer than the content")
    replace_file(path, lambda file: file.write(b"new"), alone=True)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_several_may_write_at_once(tmp_path):
    path, together = tmp_path / "file", threading.Barrier(4)

    def write(file, digit):
        together.wait(timeout=10)  # all four are writing now
        file.write(digit * 100_000)

    threads = [
        threading.Thread(target=replace_file, args=(path, lambda file, digit=digit: write(file, digit)))
        for digit in (b"0", b"1", b"2", b"3")
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    content = path.read_bytes()
    assert len(content) == 100_000
    assert len(set(content)) == 1
    assert names(tmp_path) == ["file"]


def test_rights_are_those_of_any_new_file(tmp_path):
    mask = os.umask(0o027)
    try:
        replace_file(tmp_path / "file", lambda file: file.write(b""))
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("planted", ["file", ".file.tmp"])
def test_a_planted_link_is_replaced_and_what_it_points_to_is_left_alone(tmp_path, alone, planted):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.write_bytes(b"mine")
    folder.mkdir()
    (folder / planted).symlink_to(outside)
    replace_file(folder / "file", lambda file: file.write(b"new"), alone=alone)
    assert outside.read_bytes() == b"mine"
    assert (folder / "file").read_bytes() == b"new"
    assert not (folder / "file").is_symlink()
