import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.neighbors import KNeighborsClassifier

from sfumato.advice import surrogate
from sfumato.advice.points import labelled_points
from sfumato.advice.surrogate import Surrogate, parzen_surrogate
from sfumato.errors import SettingError


@pytest.fixture
def points():
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.normal(0, 1, (80, 2)), generator.normal(1.5, 1, (60, 2))])
    return labelled_points(x, np.repeat([0, 1], [80, 60]))


def posterior(points, alpha):
    """The leave-one-out posterior, in double precision and logarithms."""
    x = points.x.astype(np.float64)
    logits = -(cdist(x, x) ** 2) / (2 * alpha**2)
    np.fill_diagonal(logits, -np.inf)
    by_class = np.stack([logsumexp(logits[:, points.y == label], axis=1) for label in (0, 1)], axis=1)
    return np.exp(by_class - logsumexp(by_class, axis=1, keepdims=True))


def test_the_rule_is_that_of_its_formula(points):
    found = parzen_surrogate(points, [0.2, 0.5, 1.5])
    for k, alpha in enumerate(found.alphas):
        own = posterior(points, alpha)[np.arange(len(points)), points.y]
        assert found.risk[k] == pytest.approx(np.mean(own < 0.5))


def test_without_noise_it_is_the_nearest_neighbour(points):
    wrong = 0
    for index in range(len(points)):
        others = np.delete(np.arange(len(points)), index)
        rule = KNeighborsClassifier(1).fit(points.x[others], points.y[others])
        wrong += int(rule.predict(points.x[index : index + 1])[0] != points.y[index])
    assert parzen_surrogate(points, [0.0]).risk[0] == pytest.approx(wrong / len(points))


def test_blocks_and_the_other_alphas_change_nothing(points, monkeypatch):
    whole = parzen_surrogate(points, [0.0, 0.3, 1.0])
    monkeypatch.setattr(surrogate, "_BLOCK_ENTRIES", 1000)
    alone = parzen_surrogate(points, [0.3])
    assert np.array_equal(whole.wrong[1], alone.wrong[0])


def test_the_harmless_alpha_is_the_last_within_one_standard_error():
    wrong = np.zeros((4, 1000), dtype=bool)
    for k, errors in enumerate((50, 40, 46, 47)):  # one standard error of .04 is .0062
        wrong[k, :errors] = True
    found = Surrogate((0.0, 0.1, 0.2, 0.3), wrong)
    assert found.harmless_alpha() == 0.2
    low, high = found.harmless_interval()
    assert low <= 0.2 <= high
    assert found.rise(0.1, 0.3) == pytest.approx((0.007, np.sqrt(0.007 * 0.993 / 1000)))


@pytest.mark.parametrize("alphas", [[], [0.2, 0.2], [-0.1]])
def test_alphas_must_increase_from_zero(points, alphas):
    with pytest.raises(SettingError, match="alpha"):
        parzen_surrogate(points, alphas)
