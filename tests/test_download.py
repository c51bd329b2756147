"""Downloads from a server of this test: sums are checked, and nothing half is left."""

import gzip
import hashlib
import http.server
import struct
import threading
import zipfile
from typing import ClassVar

import numpy as np
import pytest

from minae.datasets import download, load_images
from minae.datasets.download import EMNIST_SPLITS, FILES, SOURCES, Source
from minae.errors import MinaeError


def idx(array: np.ndarray) -> bytes:
    magic = bytes((0, 0, 8, array.ndim))
    return gzip.compress(magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes())


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
LABELS = np.arange(6, dtype=np.uint8)
CONTENTS = [idx(IMAGES), idx(LABELS), idx(IMAGES[:2]), idx(LABELS[:2])]


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder, its address, and a cache folder of its own."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        requests: ClassVar[list[str]] = []

        def __init__(self, *arguments):
            super().__init__(*arguments, directory=folder)

        def do_GET(self):
            self.requests.append(self.path)
            if self.path.startswith("/short/"):
                self.send_response(200)
                self.send_header("Content-Length", "1000000")
                self.end_headers()
                self.wfile.write(b"too little")
            else:
                super().do_GET()

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("MINAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/", Handler.requests
        server.shutdown()
        thread.join()


def offer(folder, monkeypatch, mirrors, sums=None):
    for name, content in zip(FILES, CONTENTS, strict=True):
        (folder / name).write_bytes(content)
    sums = sums or [hashlib.sha256(content).hexdigest() for content in CONTENTS]
    source = Source(mirrors, dict(zip(FILES, sums, strict=True)))
    monkeypatch.setitem(SOURCES, "kmnist", source)


def leftovers(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_a_set_is_fetched_once(served, tmp_path, monkeypatch):
    folder, url, requests = served
    offer(folder, monkeypatch, (url,))
    found = download("kmnist")
    assert found == tmp_path / "cache" / "kmnist"
    assert leftovers(tmp_path) == sorted(FILES)
    data = load_images(found)
    np.testing.assert_array_equal(data.train_images, IMAGES.reshape(6, 784))
    assert data.name == "kmnist"
    count = len(requests)
    assert download("kmnist") == found
    assert len(requests) == count == 4


def test_the_next_mirror_is_tried(served, tmp_path, monkeypatch):
    folder, url, requests = served
    offer(folder, monkeypatch, (url + "missing/", url + "short/", url))
    download("kmnist")
    assert leftovers(tmp_path) == sorted(FILES)
    assert len(requests) == 12


def test_another_sum_is_refused_and_nothing_left(served, tmp_path, monkeypatch):
    folder, url, _ = served
    offer(folder, monkeypatch, (url,), sums=["0" * 64] * 4)
    with pytest.raises(MinaeError, match=r"SHA-256 .*…, 000000000000… wanted"):
        download("kmnist")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "reason"), [("short/", "10 of 1000000 bytes came"), ("missing/", "File not found")]
)
def test_a_broken_download_leaves_nothing(served, place, reason, tmp_path, monkeypatch):
    folder, url, _ = served
    offer(folder, monkeypatch, (url + place,))
    with pytest.raises(MinaeError, match=reason):
        download("kmnist")
    assert leftovers(tmp_path) == []


def test_emnist_comes_in_an_archive(served, tmp_path, monkeypatch):
    folder, url, _ = served
    members = SOURCES["emnist-letters"].members
    assert len(members) == 4
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        for member, content in zip(members, CONTENTS, strict=True):
            archive.writestr(member, content)
        archive.writestr("gzip/emnist-digits-train-images-idx3-ubyte.gz", b"left where it is")
    content = (folder / "gzip.zip").read_bytes()
    source = Source((url,), {"gzip.zip": hashlib.sha256(content).hexdigest()}, members)
    monkeypatch.setitem(SOURCES, "emnist-letters", source)
    data = load_images(download("emnist-letters"))
    np.testing.assert_array_equal(data.train_images, IMAGES.transpose(0, 2, 1).reshape(6, 784))
    assert len(leftovers(tmp_path)) == 4


def test_unknown_sets_and_unwritable_folders(tmp_path, monkeypatch):
    with pytest.raises(MinaeError, match="unknown set 'mnistt' to download; choose one of mnist,"):
        download("mnistt")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINAE_CACHE", str(tmp_path / "file"))
    with pytest.raises(MinaeError, match="cannot be written to"):
        download("kmnist")


def test_every_source_has_four_files_and_whole_sums():
    assert {f"emnist-{split}" for split in EMNIST_SPLITS} < SOURCES.keys()
    for source in SOURCES.values():
        assert len(source.members or source.sha256) == 4
        assert all(len(sum) == 64 and int(sum, 16) for sum in source.sha256.values())
