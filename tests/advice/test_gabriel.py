import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from sfumato.advice import gabriel
from sfumato.advice.gabriel import class_components, component_gap


def by_hand(inside, others):
    """Every pair against every point of the other class, in double precision."""
    joined = np.ones((len(inside), len(inside)), dtype=bool)
    for point in others:
        joined &= (inside - point) @ (inside - point).T >= 0
    return connected_components(joined, directed=False)[1]


def same_partition(one, two):
    return np.array_equal(one[:, None] == one[None, :], two[:, None] == two[None, :])


@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 60), st.integers(1, 4))
def test_the_components_are_those_of_the_definition(seed, own, other, features):
    generator = np.random.default_rng(seed)
    inside, others = generator.random((own, features)), generator.random((other, features))
    found = class_components(inside, others, cdist(inside, others).min(axis=1))
    assert same_partition(found, by_hand(inside, others))
    assert np.all(np.diff(np.bincount(found)) <= 0)


def test_one_try_and_small_blocks_change_nothing(monkeypatch):
    monkeypatch.setattr(gabriel, "_PAIRS_AT_ONCE", 1)
    monkeypatch.setattr(gabriel, "_BLOCK_ROWS", 7)
    generator = np.random.default_rng(3)
    inside, others = generator.random((60, 2)), generator.random((90, 2))
    found = class_components(inside, others, cdist(inside, others).min(axis=1))
    assert found.max() > 3
    assert same_partition(found, by_hand(inside, others))
    apart = cdist(inside, inside)[found[:, None] != found[None, :]].min()
    assert component_gap(inside, found) == pytest.approx(apart, rel=1e-6)


def test_without_another_class_all_is_one_part():
    inside = np.array([[0.0], [9.0]])
    found = class_components(inside, np.empty((0, 1)), np.full(2, np.inf))
    assert found.tolist() == [0, 0]
    assert component_gap(inside, found) == np.inf


def test_a_copy_with_the_other_label_does_not_cut_its_own_point_off():
    inside = np.array([[0.0], [1.0]])
    assert class_components(inside, inside[:1], np.array([0.0, 1.0])).tolist() == [0, 0]
