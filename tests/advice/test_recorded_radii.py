import csv
import re
from pathlib import Path

import pytest
from scipy import stats

from sfumato.advice.recorded_radii import RECORDED, lack_of_noise, other_alpha, recorded_near
from sfumato.datasets.units import OWN_UNIT, PIXELS
from support import SHARED_DATA

COHEN = SHARED_DATA.parent / "reference" / "cohen"
RACES = Path(__file__).parents[2] / "benchmarks" / "results" / "radius_studies.md"
PUBLISHED = [one for one in RECORDED if one.betas == (0.5,)]
FILES = {"cifar10": "cifar10_resnet110", "imagenet": "imagenet_resnet50"}


def certified(data: str, alpha: float, radius: float) -> dict[str, bool]:
    """Return for each image whether the published table certifies its label, at beta 0.5."""
    with (COHEN / f"{FILES[data]}_noise_{alpha:.2f}_test_sigma_0.50.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {row["idx"]: row["correct"] == "1" and float(row["radius"]) >= radius for row in rows}


@pytest.mark.skipif(not COHEN.is_dir(), reason="the published tables are not here")
@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: f"{one.data}-{one.radius:g}")
def test_what_is_recorded_of_published_tables_is_what_they_hold(one):
    tables = {alpha: certified(one.data, alpha, one.radius) for alpha in one.alphas}
    shares = {alpha: sum(table.values()) / len(table) for alpha, table in tables.items()}
    best, *others = sorted(shares, key=shares.get, reverse=True)
    p_values = {}
    for alpha in others:
        pairs = [(tables[best][image], tables[alpha][image]) for image in tables[best]]
        wins, losses = pairs.count((True, False)), pairs.count((False, True))
        p_values[alpha] = stats.binomtest(wins, wins + losses).pvalue
    assert one.best == (best, 0.5)
    assert one.against == (others[0], 0.5)
    assert (one.certified, one.against_certified) == (shares[best], shares[others[0]])
    assert one.p_value == pytest.approx(p_values[others[0]], rel=0.03)
    assert one.images == len(tables[best])
    # clear of any correction for several alphas, on either side
    assert all(p_values[alpha] < 0.01 for alpha in others if alpha not in one.members)
    assert all(p_values[alpha] > 0.05 for alpha in others if alpha in one.members)


def test_what_is_recorded_of_races_stands_in_their_results():
    sections = {"mnist": "## MNIST", "fashion-mnist": "## Fashion-MNIST"}
    for one in RECORDED:
        if one not in PUBLISHED:
            text = RACES.read_text().split(sections[one.data])[1].split("\n## ")[0]
            (row,) = re.findall(rf"^\| {f'{one.radius:g}'.lstrip('0')} \|.*$", text, re.MULTILINE)
            cells = [cell.strip() for cell in row.strip("|").split("|")]
            assert tuple(map(float, cells[1].split(","))) == one.best
            assert float(cells[2].split()[0]) == one.certified
            assert cells[4] == f"{one.against_certified:.3f} at {one.against[1]:g}".replace("0.", ".")
            assert one.against[0] == one.against[1]
            assert float(cells[6]) == one.p_value
            if cells[3] != "this pair alone":
                named = {
                    float(a)
                    for part in re.findall(r": alpha ([^;]+)|: ([^;]+)", cells[3])
                    for a in _named(part)
                }
                assert {min(named), max(named)} == {min(one.members), max(one.members)}


def _named(part):
    return re.findall(r"[\d.]+", "".join(part))


@pytest.mark.parametrize(
    ("alpha", "beta", "radius", "data", "verdict"),
    [
        (0.5, 0.5, 1.0, "mnist", "likely"),
        (0.75, 0.5, 1.0, "mnist", "not seen"),
        (0.5, 0.5, 1.25, "cifar10", "likely"),
        (0.5, 0.5, 0.5, "cifar10", "not seen"),
        (1.0, 0.5, 0.5, "cifar10", "likely"),
        (1.0, 0.5, 1.25, "cifar10", "not seen"),
        (0.5, 0.25, 0.5, "cifar10", "cannot say"),
        (0.0, 0.5, 1.0, "mnist", "cannot say"),
        (0.5, 0.4, 1.0, "mnist", "cannot say"),
        (0.5, 0.5, 1.0, "digits", "cannot say"),
        (0.5, 0.5, 9.0, "mnist", "cannot say"),
    ],
)
def test_another_alpha_is_judged_by_what_was_measured_nearby_on_the_same_data(
    alpha, beta, radius, data, verdict
):
    found = other_alpha(alpha, beta, radius, data=data, unit=PIXELS)
    assert found.verdict == verdict
    if verdict != "cannot say":
        assert data in found.reason


def test_other_data_and_other_units_are_no_evidence():
    elsewhere = other_alpha(0.5, 0.5, 1.0, data="digits", unit=PIXELS)
    assert {one.data for one in elsewhere.evidence} == {"cifar10", "imagenet", "mnist", "fashion-mnist"}
    assert other_alpha(0.5, 0.5, 1.0, data="mnist", unit=OWN_UNIT).evidence == ()


def test_of_each_study_the_nearest_radius_counts():
    assert {one.radius for one in recorded_near(0.52, PIXELS)} == {0.5}
    assert {one.radius for one in recorded_near(0.0, PIXELS)} == {0.0}
    assert recorded_near(0.6, PIXELS) == recorded_near(0.05, PIXELS) == ()
    assert {one.data for one in recorded_near(0.5, PIXELS, beta=0.25)} == {"mnist"}


@pytest.mark.parametrize(
    ("alpha", "radius", "certified", "words"),
    [
        (0.0, 0.25, 0.1, "only 0.10 of the images are certified at radius 0.25, against 0.95"),
        (0.2, 0.0, 0.1, "only 0.10 of the images are classified correctly, against 0.95"),
        (0.2, 0.25, 0.1, "sfumato advise --radius 0.25 --model"),
        (0.2, 0.0, 0.1, "sfumato advise --beta 0.5 --model"),
        (0.25, 0.25, 0.1, None),
        (0.2, 0.25, 0.5, None),
        (0.2, 1.8, 0.0, None),
    ],
)
def test_too_little_noise_is_warned_of_only_where_it_was_measured(alpha, radius, certified, words):
    found = lack_of_noise(alpha, 0.5, radius, certified, clean=0.95)
    assert found is None if words is None else words in found
