"""Which of many classifiers is the best on the same images, with what certainty, and by how much.

The candidates of a study (one per training noise) are evaluated on the same images, so all comparisons
are paired. "The images" are a sample of a population; "the runs" are repeated trainings of every
candidate. What is exact here is exact for the trained networks at hand, whatever their number; the
bootstrap also resamples the runs, and so speaks of the training procedure. Sources: McNemar 1947 in its
exact form; Fisher's sign-flip test, of which it is the case of one run; Holm 1979; Hansen, Lunde & Nason
2011 (sets of best models); Rao & Wu 1988 and Owen 2007 (bootstrap of few units, and of two ways at once).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy import fft, special

from sfumato.errors import SettingError, require_count, require_open_unit
from sfumato.statistics.binomial import sign_test_p_value, two_sided_interval
from sfumato.statistics.estimates import PairedComparison, holm

DEFAULT_DRAWS = 2000
_ROUNDING = 1e-12  # tails summed from a Fourier transform are exact to about 1e-14; p-values err upward
_SIGN_SHARE = 0.9  # of an interval's error, for the sign of a difference; the rest is for its size
_DRAWS_AT_ONCE = 250  # keeps the bootstrap's weights of 10,000 images at 20 MB


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
    population lies inside. It is the mean over k = 1 ... runs of the probability that an image has the
    event in at least k runs; each of these has its Clopper-Pearson interval at an equal share of the
    error. Of one run it is the Clopper-Pearson interval.

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


def compare_paired_runs(
    first: Bool[np.ndarray, "runs images"], second: Bool[np.ndarray, "runs images"], *, confidence: float
) -> PairedComparison:
    """Return the difference of two error rates, each the mean over the runs, on the same images.

    ``first[r, i]`` says whether the first classifier's run r is wrong on image i. With probability at
    least ``confidence`` over the drawing of images, networks fixed, the difference of the two rates in
    the population lies in [low, high]. The difference is the mean over k = 1 ... runs of P(the first is
    wrong in at least k more runs) - P(the second is); each k has its exact interval at an equal share of
    the error. The p-value is that of ``sign_flip_p_values``, two-sided: of one run, exact McNemar. Of one
    run ``compare_paired`` answers the same question; this interval is the one that agrees with the p-value
    about the sign, but for a tenth of the error.

    >>> first, second = np.zeros((2, 100), bool), np.zeros((2, 100), bool)
    >>> first[:, :25] = True
    >>> found = compare_paired_runs(first, second, confidence=0.95)
    >>> round(found.difference, 2), found.low > 0, round(found.p_value, 6)
    (0.25, True, 0.0)

    Raises:
        SettingError: arrays that are not boolean or not of one shape, a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    first, second = _checked_events(first), _checked_events(second)
    if first.shape != second.shape:
        raise SettingError(f"paired outcomes must be of one shape, got {first.shape} and {second.shape}")
    runs, images = first.shape
    only_first, only_second = first & ~second, second & ~first
    more = only_first.sum(axis=0, dtype=np.int64) - only_second.sum(axis=0)
    bounds = [
        _difference_interval(
            int(np.count_nonzero(more >= k)),
            int(np.count_nonzero(more <= -k)),
            images,
            1.0 - (1.0 - confidence) / runs,
        )
        for k in range(1, runs + 1)
    ]
    low, high = np.mean(bounds, axis=0)
    return PairedComparison(
        int(only_first.sum()),
        int(only_second.sum()),
        float(more.sum()) / (runs * images),
        float(low),
        float(high),
        _two_sided_p_value(more),
        confidence,
    )


def _difference_interval(above: int, below: int, images: int, confidence: float) -> tuple[float, float]:
    """Return bounds of P(above) - P(below), of two events that exclude each other.

    The difference is P(either) (2 P(above | either) - 1); both factors have Clopper-Pearson intervals, of
    which the second, that decides the sign, gets most of the error and agrees with McNemar's test.
    """
    error = 1.0 - confidence
    rarest, most = two_sided_interval(above + below, images, 1.0 - (1.0 - _SIGN_SHARE) * error)
    if above + below == 0:
        return -most, most
    low, high = (
        2.0 * share - 1.0 for share in two_sided_interval(above, above + below, 1.0 - _SIGN_SHARE * error)
    )
    return low * (rarest if low > 0 else most), high * (most if high > 0 else rarest)


def _two_sided_p_value(differences: Int[np.ndarray, " images"]) -> float:
    if np.abs(differences).max() <= 1:  # McNemar's test, without the rounding of the transform
        return sign_test_p_value(int((differences > 0).sum()), int((differences < 0).sum()))
    return min(1.0, 2.0 * min(sign_flip_p_values(differences)))


def compare_selected(
    first: Bool[np.ndarray, "runs images"],
    second: Bool[np.ndarray, "runs images"],
    *,
    confidence: float,
    candidates: int,
) -> PairedComparison:
    """Return ``compare_paired_runs`` where one of the two was picked after seeing these images.

    The one picked is any of ``candidates``; the other was fixed beforehand. Interval and p-value hold for
    all candidates together (Bonferroni), so also for the one that was picked, however it was picked.
    The difference itself remains that of the pick, whose luck it includes.

    Raises:
        SettingError: as ``compare_paired_runs``; candidates below 1.
    """
    require_count("candidates", candidates)
    require_open_unit("confidence", confidence)
    found = compare_paired_runs(first, second, confidence=1.0 - (1.0 - confidence) / candidates)
    return PairedComparison(
        found.only_first,
        found.only_second,
        found.difference,
        found.low,
        found.high,
        min(1.0, candidates * found.p_value),
        confidence,
    )


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


def best_set(wrong: Bool[np.ndarray, "runs candidates images"], *, confidence: float) -> BestSet:
    """Return the candidates that no other beats significantly.

    Each candidate is tested against every other, one-sided ("it is not worse"), by the exact McNemar test
    (of several runs: by the sign-flip test of the images' sums), with Holm's correction over its tests; it
    is kept if none rejects. With probability at least ``confidence`` over the drawing of images, networks
    fixed, the candidate of lowest risk in the population is in the set: all of its own hypotheses are
    true, and one is rejected with probability at most 1 - ``confidence``. Of one run that is exact; of
    several it holds for many images, or where differences are as likely as their negatives. No winner is
    picked beforehand, so nothing has to be paid for picking it. The candidate with fewest errors is kept.

    >>> wrong = np.zeros((1, 3, 40), bool)
    >>> wrong[0, 1, :2] = wrong[0, 2, :15] = True
    >>> best_set(wrong, confidence=0.95).kept
    array([ True,  True, False])

    Raises:
        SettingError: not a boolean array (runs, candidates, images), a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    errors = _checked_errors(wrong)
    beaten = _beaten_p_values(errors)
    candidates = len(beaten)
    p_values = np.array(
        [min(holm(np.delete(beaten[index], index).tolist()), default=1.0) for index in range(candidates)]
    )
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


def bootstrap_means(
    losses: Shaped[np.ndarray, "runs candidates images"], *, draws: int = DEFAULT_DRAWS, seed: int = 0
) -> Float[np.ndarray, "draws candidates"]:
    """Return the candidates' mean losses on resampled images and runs, the same ones for all candidates.

    Images are drawn with replacement; of R >= 2 runs R - 1 are, so that the spread estimates the runs'
    variance without bias. Of a single run the images alone are resampled: to do so with several runs
    give their mean. ``losses`` are errors, or shares of wrong votes.

    Raises:
        SettingError: another shape, fewer than 1 draw.
    """
    require_count("draws", draws)
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 3 or not values.size:
        raise SettingError(f"losses must be of shape (runs, candidates, images), got {values.shape}")
    runs, candidates, images = values.shape
    # images with the same outcome everywhere are one category: most are right throughout
    outcomes, counts = np.unique(values.reshape(-1, images).T, axis=0, return_counts=True)
    # not keyed noise: the bootstrap's choice of images
    rng = np.random.default_rng(seed)
    means = np.empty((draws, candidates))
    for start in range(0, draws, _DRAWS_AT_ONCE):
        stop = min(start + _DRAWS_AT_ONCE, draws)
        weights = rng.multinomial(images, counts / images, size=stop - start) / images
        by_run = (weights @ outcomes).reshape(-1, runs, candidates)
        few = max(1, runs - 1)
        share = rng.multinomial(few, np.full(runs, 1.0 / runs), size=stop - start) / few
        means[start:stop] = np.einsum("br,brc->bc", share, by_run)
    return means


def bootstrap_best_set(
    means: Float[np.ndarray, " candidates"],
    resampled: Float[np.ndarray, "draws candidates"],
    *,
    confidence: float,
) -> BestSet:
    """Return the candidates that the bootstrap does not find worse than another.

    For each candidate the largest studentised difference to another is compared with its bootstrap
    distribution around the observed differences, which knows how strongly the candidates go
    together (Hansen, Lunde & Nason 2011, their T_max against all others). The set holds the candidate of
    lowest mean loss with probability at least ``confidence`` for many images (asymptotically); what was
    resampled says over what.

    Raises:
        SettingError: shapes that do not fit, a confidence outside (0, 1).
    """
    require_open_unit("confidence", confidence)
    means, resampled = np.asarray(means), np.asarray(resampled)
    if means.ndim != 1 or resampled.ndim != 2 or resampled.shape[1] != means.size:
        raise SettingError(f"means of shape {means.shape} do not fit draws of shape {resampled.shape}")
    errors = resampled - means
    p_values = np.ones(means.size)
    for index in range(means.size):
        spread = errors[:, [index]] - errors
        scale = spread.std(axis=0)
        scale = np.where(scale > 1e-12, scale, np.inf)  # never differs in any draw: no evidence
        observed = ((means[index] - means) / scale).max()
        exceeding = np.count_nonzero((spread / scale).max(axis=1) >= observed)
        p_values[index] = 1.0 if observed <= 0 else (1 + exceeding) / (1 + len(resampled))
    return BestSet(p_values > 1.0 - confidence, p_values, confidence)


@dataclass(frozen=True)
class CrossFitted:
    """The gain of the best candidate over a reference, free of the winner's curse.

    Attributes:
        selected: the candidate selected on each half of the images.
        risk: of the selected, each measured on the other half; the mean of both.
        gain: the reference's risk minus that of the selected, each measured on the other half; the
            mean of both. Positive: the selected are better.
        low, high: interval of the mean of the two selected candidates' true gains.
        p_value: of "neither selected candidate differs from the reference".
        confidence: of the interval.
    """

    selected: tuple[int, int]
    risk: float
    gain: float
    low: float
    high: float
    p_value: float
    confidence: float


def cross_fitted_gain(
    wrong: Bool[np.ndarray, "runs candidates images"], reference: int, *, confidence: float, seed: int = 0
) -> CrossFitted:
    """Return the gain of selecting a candidate by fewest errors, measured on images not used for it.

    The images are split at random in halves; the selection on each is compared with ``reference`` on the
    other. Given its selection each comparison is an ordinary paired one, so the gain is unbiased. The two
    are not independent of one another, so they are put together by a union bound: each interval has
    half of the error, and the p-value is twice the smaller one. With probability at least
    ``confidence``, networks fixed, the mean of the two true gains lies in [low, high].

    Raises:
        SettingError: as ``best_set``; fewer than two images; a reference that is no candidate.
    """
    require_open_unit("confidence", confidence)
    errors = _checked_errors(wrong)
    _, candidates, images = errors.shape
    if images < 2:
        raise SettingError(f"images must be at least 2 to be split in halves, got {images}")
    if not 0 <= reference < candidates:
        raise SettingError(f"reference must be a candidate's index below {candidates}, got {reference}")
    # not keyed noise: which images are in which fold
    order = np.random.default_rng(seed).permutation(images)
    halves = order[: images // 2], order[images // 2 :]
    selected, risks, found = [], [], []
    for select, report in (halves, halves[::-1]):
        pick = int(errors[:, :, select].sum(axis=(0, 2)).argmin())
        selected.append(pick)
        risks.append(float(errors[:, pick][:, report].mean()))
        if pick == reference:
            found.append((0.0, 0.0, 0.0, 1.0))
            continue
        one = compare_paired_runs(
            errors[:, reference][:, report], errors[:, pick][:, report], confidence=(1.0 + confidence) / 2.0
        )
        found.append((one.difference, one.low, one.high, one.p_value))
    gain, low, high, _ = (float(value) for value in np.mean(found, axis=0))
    p_value = min(1.0, 2.0 * min(found[0][3], found[1][3]))
    return CrossFitted((selected[0], selected[1]), sum(risks) / 2.0, gain, low, high, p_value, confidence)
