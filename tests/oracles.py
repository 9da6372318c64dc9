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


def gaussian_tail(t):
    """P(Z > t) by the complementary error function."""
    return math.erfc(t / math.sqrt(2)) / 2
