"""The images of tables are those that were certified, with the rows' own classes and radii."""

from dataclasses import replace

import numpy as np
import pytest

from sfumato.certification.certificate import Certificate
from sfumato.errors import DataError
from sfumato.reporting.sources import CertifiedSet
from sfumato.reporting.table_gallery import named_data, sample_tables

COUNT = 60


def table(digits, name, predict, settings=None, first=0):
    """A table of ``COUNT`` images; ``predict`` gives (class, radius) from index and label."""
    labels = {idx: int(digits.test.y[idx]) for idx in range(first, first + COUNT)}
    rows = [Certificate(idx, label, *predict(idx, label), 1.0) for idx, label in labels.items()]
    return CertifiedSet(name, rows, "", None, settings)


@pytest.fixture
def right(digits):
    settings = {"data": "digits", "beta": 0.5, "data_sha256": digits.checksum()}
    return table(digits, "right", lambda idx, label: (label, 0.01 * idx), settings)


@pytest.fixture
def worse(digits):
    """Wrong on every tenth image, abstaining on every seventh."""

    def predict(idx, label):
        if idx % 10 == 0:
            return (label + 1) % 10, 0.4
        return (-1, 0.0) if idx % 7 == 0 else (label, 0.01 * idx)

    return table(digits, "worse", predict)


def test_rows_and_images_belong_together_and_noise_has_the_size_of_beta(right, digits):
    gallery = sample_tables([right], digits, count=50)
    assert (gallery.beta, gallery.names, len(gallery.images)) == (0.5, ("right",), 50)
    assert all(image.at_random for image in gallery.images)
    for image in gallery.images:
        assert np.array_equal(image.clean, digits.test.x[image.example])
        (view,) = image.views
        assert view.certificate == right.certificates[image.example]
        assert (view.predicted, view.radius) == (image.label, pytest.approx(0.01 * image.example))
    noise = np.concatenate([(image.noisy - image.clean).ravel() for image in gallery.images])
    assert noise.std() == pytest.approx(0.5, rel=0.05)


def test_the_picked_half_has_the_largest_differences_of_signed_radii(right, worse, digits):
    gallery = sample_tables([right, worse], digits, count=10)

    def difference(idx):
        theirs = -0.4 if idx % 10 == 0 else 0.0 if idx % 7 == 0 else 0.01 * idx
        return abs(0.01 * idx - theirs)

    assert gallery.beta is None or gallery.beta == 0.5
    for image in gallery.images:
        assert image.disagreement == pytest.approx(difference(image.example))
    drawn = {image.example for image in gallery.images if image.at_random}
    picked = {image.example for image in gallery.images if not image.at_random}
    assert (len(drawn), len(picked)) == (5, 5)
    left = sorted((set(range(COUNT)) - drawn), key=difference)
    assert picked == set(left[-5:])


def test_only_images_of_both_tables_are_shown(right, digits):
    later = table(digits, "later", lambda idx, label: (label, 0.1), first=COUNT - 5)
    gallery = sample_tables([right, later], digits, count=20)
    assert [image.example for image in gallery.images] == list(range(COUNT - 5, COUNT))
    apart = table(digits, "apart", lambda idx, label: (label, 0.1), first=COUNT)
    with pytest.raises(DataError, match="right and apart: they have no image in common"):
        sample_tables([right, apart], digits, count=20)


def test_tables_without_radii_disagree_where_their_classes_differ(digits):
    one = table(digits, "one", lambda idx, label: (label, 0.0))
    other = table(digits, "other", lambda idx, label: ((label + (idx % 9 == 0)) % 10, 0.0))
    gallery = sample_tables([one, other], digits, count=6)
    assert [image.disagreement for image in gallery.images] == [
        float(image.example % 9 == 0) for image in gallery.images
    ]
    assert all(image.disagreement == 1.0 for image in gallery.images if not image.at_random)
    assert "radii" not in gallery.radii


def test_the_noise_that_is_asked_for_is_shown_whatever_the_tables_say(right, digits):
    assert sample_tables([right], digits, count=2, beta=0.25).beta == 0.25


def test_without_a_known_noise_only_clean_images_are_shown(worse, digits):
    assert all(image.noisy is None for image in sample_tables([worse], digits, count=4).images)
    assert sample_tables([worse], digits, count=4, beta=0.25).beta == 0.25


def test_other_data_than_were_certified_are_refused(right, worse, digits):
    rows = [replace(row, label=(row.label + 1) % 10) for row in worse.certificates]
    with pytest.raises(DataError, match="name the data set that was certified by --data"):
        sample_tables([replace(worse, certificates=rows)], digits, count=4)
    far = [replace(worse.certificates[0], idx=9_999)]
    with pytest.raises(DataError, match="certifies image 9999, digits has 797 test images"):
        sample_tables([replace(worse, certificates=far)], digits, count=4)
    with pytest.raises(DataError, match="was computed on data that differ"):
        sample_tables([replace(right, settings={"data_sha256": "0" * 64})], digits, count=4)


def test_the_data_set_is_the_one_that_all_settings_name(right, worse):
    assert named_data([right, worse]) == "digits"
    assert named_data([worse]) is None
    assert named_data([right, replace(right, settings={"data": "mnist"})]) is None
