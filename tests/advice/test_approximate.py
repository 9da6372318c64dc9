import sys

import numpy as np
import pytest

from sfumato.advice.approximate import nearest_by_index
from sfumato.advice.neighbours import nearest_by_class
from sfumato.advice.points import labelled_points
from sfumato.errors import MissingPackageError


@pytest.fixture(scope="module")
def points():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3000, 6)) + 2.0 * generator.integers(0, 2, (3000, 1))
    return labelled_points(x, generator.integers(0, 3, 3000))


def test_distances_are_never_too_small_and_the_recall_is_the_share_found(points):
    exact, found = nearest_by_class(points), nearest_by_index(points)
    for name, recall in (("other", found.recall_other), ("same", found.recall_same)):
        true, near = getattr(exact, name), getattr(found.neighbours, name)
        assert np.all(near.distance >= true.distance - 1e-9)
        share = np.mean(near.distance <= true.distance * (1 + 1e-6))
        assert 0.7 < share <= 1.0
        assert abs(share - recall) < 4 * np.sqrt(0.25 / found.queries)
        gaps = np.linalg.norm(points.x - points.x[near.index], axis=1)
        np.testing.assert_allclose(gaps, near.distance, rtol=1e-5)
        assert np.all((points.y[near.index] == points.y) == (name == "same"))


def test_without_the_package_its_install_line_is_given(points, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'sfumato\[index\]'"):
        nearest_by_index(points)
