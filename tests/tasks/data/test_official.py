"""Official files: fetched once, resumed, checked; every trouble names file and remedy."""

import hashlib
import io
import re
import socket
import struct
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from geoequiv.cli import main
from geoequiv.errors import DataError
from geoequiv.tasks.data.official import OfficialFile, alone, find, obtain
from geoequiv.tasks.data.rmd17_files import unpack

CONTENT = bytes(range(256)) * 40
SUM = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT at any address; `/short` breaks off half way, `/chunks` and `/reset` do so less politely, `/whole`
    ignores ranges, `/slow` rests half way until `go_on`, `/unknown` tells no size (`/unknown/short` breaks off as
    well), `/gone` is a 404."""

    asked: list[str | None] = []  # noqa: RUF012  (reset by the fixture)
    go_on = threading.Event()

    def do_GET(self):
        self.asked.append(self.headers["Range"])
        first = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "bytes=0-")[1])
        if "whole" in self.path:
            first = 0
        if "gone" in self.path or first >= len(CONTENT):
            self.send_response(404 if "gone" in self.path else 416)
            self.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if "chunks" in self.path:  # announces 4096 bytes, sends 16, and goes
            self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + CONTENT[:16])
            return
        if "reset" in self.path:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10240\r\n\r\n" + CONTENT[:16])
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        self.send_response(206 if first else 200)
        if "unknown" not in self.path:
            self.send_header("Content-Length", str(len(CONTENT) - first))
        self.end_headers()
        body = CONTENT[first:]
        if "slow" in self.path:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.go_on.wait(10)
            body = body[len(body) // 2 :]
        self.wfile.write(body[: len(body) // 2] if "short" in self.path else body)

    def log_message(self, *args):
        """Quiet."""


@pytest.fixture
def url():
    Server.asked = []
    Server.go_on = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def official(url, sha256=SUM):
    return OfficialFile("data.bin", url, sha256, "CC0")


def test_a_file_is_fetched_once(url, tmp_path, capsys):
    path = obtain(official(f"{url}/a"), tmp_path / "deep" / "folder")
    assert path.read_bytes() == CONTENT
    assert "Licence: CC0" in capsys.readouterr().err
    assert obtain(official(f"{url}/a"), tmp_path / "deep" / "folder") == path
    assert Server.asked == [None]
    assert visible(path.parent) == ["data.bin"]


def visible(folder):
    """Names of the files, without the lock."""
    return sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))


@pytest.mark.parametrize("sha256", [SUM, None])
def test_two_that_want_the_same_file_take_turns(url, tmp_path, monkeypatch, sha256):
    monkeypatch.setattr("geoequiv.tasks.data.official.BLOCK", 64)
    found = []
    fetchers = [threading.Thread(target=lambda: found.append(obtain(official(f"{url}/slow", sha256), tmp_path)))
                for _ in range(2)]  # fmt: skip
    fetchers[0].start()
    until(lambda: (tmp_path / "data.bin.part").exists())
    fetchers[1].start()
    time.sleep(0.2)  # enough for the second to ask, if it were to ask
    Server.go_on.set()
    for each in fetchers:
        each.join(10)
    assert found == [tmp_path / "data.bin"] * 2
    assert found[0].read_bytes() == CONTENT
    assert Server.asked == [None]
    assert visible(tmp_path) == (["data.bin"] if sha256 else ["data.bin", "data.bin.sha256"])


def until(true):
    """Wait for something that another thread does."""
    for _ in range(1000):
        if true():
            return
        time.sleep(0.005)
    raise AssertionError("it did not happen")


def test_a_part_that_another_program_wrote_to_is_not_taken(url, tmp_path):
    fetcher_error = []

    def fetch():
        with pytest.raises(DataError) as raised:
            obtain(official(f"{url}/slow", None), tmp_path)
        fetcher_error.append(str(raised.value))

    fetcher = threading.Thread(target=fetch)
    fetcher.start()
    part = tmp_path / "data.bin.part"
    until(part.exists)
    with open(part, "ab") as other:
        other.write(b"other")
    Server.go_on.set()
    fetcher.join(10)
    assert re.search(rf"{len(CONTENT) + 5} bytes came .* where {len(CONTENT)} were announced", fetcher_error[0])
    assert visible(tmp_path) == []


def test_what_another_process_unpacked_is_left_alone(tmp_path):
    names = ("a.npz", "b.npz")
    with tarfile.open(tmp_path / "rmd17.tar.bz2", "w:bz2") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"new"))
    (tmp_path / "a.npz").write_bytes(b"old")
    with alone(tmp_path / "rmd17.tar.bz2"):
        unpacker = threading.Thread(target=unpack, args=(tmp_path / "rmd17.tar.bz2", tmp_path, names))
        unpacker.start()
        unpacker.join(0.2)
        assert visible(tmp_path) == ["a.npz", "rmd17.tar.bz2"]
    unpacker.join(10)
    assert (tmp_path / "a.npz").read_bytes() == b"old"
    assert (tmp_path / "b.npz").read_bytes() == b"new"
    assert visible(tmp_path) == ["a.npz", "b.npz", "rmd17.tar.bz2"]


@pytest.mark.parametrize("where", ["resumes", "whole"])
def test_a_download_goes_on_where_it_stopped(url, tmp_path, where):
    with pytest.raises(DataError, match=rf"broke off after {len(CONTENT) // 2} of {len(CONTENT)} bytes.*run again"):
        obtain(official(f"{url}/short"), tmp_path)
    assert not (tmp_path / "data.bin").exists()
    path = obtain(official(f"{url}/{where}"), tmp_path)
    assert path.read_bytes() == CONTENT
    assert Server.asked == [None, f"bytes={len(CONTENT) // 2}-"]


@pytest.mark.parametrize("where", ["chunks", "reset"])
def test_a_connection_that_breaks_is_told_and_resumed(url, tmp_path, where):
    with pytest.raises(DataError, match=r"broke off.*data\.bin\.part: run again to go on"):
        obtain(official(f"{url}/{where}"), tmp_path)
    assert not (tmp_path / "data.bin").exists()
    assert obtain(official(f"{url}/a"), tmp_path).read_bytes() == CONTENT


@pytest.fixture
def archive(monkeypatch):
    """CONTENT is an npz archive."""
    file = io.BytesIO()
    np.savez(file, R=np.arange(300.0))
    monkeypatch.setitem(globals(), "CONTENT", file.getvalue())
    return file.getvalue()


@pytest.mark.usefixtures("archive")
def test_half_an_archive_of_unknown_size_is_not_taken_for_the_whole(url, tmp_path):
    with pytest.raises(DataError, match=r"broke off: .*data\.npz\.part is no whole archive.*run again to go on"):
        obtain(OfficialFile("data.npz", f"{url}/unknown/short", None, "CC0"), tmp_path)
    assert visible(tmp_path) == ["data.npz.part"]
    path = obtain(OfficialFile("data.npz", f"{url}/unknown", None, "CC0"), tmp_path)
    assert path.read_bytes() == CONTENT
    assert Server.asked == [None, f"bytes={len(CONTENT) // 2}-"]


@pytest.mark.parametrize("where", ["a", "unknown"])
def test_a_page_in_place_of_an_archive_is_kept_aside(url, tmp_path, where):
    file = OfficialFile("data.npz", f"{url}/{where}", None, "CC0")
    if where == "unknown":  # the second time the server says that this is all
        with pytest.raises(DataError, match="no whole archive"):
            obtain(file, tmp_path)
    with pytest.raises(DataError, match=r"is no npz archive. It is kept as .*data\.npz\.mismatch"):
        obtain(file, tmp_path)
    assert visible(tmp_path) == ["data.npz.mismatch"]


def test_a_part_longer_than_the_file_is_fetched_anew(url, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT + b"of another file")
    assert obtain(official(f"{url}/a", None), tmp_path).read_bytes() == CONTENT
    assert Server.asked == [f"bytes={len(CONTENT) + 15}-", None]


def test_a_whole_part_is_taken_as_it_is(url, tmp_path):
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert obtain(official(f"{url}/a"), tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_shows_both_sums_and_keeps_the_file(url, tmp_path):
    wrong = "0" * 64
    with pytest.raises(DataError, match=rf"sha256 is {SUM}, expected {wrong}.*mismatch"):
        obtain(official(f"{url}/a", wrong), tmp_path)
    assert (tmp_path / "data.bin.mismatch").read_bytes() == CONTENT
    assert not (tmp_path / "data.bin").exists()


def test_a_sum_nobody_published_is_kept_from_the_first_download(url, tmp_path):
    path = obtain(official(f"{url}/a", None), tmp_path)
    assert (tmp_path / "data.bin.sha256").read_text().split() == [SUM]
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(DataError, match="is not the expected file"):
        obtain(official(f"{url}/a", None), tmp_path)


def test_a_sum_that_was_lost_is_named(url, tmp_path, capsys):
    path = obtain(official(f"{url}/a", None), tmp_path / "mocap" / "cmu_35")
    path.with_name(path.name + ".sha256").write_text("")
    assert main(["data", "verify", "--data-dir", str(tmp_path)]) == 1
    assert "must hold a sha256 and does not: delete it to trust" in capsys.readouterr().out
    with pytest.raises(DataError, match="must hold a sha256 and does not"):
        obtain(official(f"{url}/a", None), path.parent)


def test_downloaded_files_are_listed_and_verified(url, tmp_path, capsys):
    path = obtain(official(f"{url}/a", None), tmp_path / "mocap" / "cmu_35")
    folder = ["--data-dir", str(tmp_path)]
    assert main(["data", "list", *folder]) == 0
    assert f"cmu_35                    0.0 MB  {path.name}  ok" in capsys.readouterr().out
    assert main(["data", "verify", *folder]) == 0
    capsys.readouterr()
    assert main(["data", "verify", "mocap/walk", *folder]) == 0
    assert capsys.readouterr().out == f"{path}: ok\n"
    assert main(["data", "verify", "mocap/run", *folder]) == 1
    assert "No data of mocap/run" in capsys.readouterr().out
    path.write_bytes(CONTENT[1:])
    assert main(["data", "verify", "mocap/walk", *folder]) == 1
    assert main(["data", "verify", *folder]) == 1
    assert f"{path}: damaged: its sha256 is {hashlib.sha256(CONTENT[1:]).hexdigest()}, expected {SUM}" in (
        capsys.readouterr().out
    )
    assert path.exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/x", "gone"])
def test_without_network_it_says_which_file_to_put_where(url, tmp_path, address):
    target = address if address.startswith("http") else f"{url}/gone"
    with pytest.raises(DataError, match=rf"put the file 'data\.bin' into {tmp_path} by hand"):
        obtain(official(target), tmp_path)


def test_what_serves_instead_is_named(tmp_path):
    file = OfficialFile("data.bin", "http://127.0.0.1:9/x", None, "CC0", "Its twin needs no file.")
    with pytest.raises(DataError, match=r"GEOEQUIV_DATA\. Its twin needs no file\.$"):
        obtain(file, tmp_path)


def test_only_the_web_is_a_source(tmp_path):
    with pytest.raises(DataError, match="come by http"):
        obtain(official("file:///etc/hostname"), tmp_path)


class FullDisk:
    """An open file on a disk that has room for so many bytes more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *told):
        self.file.close()

    def write(self, block):
        taken = self.file.write(block[: self.room])
        self.room -= taken
        if taken < len(block):
            raise OSError(28, "No space left on device")
        return taken


def test_a_full_disk_keeps_what_came(url, tmp_path, monkeypatch):
    monkeypatch.setattr("geoequiv.tasks.data.official.BLOCK", 100)
    opened = lambda path, how: FullDisk(open(path, how), 250)  # noqa: E731, SIM115
    monkeypatch.setattr("geoequiv.tasks.data.official.open", opened, raising=False)
    with pytest.raises(DataError, match=r"No space left on device.*run again to go on"):
        obtain(official(f"{url}/a"), tmp_path)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:250]
    assert not (tmp_path / "data.bin").exists()
    monkeypatch.undo()
    assert obtain(official(f"{url}/a"), tmp_path).read_bytes() == CONTENT
    assert Server.asked == [None, "bytes=250-"]


def test_a_folder_that_cannot_be_written_is_named(url, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"Downloading .* to .*file/data\.bin\.part stopped"):
        obtain(official(f"{url}/a"), tmp_path / "file")


def test_the_first_folder_wins(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "b" / "x").touch()
    assert find("x", [tmp_path / "a", tmp_path / "b"]) == tmp_path / "b" / "x"
    assert find("y", [tmp_path / "a"]) is None
