"""Which of many classifiers is the best on the same images, with what confidence, and by how much.

The candidates of a study (one per pair of noises) are evaluated on the same images, so all comparisons
are paired. "The images" are a sample of a population; "the runs" are repeated trainings of every
candidate. All statements are about the trained networks at hand, whatever their number. Sources: McNemar
1947 in its exact form; Fisher's sign-flip test, which with one run is McNemar's; Holm 1979; Wilson 1927.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import fft, special

from sfumato.errors import SettingError, require_count, require_open_unit
from sfumato.statistics.binomial import sign_test_p_value, two_sided_interval

_ROUNDING = 1e-12  # tails summed from a Fourier transform are exact to about 1e-14; p-values err upward
_TINY = float(np.finfo(np.float64).tiny)  # an interval from here on excludes zero
_CLEAR = 0.025  # one-sided level at which a pick must beat every other candidate to count as clear
# The most that the errors of two halves can go together when each picks for the other, between candidates
# that tie: sum over s, t of E[z(s); t is picked] E[z(t); s is picked], largest for three (0.358).
_DEPENDENCE = 0.36


def mcnemar_p_values(
    worse: Int[np.ndarray, "*pairs"], better: Int[np.ndarray, "*pairs"]
) -> Float[np.ndarray, "*pairs"]:
    """Return the exact one-sided McNemar p-values of "the first is not worse than the second".

    ``worse`` counts images on which only the first is wrong, ``better`` those on which only the second
    is: P(Binomial(worse + better, 1/2) >= worse). For each pair by itself the p-value is at most u with
    probability at most u if the first's risk is at most the second's.

    >>> mcnemar_p_values(np.array([8, 0]), np.array([2, 0])).round(6)
    array([0.054688, 1.      ])

    Raises:
        SettingError: counts that are negative or not whole.
    """
    first, second = _checked_counts(worse), _checked_counts(better)
    tail = special.betainc(np.maximum(first, 1), second + 1.0, 0.5)
    return np.asarray(np.where(first == 0, 1.0, tail), dtype=np.float64)


def _checked_counts(counts: Int[np.ndarray, "*pairs"]) -> Int[np.ndarray, "*pairs"]:
    values = np.asarray(counts)
    if not np.issubdtype(values.dtype, np.integer) or (values.size and values.min() < 0):
        raise SettingError(f"paired counts must be whole numbers of at least 0, got {values.tolist()}")
    return values


def sign_flip_p_values(differences: Int[np.ndarray, " images"]) -> tuple[float, float]:
    """Return the one-sided sign-flip p-values of "not positive" and of "not negative" in the mean.

    ``differences`` holds, for each image, in how many more runs the first is wrong than the second.
    The distribution of their sum over all 2^images choices of signs is exact, by Fourier transform.
    The test is exact where each difference is as likely as its negative under the hypothesis; for one
    run (values -1, 0, 1) that is the hypothesis of equal risks, and the test is McNemar's.

    >>> sign_flip_p_values(np.array([2, 1, 0]))  # 1 of 4 choices of signs gives 3 or more
    (0.250000000001, 1.0)

    Raises:
        SettingError: differences that are not whole numbers.
    """
    values = np.asarray(differences)
    if not np.issubdtype(values.dtype, np.integer):
        raise SettingError(f"differences must be whole numbers, got an array of {values.dtype}")
    sizes = np.bincount(np.abs(values))
    largest = int(np.arange(sizes.size) @ sizes)
    length = fft.next_fast_len(2 * largest + 2, real=True)
    angles = 2.0 * np.pi * np.arange(length // 2 + 1) / length
    transform = np.ones_like(angles)
    for size, images in enumerate(sizes):
        transform *= np.cos(size * angles) ** images
    chance = np.roll(fft.irfft(transform, length), largest)[: 2 * largest + 1]  # of -largest ... largest
    observed = int(values.sum())
    above = float(chance[largest + observed :].sum())
    below = float(chance[: largest + observed + 1].sum())
    return min(1.0, max(0.0, above) + _ROUNDING), min(1.0, max(0.0, below) + _ROUNDING)


def mean_rate_interval(events: Bool[np.ndarray, "runs images"], *, confidence: float) -> tuple[float, float]:
    """Return the exact interval of an event's rate, the mean over the runs, from the same images.

    With probability at least ``confidence`` over the drawing of images, networks fixed, the rate in the
    population lies inside. It is the mean over k = 1 ... runs of the probability that an image has the event
    in at least k runs; each of these has its Clopper-Pearson interval at an equal share of the error. For one
    run it is the Clopper-Pearson interval.

    >>> low, high = mean_rate_interval(np.arange(10)[np.newaxis] < 5, confidence=0.95)
    >>> round(low, 4), round(high, 4)
    (0.1871, 0.8129)

    Raises:
        SettingError: not an array (runs, images), a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    counts = np.count_nonzero(_checked_events(events), axis=0)
    runs, images = np.shape(events)
    bounds = [
        two_sided_interval(int(np.count_nonzero(counts >= k)), images, 1.0 - (1.0 - confidence) / runs)
        for k in range(1, runs + 1)
    ]
    low, high = np.mean(bounds, axis=0)
    return float(low), float(high)


def _checked_events(events: Bool[np.ndarray, "runs images"]) -> Bool[np.ndarray, "runs images"]:
    values = np.asarray(events)
    if values.dtype != np.bool_ or values.ndim != 2 or not values.size:
        raise SettingError(
            f"paired outcomes must be boolean arrays (runs, images), got {values.dtype} {values.shape}"
        )
    return values


@dataclass(frozen=True)
class Difference:
    """The difference of two error rates on the same images.

    Attributes:
        value: rate of the first minus rate of the second, each the mean over the runs.
        low, high: its interval in the population, networks fixed.
        p_value: two-sided, of "no difference"; at most 1 - ``confidence`` if and only if the interval
            excludes 0.
        confidence: of the interval.
    """

    value: float
    low: float
    high: float
    p_value: float
    confidence: float


def paired_difference(
    first: Bool[np.ndarray, "runs images"], second: Bool[np.ndarray, "runs images"], *, confidence: float
) -> Difference:
    """Return the difference of two error rates, each the mean over the runs, on the same images.

    ``first[r, i]`` says whether run r of the first classifier is wrong on image i. The interval inverts the
    sign-flip test: it holds each difference that the test does not reject. At zero the test is exact (with
    one run it is McNemar's); elsewhere it is the normal approximation of the same test, with the variance
    that an event as frequent as the difference has at least (Wilson's). So the interval is asymptotic; its
    coverage is in ``benchmarks/gain_intervals.py``.

    >>> first, second = np.zeros((2, 1, 100), bool)
    >>> first[0, :25] = True
    >>> found = paired_difference(first, second, confidence=0.95)
    >>> found.value, round(found.low, 3), round(found.high, 3)
    (0.25, 0.163, 0.343)

    Raises:
        SettingError: arrays that are not boolean or not of one shape, a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    first, second = _checked_events(first), _checked_events(second)
    if first.shape != second.shape:
        raise SettingError(f"paired outcomes must be of one shape, got {first.shape} and {second.shape}")
    return _difference(_more(first, second), len(first), confidence)


def _more(
    first: Bool[np.ndarray, "runs images"], second: Bool[np.ndarray, "runs images"]
) -> Int[np.ndarray, " images"]:
    """Return for each image in how many more runs the first is wrong."""
    return np.asarray(first.sum(axis=0, dtype=np.int64) - second.sum(axis=0))


def _difference(
    more: Int[np.ndarray, " images"], runs: int, confidence: float, inflation: float = 1.0
) -> Difference:
    """Return the difference with its interval; the variance is multiplied by ``inflation``."""
    images, value = more.size, float(more.mean()) / runs
    squares = float((more.astype(np.float64) ** 2).mean()) / runs**2
    if inflation == 1.0:
        p_value = _two_sided_p_value(more)
    else:
        p_value = float(2.0 * special.ndtr(-abs(value) * np.sqrt(images / (inflation * squares or 1.0))))
    limit = inflation * float(special.ndtri((1.0 + confidence) / 2.0)) ** 2
    half = np.sqrt(limit * (squares - value**2) / (images - limit)) if images > limit else 2.0
    accepted = [value - half, value + half]
    for sign in (1.0, -1.0):
        # a rare event that only ever goes one way: (value - d)^2 images <= limit (|d| - d^2)
        middle = (2.0 * images * sign * value + limit) / (2.0 * (images + limit))
        width = middle**2 - images * value**2 / (images + limit)
        if middle > 0 and width >= 0:
            accepted += [sign * (middle - np.sqrt(width)), sign * (middle + np.sqrt(width))]
    low, high = max(-1.0, min(accepted)), min(1.0, max(accepted))
    if p_value > 1.0 - confidence:
        low, high = min(low, 0.0), max(high, 0.0)
    elif value > 0:
        low = max(low, _TINY)
    else:
        high = min(high, -_TINY)
    return Difference(value, float(low), float(high), p_value, confidence)


def _two_sided_p_value(differences: Int[np.ndarray, " images"]) -> float:
    if np.abs(differences).max() <= 1:  # McNemar's test, without the rounding of the transform
        return sign_test_p_value(int((differences > 0).sum()), int((differences < 0).sum()))
    return min(1.0, 2.0 * min(sign_flip_p_values(differences)))


@dataclass(frozen=True)
class BestSet:
    """Which candidates may be the best.

    Attributes:
        kept: for each candidate, whether it is in the set.
        p_values: adjusted p-value of "this candidate is the best"; in the set where above 1 - confidence.
        confidence: probability with which the set holds the true best.
    """

    kept: Bool[np.ndarray, " candidates"]
    p_values: Float[np.ndarray, " candidates"]
    confidence: float


def best_set(
    wrong: Bool[np.ndarray, "runs candidates images"], *, confidence: float, among: int | None = None
) -> BestSet:
    """Return the candidates that no other beats significantly.

    Each candidate is tested against every other, one-sided ("it is not worse"), by the exact McNemar test (of
    several runs: by the sign-flip test of the images' sums), its smallest p-value multiplied by the number of
    its rivals; it is kept if none rejects. Where these candidates were chosen from ``among`` by the same
    images, all of those count as rivals. With probability at least ``confidence`` over the drawing of images,
    networks fixed, the candidate of lowest risk in the population is in the set: all of its own hypotheses
    are true, and one is rejected with probability at most 1 - ``confidence``. For one run this is exact. For
    several runs it holds for many images, or if differences are as likely as their negatives. No winner is
    selected in advance, so no correction for a selection is needed. The candidate with fewest errors is
    kept.

    >>> wrong = np.zeros((1, 3, 40), bool)
    >>> wrong[0, 1, :2] = wrong[0, 2, :15] = True
    >>> best_set(wrong, confidence=0.95).kept
    array([ True,  True, False])

    Raises:
        SettingError: not a boolean array (runs, candidates, images), a confidence outside (0, 1), fewer
            ``among`` than candidates.
    """
    require_open_unit("confidence", confidence)
    errors = _checked_errors(wrong)
    beaten = _beaten_p_values(errors)
    rivals = require_count("among", among or len(beaten), minimum=len(beaten)) - 1
    np.fill_diagonal(beaten, 1.0)
    p_values = np.minimum(1.0, max(rivals, 1) * beaten.min(axis=1))
    return BestSet(p_values > 1.0 - confidence, p_values, confidence)


def _checked_errors(
    wrong: Bool[np.ndarray, "runs candidates images"],
) -> Bool[np.ndarray, "runs candidates images"]:
    errors = np.asarray(wrong)
    if errors.dtype != np.bool_ or errors.ndim != 3 or not errors.size:
        raise SettingError(f"errors must be a boolean array (runs, candidates, images), got {errors.shape}")
    return errors


def _beaten_p_values(
    wrong: Bool[np.ndarray, "runs candidates images"],
) -> Float[np.ndarray, "candidates candidates"]:
    """Return at [a, b] the one-sided p-value of "a is not worse than b"."""
    runs, candidates, _ = wrong.shape
    if runs == 1:
        missed = wrong[0].astype(np.float64)
        only = np.rint(missed @ (1.0 - missed).T).astype(np.int64)
        return mcnemar_p_values(only, only.T)
    totals = wrong.sum(axis=0, dtype=np.int64)
    p_values = np.ones((candidates, candidates))
    for a in range(candidates):
        for b in range(a + 1, candidates):
            p_values[a, b], p_values[b, a] = sign_flip_p_values(totals[a] - totals[b])
    return p_values


@dataclass(frozen=True)
class SelectedGain:
    """The gain of the best candidate over the best reference, without selection bias.

    Attributes:
        selected: the candidate selected on each half of the images.
        references: the reference selected likewise.
        clear: both halves select the same, and both lead all others significantly.
        gain: the references' error rate minus that of the selected, each measured on the half that did not
            select it, over all images. Positive: the selected are better. ``value`` has its interval and
            its p-value.
    """

    selected: tuple[int, int]
    references: tuple[int, int]
    clear: bool
    gain: Difference


def selected_gain(
    lost: Bool[np.ndarray, "runs candidates images"],
    references: Sequence[int],
    *,
    confidence: float,
    seed: int = 0,
    candidates: Sequence[int] | None = None,
) -> SelectedGain:
    """Return the gain of selecting the candidate with fewest errors over selecting among ``references``.

    ``candidates`` are those that may be selected, all if not given: a reference need not be one of them.

    The images are split at random into halves. The selection of each half is measured on the other half, so
    the gain has no selection bias. The errors of the two halves are still correlated where candidates nearly
    tie. Where the selection is clear they are not, and the gain is tested as ``paired_difference`` on all
    images, exactly; elsewhere the variance is taken 1.36 times as large, the most that ties can make it. The
    interval is of the mean of the two selections' true gains, networks fixed, and inverts the test that gives
    the p-value. Level and coverage are asymptotic and simulated in ``benchmarks/gain_intervals.py``.

    Raises:
        SettingError: as ``best_set``; fewer than two images; references or ``candidates`` that are not in
            ``lost``, or none.
    """
    require_open_unit("confidence", confidence)
    errors = _checked_errors(lost)
    runs, known, images = errors.shape
    if images < 2:
        raise SettingError(f"images must be at least 2 to be split in halves, got {images}")
    everyone, rules = list(range(known) if candidates is None else candidates), list(references)
    for name, given in (("references", rules), ("candidates", everyone)):
        if not given or not all(0 <= one < known for one in given):
            raise SettingError(f"{name} must be indices of candidates below {known}, got {given}")
    # not keyed noise: which images are in which half
    order = np.random.default_rng(seed).permutation(images)
    halves = order[: images // 2], order[images // 2 :]
    totals = errors.sum(axis=0, dtype=np.int64)
    picks, usual = [], []
    more = np.zeros(images, dtype=np.int64)
    for select, report in (halves, halves[::-1]):
        counts = totals[:, select].sum(axis=1)
        picks.append(everyone[int(counts[everyone].argmin())])
        usual.append(rules[int(counts[rules].argmin())])
        more[report] = totals[usual[-1], report] - totals[picks[-1], report]
    if picks == usual:
        nothing = Difference(0.0, 0.0, 0.0, 1.0, confidence)
        return SelectedGain((picks[0], picks[1]), (usual[0], usual[1]), picks[0] == picks[1], nothing)
    clear = _leads(totals, picks, everyone) and _leads(totals, usual, rules)
    gain = _difference(more, runs, confidence, 1.0 if clear else 1.0 + _DEPENDENCE)
    return SelectedGain((picks[0], picks[1]), (usual[0], usual[1]), clear, gain)


def _leads(totals: Int[np.ndarray, "candidates images"], picks: Sequence[int], among: Sequence[int]) -> bool:
    """Return whether both halves picked the same, and it beats all others significantly, each by itself."""
    leader = picks[0]
    return picks[1] == leader and all(
        sign_flip_p_values(totals[other] - totals[leader])[0] <= _CLEAR for other in among if other != leader
    )
