"""Writing: mistakes and failures are told apart, files are whole, and nobody foresees temporary names."""

import errno
import os
import stat
from pathlib import Path

import pytest

from sfumato import files
from sfumato.errors import OutputError, WriteError
from sfumato.files import (
    cache_folder,
    cannot_write,
    require_writable,
    share_as_usual,
    write_bytes,
    write_text,
)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, 1),
        (errno.EDQUOT, 1),
        (errno.EIO, 1),
        (errno.EROFS, 1),
        (errno.EFBIG, 1),
        (errno.ENOENT, 1),
        (errno.ENOTDIR, 2),
        (errno.EISDIR, 2),
        (errno.EACCES, 2),
        (errno.ENAMETOOLONG, 2),
        (errno.ELOOP, 2),
    ],
)
def test_a_full_or_broken_disk_is_a_failure_and_a_bad_path_a_mistake(number, code):
    error = cannot_write(Path("t.tsv"), OSError(number, os.strerror(number)))
    assert error.exit_code == code
    assert str(error) == f"t.tsv: cannot be written ({os.strerror(number)})"


def test_what_does_not_fit_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "t.tsv"
    write_text(path, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(WriteError, match=r"t\.tsv: cannot be written \(No space left on device\)"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["t.tsv"]


def test_a_full_device_is_a_failure():
    with pytest.raises(WriteError, match="No space left on device"):
        write_text(Path("/dev/full"), "text")
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode), "it is not replaced"


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    # the name that was used before, and the one used now if somebody could foresee it
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0" * 2 * size)
    for name in (f".t.tsv.{os.getpid()}.part", f".sfumato-{'0' * 16}.part"):
        (tmp_path / name).symlink_to(victim)
    with pytest.raises(OutputError, match="File exists"):
        write_text(tmp_path / "t.tsv", "attack")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "t.tsv").exists()


def test_temporary_names_differ(tmp_path, monkeypatch):
    names = []
    plain = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: names.append(self.name) or plain(self, to))
    for _ in range(3):
        write_bytes(tmp_path / "t.tsv", b"")
    assert len(set(names)) == 3
    assert not any(str(os.getpid()) in name.split("-") for name in names)


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_umask_decides_who_may_read(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "t.tsv", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "t.tsv").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_a_file_that_another_package_made_is_shared_as_the_umask_says(tmp_path, mask):
    private = tmp_path / "download.gz"
    private.touch(mode=0o600)
    before = os.umask(mask)
    try:
        share_as_usual(private)
    finally:
        os.umask(before)
    assert stat.S_IMODE(private.stat().st_mode) == 0o666 & ~mask
    assert list(tmp_path.iterdir()) == [private]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a" * 300, "has 300 bytes; at most 255 are possible"),
        ("é" * 128, "has 256 bytes; at most 255"),
        ("new/" + "a" * 300 + "/t.tsv", "has 300 bytes"),
        ("/".join(["a" * 250] * 20), "bytes; at most 4095 are possible"),
        ("t\0.tsv", "holds a NUL character"),
        ("folder", "is a folder; choose the name of a file"),
        ("file/t.tsv", "is not a folder"),
    ],
)
def test_paths_that_can_be_no_file_are_refused_before_any_work(tmp_path, name, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=words) as refused:
        require_writable(tmp_path / name)
    assert refused.value.exit_code == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_a_name_of_the_greatest_length_can_be_written(tmp_path):
    path = tmp_path / ("a" * 255)
    require_writable(path)
    write_text(path, "text")
    assert path.read_text() == "text"


def test_the_environment_names_the_cache_folder_of_every_kind(monkeypatch, tmp_path):
    monkeypatch.setenv("SFUMATO_CACHE", str(tmp_path / "mine"))
    kinds = ("data", "tuning", "boundaries")
    assert [cache_folder(kind) for kind in kinds] == [tmp_path / "mine" / kind for kind in kinds]
    monkeypatch.delenv("SFUMATO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "usual"))
    assert [cache_folder(kind) for kind in kinds] == [tmp_path / "usual/sfumato" / kind for kind in kinds]
