"""Downloads, against a server on loopback."""

import hashlib
import stat
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sfumato.datasets import load_dataset
from sfumato.datasets.fashion_mnist import FASHION_MNIST
from sfumato.datasets.locate import OfficialFile, download
from sfumato.datasets.mnist import MNIST
from sfumato.datasets.registry import DATASETS
from sfumato.errors import DownloadError
from sfumato.files import cache_folder


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    root = tmp_path / "served"
    root.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=root)) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield root, f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()


def redirect(monkeypatch, tmp_path, address):
    """Point MNIST at ``address`` and look nowhere but in a cache of this test's own."""
    elsewhere = replace(MNIST, address=address)
    monkeypatch.setitem(DATASETS, "mnist", elsewhere.load)
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "cache"))
    return elsewhere.files


def test_a_missing_set_is_downloaded_once(mnist, monkeypatch, tmp_path, server):
    from support import SHARED_DATA

    root, address = server
    redirect(monkeypatch, tmp_path, address)
    for file in (SHARED_DATA / "mnist").iterdir():
        (root / file.name).write_bytes(file.read_bytes())
    assert load_dataset("mnist").checksum() == mnist.checksum()
    for file in root.iterdir():
        file.unlink()
    assert load_dataset("mnist").checksum() == mnist.checksum()


def test_a_download_with_another_checksum_is_refused(monkeypatch, tmp_path, server):
    root, address = server
    for file in redirect(monkeypatch, tmp_path, address).values():
        (root / file.name).write_bytes(b"something else")
    with pytest.raises(DownloadError, match="not the published md5"):
        load_dataset("mnist")


def test_an_unreachable_mirror_says_where_to_put_the_file(monkeypatch, tmp_path):
    redirect(monkeypatch, tmp_path, "http://127.0.0.1:9/")
    with pytest.raises(
        DownloadError, match=r"\(Connection refused\); put the file into --data-dir or SFUMATO_DATA"
    ):
        load_dataset("mnist")


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path, server):
    redirect(monkeypatch, tmp_path, server[1])
    cache = cache_folder("data")
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match=rf"\({cache}.*: .+\); put the file into"):
        load_dataset("mnist")


def test_addresses_and_checksums_are_of_official_mirrors():
    for official in (MNIST, FASHION_MNIST):
        for file in official.files.values():
            assert file.address.startswith("http")
            assert file.address.endswith(file.name)
            assert len(file.published_md5) == len(hashlib.md5(b"").hexdigest())


def test_what_is_downloaded_can_be_read_by_whom_the_umask_says(server, monkeypatch, tmp_path):
    root, address = server
    (root / "small.gz").write_bytes(b"data")
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "cache"))
    md5 = hashlib.md5(b"data", usedforsecurity=False).hexdigest()
    file = OfficialFile(name="small.gz", address=f"{address}small.gz", published_md5=md5, content_sha256="")
    usual = tmp_path / "usual"
    usual.touch()
    assert download(file, "small").stat().st_mode == usual.stat().st_mode
    download(file, "small").chmod(0o600)
    assert stat.S_IMODE(download(file, "small").stat().st_mode) == 0o600, "the user's own choice stays"
