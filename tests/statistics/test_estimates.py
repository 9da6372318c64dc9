"""Certified accuracy as an estimate: bounds that cover; p-values of several tests."""

import numpy as np
import pytest
from scipy import stats

from sfumato.errors import SettingError
from sfumato.statistics.estimates import certified_accuracy_bounds, holm


def test_the_population_bounds_cover_over_images_and_certificates():
    """Populations of robust and fragile images; certificates err as often as they may."""
    rng = np.random.default_rng(5)
    images, robust_share, error, found_share, repeats = 200, 0.4, 0.1, 0.9, 4000
    missed = 0
    for _ in range(repeats):
        robust = rng.random(images) < robust_share
        certified = np.where(robust, rng.random(images) < found_share, rng.random(images) < error)
        low, high = certified_accuracy_bounds(
            int(certified.sum()), images, confidence=0.9, certificate_confidence=1.0 - error
        )
        rate = robust_share * found_share + (1 - robust_share) * error
        missed += not (low <= robust_share and rate <= high)
    assert missed <= stats.binom.ppf(0.999, repeats, 0.1)


def test_the_lower_bound_pays_for_the_certificates():
    certain = stats.binomtest(300, 500).proportion_ci(0.95, "exact")
    found = certified_accuracy_bounds(300, 500, confidence=0.95, certificate_confidence=0.99)
    assert found == pytest.approx(((certain.low - 0.01) / 0.99, certain.high), abs=1e-8)
    assert certified_accuracy_bounds(1, 500, confidence=0.95, certificate_confidence=0.9)[0] == 0.0
    void = certified_accuracy_bounds(300, 500, confidence=0.95, certificate_confidence=0.0)
    assert void == (0.0, pytest.approx(certain.high))


def test_holm_keeps_the_family_wise_error():
    rng = np.random.default_rng(7)
    repeats = 4000
    false = sum(min(holm(rng.random(8).tolist())) <= 0.1 for _ in range(repeats))
    assert stats.binom.ppf(0.001, repeats, 0.08) <= false <= stats.binom.ppf(0.999, repeats, 0.1)
    assert holm([0.5, 0.001, 0.04]) == pytest.approx((0.5, 0.003, 0.08))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: certified_accuracy_bounds(6, 5, confidence=0.9, certificate_confidence=0.9), "got 6"),
        (lambda: certified_accuracy_bounds(1, 5, confidence=1.0, certificate_confidence=0.9), "got 1.0"),
        (lambda: holm([0.5, 1.5]), "1.5"),
    ],
)
def test_what_cannot_be_estimated_is_refused(call, words):
    with pytest.raises(SettingError, match=words):
        call()
