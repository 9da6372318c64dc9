"""Labels as people store them; the expected indices are written down by hand."""

import numpy as np
import pytest

from sfumato.datasets.labels import class_labels
from sfumato.errors import DataError

RIGHT = [0, 1, 2, 1, 0]


@pytest.mark.parametrize(
    "labels",
    [
        np.array(RIGHT),
        np.array(RIGHT, np.uint8),
        np.array(RIGHT, ">i2"),
        np.array(RIGHT, float),
        np.array(RIGHT)[:, None],
        np.eye(3)[RIGHT],
        np.eye(3, dtype=bool)[RIGHT],
        np.array(RIGHT[::-1])[::-1],
    ],
)
def test_labels_are_accepted_as_people_store_them(labels):
    found = class_labels({"y": labels, "y_test": labels[:1]}, "d.npz")
    assert found.arrays[0].tolist() == RIGHT
    assert found.arrays[0].dtype == np.int64
    assert found.arrays[1].tolist() == [0]
    assert found.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([1, 2, 3, 1], "run from 1 to 3; subtract 1"),
        ([0, 1, 3, 1], "leave gaps"),
        ([0, 10**15], "leave gaps"),
        ([-1, 0, 1], "label -1 is negative"),
        (np.arange(50), "identifiers"),
        (np.arange(50) * 10**9, "identifiers"),
        ([0.5, 1], "whole numbers, got 0.5"),
        ([np.nan, 1], "whole numbers, got nan"),
        ([np.inf, 1], "whole numbers, got inf"),
        (np.array([2**64 - 1, 0], np.uint64), "too large"),
        ([b"cat", b"dog"], r"whole numbers from 0, or names, got \|S3"),
        ([0j, 1], "whole numbers from 0, or names, got complex128"),
        (["cat", ""], "example 1 has an empty label"),
        (["cat", "d\n"], "holds control characters"),
        (["cat", "cat"], r"one class \(cat\)"),
        ([["cat", "dog"]], r"one name per example, got shape \(1, 2\)"),
        (list(map(str, range(50))), "identifiers"),
        ([[0, 1], [1, 1]], r"shape \(2, 2\)"),
        ([[0.3, 0.7], [1, 0]], r"shape \(2, 2\)"),
        (3, r"shape \(\)"),
        ([], "no examples"),
        ([0, 0], r"one class \(0\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, words):
    with pytest.raises(DataError, match=words):
        class_labels({"y": np.asarray(labels)}, "d.npz")


def test_test_labels_outside_the_training_classes_are_refused():
    with pytest.raises(DataError, match=r"label 2 of y_test is outside 0\.\.1"):
        class_labels({"y": np.array([0, 1]), "y_test": np.array([2])}, "d.npz")


def test_named_classes_may_lack_examples():
    found = class_labels({"y": np.array([2, 2])}, "d.npz", ("a", "b", "c"))
    assert (found.arrays[0].tolist(), found.class_names) == ([2, 2], ("a", "b", "c"))


def test_labels_of_different_kinds_are_refused():
    with pytest.raises(DataError, match="labels of one kind"):
        class_labels({"y": np.array([0, 1]), "y_test": np.eye(2)}, "d.npz")


@pytest.mark.parametrize(
    "names",
    [
        np.array(["dog", "cat", "dog"]),
        np.array(["dog", "cat", "dog"], dtype=object),
        np.array(["dog", "cat", "dog"])[:, None],
        np.array(["dog", "cat", "dog"], dtype=np.dtypes.StringDType()),
    ],
)
def test_names_are_numbered_in_alphabetical_order(names):
    found = class_labels({"y": names, "y_test": np.array(["dog"])}, "d.npz")
    assert [array.tolist() for array in found.arrays] == [[1, 0, 1], [1]]
    assert found.class_names == ("cat", "dog")
    assert found.notes == (
        "d.npz: the labels in y are names; classes are numbered in alphabetical order, 0 is cat",
    )


def test_names_have_the_numbers_of_the_classes_that_are_given():
    found = class_labels({"y": np.array(["dog", "cat"])}, "d.npz", ("dog", "cow", "cat"))
    assert (found.arrays[0].tolist(), found.class_names, found.notes) == ([0, 2], ("dog", "cow", "cat"), ())


def test_names_without_a_class_are_refused():
    with pytest.raises(DataError, match="label 'cow' of y_test is not among the classes cat, dog"):
        class_labels({"y": np.array(["dog", "cat"]), "y_test": np.array(["dog", "cow"])}, "d.npz")
    with pytest.raises(DataError, match="label 'cow' of y is not among the classes cat, dog"):
        class_labels({"y": np.array(["cow", "cat"])}, "d.npz", ("cat", "dog"))
    with pytest.raises(DataError, match="y and y_test must hold labels of one kind"):
        class_labels({"y": np.array(["dog", "cat"]), "y_test": np.array([0, 1])}, "d.npz")
    with pytest.raises(DataError, match=r"one class \(none\)"):
        class_labels({"y": np.array(["cow", "cat"])}, "d.npz", ())
