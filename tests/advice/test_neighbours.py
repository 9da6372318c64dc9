import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from sfumato.advice import neighbours
from sfumato.advice.neighbours import nearest_by_class
from sfumato.advice.points import labelled_points


def by_hand(points):
    distances = cdist(points.x.astype(np.float64), points.x.astype(np.float64))
    np.fill_diagonal(distances, np.inf)
    alike = points.y[:, None] == points.y[None, :]
    return np.where(alike, np.inf, distances), np.where(alike, distances, np.inf)


def check(points):
    found = nearest_by_class(points)
    for nearest, distances in zip((found.other, found.same), by_hand(points), strict=True):
        least = distances.min(axis=1)
        finite = np.isfinite(least)
        np.testing.assert_allclose(nearest.distance, least, rtol=1e-12)
        picked = distances[np.flatnonzero(finite), nearest.index[finite]]
        np.testing.assert_allclose(picked, least[finite], rtol=1e-12)
        assert np.all(nearest.index[~finite] == -1)


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 30))
def test_the_neighbours_are_those_of_all_pairs(seed, count, features):
    generator = np.random.default_rng(seed)
    y = np.append(generator.integers(0, 3, count - 2), [0, 1])
    check(labelled_points(generator.random((count, features)), y))


def test_blocks_change_nothing(monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK_ENTRIES", 300)
    generator = np.random.default_rng(1)
    check(labelled_points(generator.random((100, 5)), generator.integers(0, 4, 100)))


def test_neighbours_that_single_precision_confuses_are_told_apart():
    # far from the mean the squared distances of 1e-8 and 4e-8 drown in the rounding of 2e8
    x = np.zeros((6, 2), dtype=np.float32)
    x[:3] += 1e4
    x[3:] -= 1e4
    x[:3, 1] = [0.0, 2.0**-7, 2.0**-8]
    points = labelled_points(x, np.array([0, 0, 1, 1, 1, 0]))
    check(points)
    assert nearest_by_class(points).other.index[0] == 2


def test_copies_of_a_point_are_at_distance_zero():
    points = labelled_points(np.array([[1.0], [1.0], [1.0], [4.0]]), np.array([0, 0, 1, 1]))
    found = nearest_by_class(points)
    assert found.other.distance.tolist() == [0.0, 0.0, 0.0, 3.0]
    assert found.same.distance.tolist() == [0.0, 0.0, 3.0, 3.0]
