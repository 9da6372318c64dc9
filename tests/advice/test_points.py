import numpy as np
import pytest

from sfumato.advice.points import labelled_points
from sfumato.errors import DataError


def cloud(classes=2, each=12, features=3, seed=0):
    generator = np.random.default_rng(seed)
    return generator.random((classes * each, features)), np.repeat(np.arange(classes), each)


def test_ordinary_points_are_not_remarked_on():
    assert labelled_points(*cloud()).remarks == ()


def test_what_is_unusual_is_said_with_its_numbers():
    x, y = cloud()
    x[0, 0] = 3.0
    x[23] = x[22] = x[0]
    found = " / ".join(labelled_points(x[2:], y[2:]).remarks + labelled_points(x, y).remarks)
    assert "outside [0, 1]" in found
    assert "to 3," in found
    assert "3 points are equal to a point with another label (1 different inputs)" in found


def test_equal_points_with_one_label_are_no_contradiction():
    x, y = cloud()
    x[1] = x[0]
    assert labelled_points(x, y).remarks == ()


def test_classes_with_few_points_are_named():
    x, y = cloud()
    y[:9], y[9:] = 0, 1
    assert "class cat has 9 points" in labelled_points(x, y, ("cat", "dog")).remarks[0]


def test_a_subset_is_the_same_every_time_and_has_no_more_than_asked_for():
    x, y = cloud(each=50)
    one, two = (labelled_points(x, y, most=30) for _ in range(2))
    assert len(one) == 30
    assert np.array_equal(one.x, two.x)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((5, 2)), np.zeros(5, int), r"5 examples belong to one class \(0\)"),
        (np.zeros((0, 2)), np.zeros(0, int), "no examples"),
        (np.full((4, 2), np.nan), np.array([0, 0, 1, 1]), "NaN or infinite"),
        (np.zeros((4, 2)), np.zeros(3, int), "4 examples and 3 labels"),
    ],
)
def test_data_that_cannot_be_compared_are_refused(x, y, words):
    with pytest.raises(DataError, match=words):
        labelled_points(x, y)
