"""The synthetic study against its published numbers, SciPy's own filter, and the law of its test."""

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from sfumato.errors import SettingError
from sfumato.theory.figure4 import (
    Figure4,
    dips_sentence,
    figure4_continuum,
    figure4_published,
    paper_draw,
    paper_stream,
    significant_dips,
)


@pytest.fixture(scope="module")
def published():
    return figure4_published()


def test_the_published_ends_of_the_curves_come_out(published):
    expected = [  # beta = 8, 11, 14; zeta = 0..3 across
        [0.1682, 0.1465, 0.0996, 0.0877],
        [0.0646, 0.0149, 0.0080, 0.0033],
        [0.0285, 0.0013, 0.0008, 0.0000],
    ]
    assert np.abs(published.mean[:, :, -1].T - expected).max() <= 0.5001e-4


def test_the_published_minima_come_out_with_their_standard_errors(published):
    for beta, zeta, alpha, depth, error in (
        (1, 0, 3, -0.0017, 0.0025),
        (2, 0, 4, -0.0045, 0.0016),
        (2, 1, 6, -0.0029, 0.0021),
        (2, 2, 7, -0.0036, 0.0023),
    ):
        curve = published.mean[zeta, beta]
        assert int(curve[1:].argmin()) + 1 == alpha
        assert abs(curve[alpha] - depth) <= 0.5001e-4
        assert abs(published.standard_error[zeta, beta, alpha] - error) <= 0.5001e-4
    assert published.mean[3, 2].min() == 0
    assert (published.difference[0, 2, 4] <= 0).sum() == 9


def test_risks_are_those_of_the_published_filter_to_the_pixel():
    ours = figure4_published(draws=2, seed=5, zetas=(1,), betas=(8, 30), alphas=(0, 1.3, 6, 27))
    stream = paper_stream(5)
    for column, beta in enumerate((8, 30)):
        for draw in range(2):
            labels = paper_draw(1, stream).astype(np.float32)
            for row, alpha in enumerate((0, 1.3, 6, 27)):
                trained = gaussian_filter(labels, alpha, mode="constant") >= 0.5
                smoothed = gaussian_filter(trained.astype(np.float32), beta, mode="constant") >= 0.5
                assert ours.risk[0, column, row, draw] == np.mean(smoothed != (labels == 1))


def test_the_continuum_helps_at_the_wide_gap_and_not_at_the_dense_packing():
    # Saturated packings: density .54 at zeta = 0 fills up, .41 at zeta = 3 is mended by alpha = 7.
    study = figure4_continuum(draws=2, zetas=(0, 3), betas=(14,), alphas=(0, 7))
    assert abs(study.density[0].mean() - 0.547) < 0.012
    assert abs(study.density[1].mean() - 0.547 * (20 / 23) ** 2) < 0.012
    assert study.difference[0, 0, 1].min() > 0.005
    assert study.difference[1, 0, 1].max() < -0.002
    assert study.error.max() < 2e-3


def test_a_draw_does_not_depend_on_how_many_there_are():
    few, more = (
        figure4_continuum(draws, side=100.0, cells=100, zetas=(1,), betas=(14,), alphas=(0, 5))
        for draws in (1, 2)
    )
    assert np.array_equal(few.risk[..., 0], more.risk[..., 0])


def made_up(random, curves, draws, shift=0.0):
    """Curves of correlated noise around ``shift`` for all alpha > 0."""
    noise = random.standard_normal((1, curves, 20, draws)) * 0.6 + random.standard_normal(
        (1, curves, 1, draws)
    )
    risk = np.concatenate([np.zeros((1, curves, 1, draws)), noise + shift], axis=2)
    alphas = np.arange(21.0)
    return Figure4(
        "made up",
        np.zeros(1),
        np.arange(float(curves)),
        alphas,
        risk,
        np.ones((1, curves, draws)),
        0 * risk,
        common_draws=False,
    )


def test_chance_alone_is_rarely_called_a_dip_although_its_minimum_looks_like_one():
    random = np.random.default_rng(0)
    found, naive = 0, 0
    for _ in range(150):
        figure = made_up(random, curves=12, draws=8)
        dips = significant_dips(figure, level=0.1)
        found += any(dip.significant for dip in dips)
        naive += any(dip.depth < -2 * dip.standard_error for dip in dips)
    # At most 0.1 in truth; 28 of 150 would be three standard deviations above.
    assert found < 26
    assert naive > 100


def test_a_true_dip_is_found():
    random = np.random.default_rng(1)
    dips = significant_dips(made_up(random, curves=3, draws=10, shift=-2.5))
    assert all(dip.significant for dip in dips)
    assert all(dip.adjusted >= dip.p_value >= 1 / 1024 for dip in dips)


def test_the_published_figure_has_no_significant_dip_and_says_so(published):
    dips = significant_dips(published)
    lowest = next(dip for dip in dips if (dip.zeta, dip.beta) == (0, 14))
    assert (lowest.alpha, round(lowest.depth, 4), round(lowest.standard_error, 4)) == (4, -0.0045, 0.0016)
    assert not any(dip.significant for dip in dips)
    assert dips_sentence(published) == (
        "published: of 12 curves over 10 draws, none dips significantly below zero (family-wise level 0.05)."
    )


def test_significant_dips_are_named_in_one_sentence():
    figure = dataclasses.replace(made_up(np.random.default_rng(2), 1, 10, -3.0), name="continuum")
    sentence = dips_sentence(figure)
    assert sentence.startswith("continuum: of 1 curves over 10 draws, 1 dips significantly below zero")
    assert "beta=0, zeta=0" in sentence


def test_curves_without_any_spread_are_no_dip():
    figure = made_up(np.random.default_rng(3), curves=2, draws=10)
    flat = dataclasses.replace(figure, risk=np.full_like(figure.risk, 0.3))
    assert [dip.p_value for dip in significant_dips(flat)] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: figure4_published(draws=0), "draws must be a whole number of at least 1, got 0"),
        (lambda: figure4_published(alphas=(1, 2)), "alphas must start at 0"),
        (lambda: figure4_continuum(draws=1, cells=200), "needs at least 400 cells along a side of 400"),
        (lambda: figure4_published(zetas=(0.5,)), "zeta must be a whole number of at least 0, got 0.5"),
        (
            lambda: significant_dips(figure4_published(draws=1, betas=(8,), alphas=(0, 5))),
            "draws must be at least 2",
        ),
    ],
)
def test_bad_settings_are_one_clear_error(call, message):
    with pytest.raises(SettingError, match=message):
        call()
