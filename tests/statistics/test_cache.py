"""Boundaries on disk: found by all parameters, never trusted when damaged."""

import json

import pytest

from sfumato.statistics import cache

ARGUMENTS = (0.3, 0.01, (16, 32, 64), 1e5)


@pytest.fixture
def fresh():
    """Forget what this process remembers, so that the disk is asked."""
    cache._remembered.cache_clear()
    yield cache._remembered.cache_clear
    cache._remembered.cache_clear()


def test_a_second_call_reads_the_very_same_boundaries_from_disk(tmp_path, fresh, monkeypatch):
    first = cache.cached_boundaries(*ARGUMENTS, tmp_path)
    fresh()
    monkeypatch.setattr(cache, "bayes_boundaries", lambda *_: pytest.fail("planned again"))
    assert cache.cached_boundaries(*ARGUMENTS, tmp_path) == first


@pytest.mark.parametrize(
    "other",
    [
        (0.3000000001, 0.01, (16, 32, 64), 1e5),
        (0.3, 0.02, (16, 32, 64), 1e5),
        (0.3, 0.01, (16, 32, 65), 1e5),
        (0.3, 0.01, (16, 32, 64), 2e5),
    ],
)
def test_every_parameter_is_part_of_the_key(tmp_path, fresh, other):
    cache.cached_boundaries(*ARGUMENTS, tmp_path)
    cache.cached_boundaries(*other, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def lower_a_boundary(text):
    body = json.loads(text)
    body["certify"][1] -= 5
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:40].encode(),
        lambda _: b"",
        lambda _: b"[]",
        lambda _: b"null",
        lambda _: b"{}",
        lambda _: b"\xff\xfe\x00",
        lower_a_boundary,
    ],
)
def test_a_damaged_file_is_derived_anew(tmp_path, fresh, damage):
    first = cache.cached_boundaries(*ARGUMENTS, tmp_path)
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".json"
    whole = path.read_text()
    path.write_bytes(damage(whole))
    fresh()
    assert cache.cached_boundaries(*ARGUMENTS, tmp_path) == first
    assert path.read_text() == whole


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, fresh):
    (tmp_path / "file").write_text("in the way")
    planned = cache.cached_boundaries(*ARGUMENTS, tmp_path / "file" / "folder")
    assert planned.crossing <= 0.01
