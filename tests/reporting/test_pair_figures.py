"""Pictures of the best pair show the counts of published tables, counted again from their text."""

import csv
import re
from math import isnan

import numpy as np
import pytest

from sfumato.answers.best_pair import best_pair
from sfumato.answers.objective import CertifiedAccuracy
from sfumato.answers.published import tables_as_study
from sfumato.certification.table import read_rows
from sfumato.reporting.pair_figures import best_by_radius, best_pair_map
from sfumato.reporting.picture import Band, HeatMap, Line
from support import SHARED_DATA

PATHS = sorted((SHARED_DATA.parent / "reference" / "cohen").glob("cifar10_*.tsv"))
RADII = (0.0, 0.5, 1.25)
pytestmark = pytest.mark.skipif(not PATHS, reason="the published tables are not here")


@pytest.fixture(scope="module")
def study():
    return tables_as_study([(path.stem, path, {}, read_rows(path)) for path in PATHS])


@pytest.fixture(scope="module")
def answers(study):
    return {radius: best_pair(study, CertifiedAccuracy(radius)) for radius in RADII}


@pytest.fixture(scope="module")
def counted():
    """Return the share of rows certified at each radius, by (alpha, beta) as the files' names say."""
    shares = {}
    for path in PATHS:
        pair = tuple(map(float, re.findall(r"(?:noise|sigma)_(\d\.\d+)", path.name)))
        with path.open() as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        for radius in RADII:
            certified = sum(row["correct"] == "1" and float(row["radius"]) >= radius for row in rows)
            shares.setdefault(radius, {})[pair] = certified / len(rows)
    return shares


def only(panel, kind, **wanted):
    (found,) = [
        layer
        for layer in panel.layers
        if isinstance(layer, kind) and all(getattr(layer, name) == value for name, value in wanted.items())
    ]
    return found


@pytest.mark.parametrize("radius", RADII)
def test_the_map_shows_the_counted_shares_and_a_star_at_the_largest(radius, answers, counted):
    ((panel,),) = best_pair_map(answers[radius], "").panels
    heat, star = only(panel, HeatMap), only(panel, Line, name="best pair")
    shares, noises = counted[radius], [0.12, 0.25, 0.5, 1.0]
    for row, beta in enumerate(noises):
        for column, alpha in enumerate(noises):
            drawn = heat.values[row, column]
            if (alpha, beta) in shares:
                assert drawn == pytest.approx(shares[alpha, beta])
            else:
                assert isnan(drawn)
    assert (*star.x, *star.y) == max(shares, key=shares.get)


@pytest.mark.parametrize("radius", RADII)
def test_the_outline_parts_the_set_from_all_other_cells(radius, answers):
    """From the middle of a cell to the left, borders of the set are crossed an odd number of times."""
    ((panel,),) = best_pair_map(answers[radius], "").panels
    outline = only(panel, Line, name="95 % set of the best")
    x, y = (np.reshape(numbers, (-1, 3))[:, :2] for numbers in (outline.x, outline.y))
    upright = x[:, 0] == x[:, 1]
    for alpha, beta in answers[radius].pairs:
        beside = upright & (x[:, 0] < alpha) & (y.min(axis=1) < beta) & (beta < y.max(axis=1))
        assert (int(beside.sum()) % 2 == 1) == ((alpha, beta) in answers[radius].members)
    assert len(x) > upright.sum() > 0
    assert len(np.unique(np.hstack([x, y]), axis=0)) == len(x), "nothing between two cells of the set"


def test_lines_over_the_radius_are_the_best_pair_and_the_best_alpha_equal_to_beta(answers, counted):
    ((accuracy,), (noises,)) = best_by_radius(answers, "").panels
    best = [max(counted[radius], key=counted[radius].get) for radius in RADII]
    equal = [max((p for p in counted[r] if p[0] == p[1]), key=counted[r].get) for r in RADII]
    assert best[-1] == (1.0, 0.5), "as in the tables of Cohen et al."
    free, usual = only(accuracy, Line, name="best pair"), only(accuracy, Line, name="best α = β")
    assert list(free.x) == list(RADII)
    assert free.y == pytest.approx([counted[r][pair] for r, pair in zip(RADII, best, strict=True)])
    assert usual.y == pytest.approx([counted[r][pair] for r, pair in zip(RADII, equal, strict=True)])
    assert only(noises, Line, name="α* of the best pair").y == [alpha for alpha, _ in best]
    assert only(noises, Line, name="β* of the best pair").y == [beta for _, beta in best]
    assert only(noises, Line, name="β of best α = β").y == [beta for _, beta in equal]
    band = only(accuracy, Band)
    assert np.all(np.less(band.low, free.y) & np.less(free.y, band.high))
