"""Independent formulas and reimplementations that tests compare with."""

import math

import numpy as np
import torch
from scipy import stats


def certify_as_published(model, x, beta, n0, n, confidence, noise):
    """Cohen et al. 2019, CERTIFY, written again from the paper, in float64.

    ``noise(first, last)`` gives the standard normal draws of votes first..last-1. Returns (class or
    -1, radius, selection counts, estimation counts).
    """
    model = model.double()

    def sample_under_noise(first, last):
        counts = np.zeros(10, dtype=int)
        for start in range(first, last, 500):
            copies = x.double() + beta * noise(start, min(start + 500, last)).double()
            for vote in model(copies.float().double()).argmax(dim=1).tolist():
                counts[vote] += 1
        return counts

    with torch.no_grad():
        counts0 = sample_under_noise(0, n0)
        counts = sample_under_noise(n0, n0 + n)
    top = int(counts0.argmax())
    k = int(counts[top])
    p_lower = stats.beta.ppf(1 - confidence, k, n - k + 1) if k else 0.0
    if p_lower > 0.5:
        return top, beta * stats.norm.ppf(p_lower), counts0, counts
    return -1, 0.0, counts0, counts


def uniforms_of_key(use, seed, item, part, first, count):
    """The documented keying, written again from NumPy's generators: ``count`` numbers from ``first``."""

    def words(part, first, count):
        key, counter = np.array([seed, item], np.uint64), np.array([0, 0, use, part], np.uint64)
        bits = [int(word) for word in np.random.Philox(key=key, counter=counter).random_raw(4)]
        generator = np.random.PCG64DXSM(0)
        state = {"state": bits[0] * 2**64 + bits[1], "inc": (bits[2] * 2**64 + bits[3]) | 1}
        generator.state = {**generator.state, "state": state}
        generator.advance(first)
        return generator.random_raw(count) >> np.uint64(11)

    found = words(part, first, count) * 2.0**-53
    for place in np.flatnonzero(found < 2.0**-20):
        found[place] += (1.0 - words(part + 2**63, first + int(place), 1)[0] * 2.0**-53) * 2.0**-53
    return found


def noise_of_votes(seed, example, first, votes, shape):
    """Standard normal noise of votes ``first`` to first + votes - 1 of an example, in float64.

    Box & Muller 1958: of each vote's numbers the first half are radii, the second half angles.
    """
    values = math.prod(shape)
    half = (values + 1) // 2
    found = uniforms_of_key(1, seed, example, 0, first * 2 * half, votes * 2 * half).reshape(votes, 2, half)
    radius, angle = np.sqrt(-2 * np.log(found[:, 0])), 2 * np.pi * found[:, 1]
    both = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return both[:, :values].reshape(votes, *shape)


def gaussian_tail(t):
    """P(Z > t) by the complementary error function."""
    return math.erfc(t / math.sqrt(2)) / 2
