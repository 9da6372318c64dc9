"""A few of the damaged inputs of ``benchmarks/fuzz.py``; that script runs many."""

import sys
from pathlib import Path

import pytest

from sfumato.errors import SfumatoError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PARSERS = ("npz", "npy", "idx", "cifar-binary", "cifar-python")
IMAGES = ("png", "jpeg", "bmp", "gif", "tiff", "webp", "ppm")


@pytest.fixture(scope="module")
def fuzz():
    if not (BENCHMARKS / "fuzz.py").is_file():
        pytest.skip("the benchmarks are not part of this distribution")
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import fuzz

        yield fuzz
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*PARSERS, *IMAGES])
def test_damage_gives_a_result_or_one_line(fuzz, name, tmp_path):
    target = fuzz.TARGETS[name]
    seeds, path = target.seeds(), tmp_path / f"input{target.suffix}"
    refused = []
    for index in range(60):
        path.write_bytes(fuzz.input_number(index, name, 7, seeds))
        try:
            target.parse(path)
        except SfumatoError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert not any("\n" in message for message in refused)


def test_an_input_is_repeated_by_its_number_alone(fuzz):
    seeds = fuzz.TARGETS["png"].seeds()
    first = [fuzz.input_number(index, "png", 0, seeds) for index in range(20)]
    assert first == [fuzz.input_number(index, "png", 0, seeds) for index in range(20)]
    assert len(set(first)) > 15
    assert first != [fuzz.input_number(index, "png", 1, seeds) for index in range(20)]


def test_a_parser_that_fails_is_found(fuzz, tmp_path, monkeypatch):
    class Answer(list):
        put = list.append

    class At:
        value = -1

    def bad(path):
        content = path.read_bytes()
        if content != b"fine, this is a seed":
            raise RecursionError("too deep")

    monkeypatch.setitem(fuzz.TARGETS, "bad", fuzz.Target(lambda: [b"fine, this is a seed"], bad))
    monkeypatch.setattr(fuzz, "limit_this_process", lambda scratch: None)
    answer = Answer()
    fuzz.fuzz("bad", range(30), 0, tmp_path, answer, At())
    (outcome,) = answer
    assert outcome.inputs == 30
    assert {what for _, what in outcome.findings} == {"RecursionError: too deep"}
    assert len(outcome.findings) + outcome.accepted == 30
