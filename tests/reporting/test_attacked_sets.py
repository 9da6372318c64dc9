"""Attacks beside certificates, counted by hand on four images."""

import json
import math
from pathlib import Path

import pytest

from sfumato.attacks.file import read_attack
from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError
from sfumato.reporting.attacked_sets import (
    AttackedSet,
    attack_on,
    read_attacks,
    robust_band,
    told_of,
    violations,
)
from sfumato.reporting.certified_figures import certified_accuracy
from sfumato.reporting.picture import Band, Line
from sfumato.reporting.sources import CertifiedSet

SETTINGS = {"weights_sha256": "ab" * 32, "beta": 0.5, "data_sha256": "cd" * 32, "noise": "gaussian"}
# image 3 is classified wrongly, image 4 was not attacked
ROWS = [
    Certificate(0, 1, 1, 0.2, 1.0),
    Certificate(1, 1, 1, 0.6, 1.0),
    Certificate(2, 1, 1, 0.4, 1.0),
    Certificate(3, 1, 0, 0.9, 1.0),
    Certificate(4, 1, 1, 0.9, 1.0),
]
DISTANCES = (0.3, 0.8, math.inf, 0.0)


def certified(rows=ROWS, **changes):
    return CertifiedSet("ours", rows, "pixels in [0, 1]", Path("x.tsv"), {**SETTINGS, **changes})


def attack_file(path, distances=DISTANCES, *, first=0, **changes):
    settings = {"model": SETTINGS["weights_sha256"], "fingerprint": None, "radii": [0.5, 1.0]}
    settings |= {name: SETTINGS[name] for name in ("beta", "data_sha256", "noise")} | changes
    images = [
        {"idx": idx, "label": 1, "prediction": 1, "distance": None if math.isinf(far) else far}
        for idx, far in enumerate(distances, first)
    ]
    path.write_text(json.dumps({"settings": settings, "images": images}))
    return path


def test_the_band_lies_between_certified_and_attacked_accuracy_of_the_same_images(tmp_path):
    found = certified()
    (attack,) = read_attacks([attack_file(tmp_path / "a.json")], [found])
    band = robust_band(found, attack)
    assert band.images == 4
    # radius: certified at it (of images 0, 1 and 2), and not broken in the stretch that ends there
    assert dict(zip(band.radii, zip(band.certified, band.attacked, strict=True), strict=True)) == {
        0.0: (0.75, 0.75),
        0.2: (0.75, 0.75),
        0.3: (0.5, 0.75),
        0.4: (0.5, 0.5),
        0.6: (0.25, 0.5),
        0.8: (0.0, 0.5),
        1.0: (0.0, 0.25),
    }
    assert violations(found, attack) == []
    told = "of 4 images of ours, no wrong answer was found within a certified radius"
    assert told_of([found], [attack]) == [(f"{tmp_path / 'a.json'}: {told}", False)]


def test_a_wrong_answer_within_a_certified_radius_is_told(tmp_path):
    # image 1 is certified to 0.6; image 3 is not correct, and is certified as something else
    found = certified()
    (attack,) = read_attacks([attack_file(tmp_path / "a.json", (0.3, 0.59, math.inf, 0.0))], [found])
    assert violations(found, attack) == [1]
    ((line, wrong),) = told_of([found], [attack])
    assert wrong
    assert (
        "for 1 a wrong answer was found within the certified radius, so either is in error: image 1" in line
    )


def test_the_figure_has_both_lines_and_the_band(tmp_path):
    found = certified()
    attacks = read_attacks([attack_file(tmp_path / "a.json")], [found])
    (((panel,),),) = (certified_accuracy([found], attacks=attacks).panels,)
    lines = {layer.name: layer for layer in panel.layers if isinstance(layer, Line)}
    assert set(lines) == {"ours", "ours, under attack"}
    under, band = lines["ours, under attack"], robust_band(found, attacks[0])
    assert (list(under.x), list(under.y)) == (list(band.radii), list(band.attacked))
    shaded = [layer for layer in panel.layers if isinstance(layer, Band)][-1]
    assert (list(shaded.low), list(shaded.high)) == (list(band.certified), list(band.attacked))
    # radii that were attacked are seen, though nothing is certified there
    assert panel.x.limits[1] >= 1.0
    assert len(certified_accuracy([found]).panels[0][0].layers) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "ef" * 32}, "attacks another classifier than ours: weights efefefefefef and abababababab"),
        ({"beta": 0.25}, "beta 0.25 and 0.5"),
        ({"noise": "laplace"}, "noise laplace and gaussian"),
        ({"data_sha256": "0"}, "data 0 and cdcdcdcdcdcd"),
        ({"radii": "all"}, "radii must be a list of numbers"),
        ({"first": 5}, "no image that it attacked is certified in ours"),
    ],
)
def test_an_attack_on_something_else_is_refused(changes, words, tmp_path):
    path = attack_file(tmp_path / "a.json", **changes)
    with pytest.raises(DataError, match=words):
        read_attacks([path], [certified()])


def test_tables_that_do_not_tell_and_two_attacks_on_one_classifier_are_refused(tmp_path):
    one, two = attack_file(tmp_path / "a.json"), attack_file(tmp_path / "b.json")
    foreign = CertifiedSet("theirs", ROWS, "", Path("y.tsv"))
    with pytest.raises(DataError, match="weights abababababab and not stated"):
        read_attacks([one], [foreign])
    with pytest.raises(DataError, match=r"b\.json: attacks the same classifier as .*a\.json"):
        read_attacks([one, two], [certified()])
    with pytest.raises(DataError, match="weights"):
        # what computes in another format, or with other batch norms, is another classifier
        read_attacks([one], [certified(weights_sha256=None, normalization={"source_sha256": "ab" * 32})])
    with pytest.raises(DataError, match="precision float32 and bf16"):
        read_attacks([one], [certified(precision="bf16")])


TOP = [Certificate(i, 1, 1, 0.9, 1.0, plan="top_k(3,100,1000)") for i in range(4)]
SCALED = {"noise": "anisotropic", "scales": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("found", "of_attack", "words"),
    [
        (
            certified(noise="uniform", norm="L1"),
            {"noise": "uniform"},
            "cannot be compared with ours: it measures distances in L2, and the radii of ours are L1 radii",
        ),
        (certified(noise="laplace", norm="L1"), {"noise": "laplace"}, "the radii of ours are L1 radii"),
        (certified(norm="L2 in scales", **SCALED), SCALED, "the radii of ours are L2 in scales radii"),
        (
            certified(TOP),
            {},
            "it looks for another most probable class, and ours certifies one of the 3 most probable classes",
        ),
    ],
    ids=["uniform", "laplace", "scales", "top_k"],
)
def test_certificates_that_no_attack_in_l2_contradicts_are_refused(found, of_attack, words, tmp_path):
    path = attack_file(tmp_path / "a.json", (0.1,) * 4, **of_attack)
    with pytest.raises(DataError, match=words):
        read_attacks([path], [found])
    # beside certificates of the same classifier that it can contradict, they are left out and it is said
    attack = AttackedSet(path, *read_attack(path))
    for compared in (violations, robust_band):
        with pytest.raises(DataError, match=words.removeprefix("cannot be compared with ours: ")):
            compared(found, attack)
    ((line, wrong),) = told_of([found], [attack])
    assert "is not compared with ours: it " in line
    assert not wrong
    assert attack_on(found, [attack]) is None


def test_of_several_sets_of_one_classifier_those_that_can_are_compared(tmp_path):
    sets = [certified(TOP), certified()]
    attacks = read_attacks([attack_file(tmp_path / "a.json")], sets)
    told = told_of(sets, attacks)
    assert ["is not compared" in line for line, _ in told] == [True, False]
    (((panel,),),) = (certified_accuracy(sets, attacks=attacks).panels,)
    assert sum("under attack" in layer.name for layer in panel.layers if isinstance(layer, Line)) == 1


@pytest.mark.parametrize(
    ("noise", "other", "words"),
    [
        (SCALED, {"scales": [1.0, 3.0]}, r"scales \[1\.0, 3\.0\] and \[1\.0, 2\.0\]"),
        ({"noise": "discretised", "steps": 255}, {"steps": 20}, "steps 20 and 255"),
        # a plug-in's noise that is not loaded: its name and beta
        ({"noise": "theirs"}, {"noise": "gaussian"}, "noise gaussian and theirs"),
    ],
    ids=["scales", "steps", "unknown"],
)
def test_all_of_the_noise_is_compared(noise, other, words, tmp_path):
    path = attack_file(tmp_path / "a.json", **{**noise, **other})
    with pytest.raises(DataError, match=words):
        read_attacks([path], [certified(**noise)])
