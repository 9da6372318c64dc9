"""Random packings against naive sequential adsorption, known jamming densities and exact areas."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfumato.errors import SettingError
from sfumato.theory.coverage import indicator
from sfumato.theory.figure4 import paper_draw, paper_stream
from sfumato.theory.packing import BallUnion, ball_volume, pack_balls


def torus_gaps(points, centres, side):
    offsets = np.abs(points[:, None, :] - centres[None, :, :])
    return np.sqrt((np.minimum(offsets, side - offsets) ** 2).sum(-1))


def naive_adsorption(random, dim, side, separation, attempts):
    """The definition: one candidate after the other, anywhere on the torus."""
    kept = np.empty((0, dim))
    for place in random.random((attempts, dim)) * side:
        if len(kept) == 0 or torus_gaps(place[None], kept, side).min() >= separation:
            kept = np.vstack([kept, place])
    return kept


@settings(max_examples=25, deadline=None)
@given(
    dim=st.integers(1, 3),
    zeta=st.floats(0, 2),
    periodic=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_two_balls_come_closer_than_zeta(dim, zeta, periodic, seed):
    side = 12.0 if dim < 3 else 7.0
    packing = pack_balls(dim, side, 1.0, zeta, seed=seed, periodic=periodic)
    centres = packing.centres
    if periodic:
        gaps = torus_gaps(centres, centres, side)
    else:
        gaps = np.sqrt(((centres[:, None] - centres[None]) ** 2).sum(-1))
        assert bool(np.all((centres >= 1.0) & (centres <= side - 1.0)))
    np.fill_diagonal(gaps, np.inf)
    assert gaps.min() >= 2 + zeta
    if len(centres) > 1:
        assert math.isclose(packing.interference_distance(), gaps.min() - 2, abs_tol=1e-12)


@pytest.mark.parametrize(("dim", "side"), [(1, 200.0), (2, 60.0), (3, 14.0)])
def test_a_saturated_packing_has_no_place_left(dim, side):
    centres = pack_balls(dim, side, 1.0, 0.3, seed=3).centres
    probes = np.random.default_rng(4).random((20_000, dim)) * side
    for chunk in np.array_split(probes, 20):
        assert torus_gaps(chunk, centres, side).min(axis=1).max() < 2.3


def test_jamming_densities_are_those_of_the_literature():
    # Renyi's parking constant; 0.54700 for discs and 0.38413 for spheres (Zhang & Torquato 2013).
    assert abs(pack_balls(1, 20_000.0, 1.0, 0.0, seed=0).density - 0.7475979202) < 0.006
    assert abs(pack_balls(2, 300.0, 1.0, 0.0, seed=0).density - 0.54700) < 0.002
    assert abs(pack_balls(3, 24.0, 1.0, 0.0, seed=0).density - 0.38413) < 0.006


def test_the_places_of_the_first_balls_follow_naive_adsorption():
    random = np.random.default_rng(5)

    def nearest(centres):
        gaps = torus_gaps(centres, centres, 12.0)
        return np.sort(gaps[np.triu_indices(len(centres), 1)])[0]

    naive = [nearest(naive_adsorption(random, 2, 12.0, 2.5, 400)[:9]) for _ in range(150)]
    ours = [nearest(pack_balls(2, 12.0, 1.0, 0.5, seed=seed, number=9).centres) for seed in range(400)]
    spread = math.sqrt(np.var(naive) / len(naive) + np.var(ours) / len(ours))
    assert abs(np.mean(naive) - np.mean(ours)) < 4 * spread


def test_saturated_numbers_of_balls_follow_naive_adsorption():
    # A circle of 4.5 separations jams with 3 or 4 balls; exhaustion by brute force tells how often.
    random = np.random.default_rng(6)
    naive = [len(naive_adsorption(random, 1, 9.0, 2.0, 400)) for _ in range(120)]
    ours = [pack_balls(1, 9.0, 1.0, 0.0, seed=seed).number for seed in range(1000)]
    spread = math.sqrt(np.var(naive) / len(naive) + np.var(ours) / len(ours))
    assert abs(np.mean(naive) - np.mean(ours)) < 4 * spread


def test_fewer_balls_are_the_first_of_more():
    some, more = (pack_balls(2, 100.0, 1.0, 0.0, seed=7, number=number).centres for number in (300, 400))
    assert len(some) == 300
    assert np.array_equal(some, more[:300])


def test_the_same_seed_gives_the_same_packing():
    first, second = (pack_balls(2, 50.0, 1.0, 0.1, seed=8).centres for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": -1.0}, "radius must be a positive finite number, got -1.0"),
        ({"dim": 0}, "dim must be a whole number of at least 1, got 0"),
        ({"zeta": -0.5}, "zeta must be a finite number of at least 0, got -0.5"),
        ({"side": 2.0}, "side must be at least 2.5 for a ball to fit, got 2"),
        ({"dim": 4}, "dim must be 1, 2 or 3 for a packing, got 4"),
        ({"number": 1000}, "number must be at most"),
        ({"number": 0}, "number must be a whole number of at least 1, got 0"),
    ],
)
def test_a_bad_packing_setting_is_one_clear_error(change, message):
    setting = {"dim": 2, "side": 12.0, "radius": 1.0, "zeta": 0.5, "seed": 0} | change
    with pytest.raises(SettingError, match=message):
        pack_balls(**setting)


@pytest.mark.parametrize(
    ("centres", "message"),
    [
        ([[1.0, 1.0], [2.0, 1.0]], "balls must not overlap, and two overlap by 1"),
        ([[0.5, 5.0], [9.5, 5.0]], "balls must not overlap, and two overlap by 1"),
        ([[10.0, 1.0]], "centres must lie within 0 and the side 10"),
        ([1.0, 2.0], "centres must have the shape"),
    ],
)
def test_bad_balls_are_one_clear_error(centres, message):
    with pytest.raises(SettingError, match=message):
        BallUnion(np.array(centres), radius=1.0, side=10.0)


@settings(max_examples=30, deadline=None)
@given(x=st.floats(0, 9.999), y=st.floats(0, 9.999), radius=st.floats(0.2, 4.9), cells=st.integers(4, 40))
def test_the_indicator_of_a_disc_has_the_disc_area_wherever_it_lies(x, y, radius, cells):
    shares = indicator(BallUnion(np.array([[x, y]]), radius, 10.0), cells)
    assert math.isclose(shares.sum() * (10 / cells) ** 2, math.pi * radius**2, rel_tol=1e-9)
    assert shares.min() >= 0


def test_the_indicator_gives_each_cell_its_area_in_the_disc():
    centres = np.array([[3.3, 9.6], [7.1, 4.2]])
    shares = indicator(BallUnion(centres, 2.0, 10.0), cells=20)
    fine = (np.arange(20 * 100) + 0.5) / 200
    points = np.stack(np.meshgrid(fine, fine, indexing="ij"), -1).reshape(-1, 2)
    covered = np.concatenate(
        [(torus_gaps(chunk, centres, 10.0).min(axis=1) <= 2.0) for chunk in np.array_split(points, 40)]
    )
    sampled = covered.reshape(20, 100, 20, 100).mean(axis=(1, 3))
    assert np.abs(shares - sampled).max() < 2e-3


@pytest.mark.parametrize("cells", [10, 24])
def test_the_indicator_of_balls_in_space_has_their_volume(cells):
    balls = BallUnion(np.array([[0.3, 5.1, 2.2], [5.5, 5.0, 9.9]]), 2.0, 10.0)
    total = indicator(balls, cells).sum() * (10 / cells) ** 3
    assert math.isclose(total, 2 * ball_volume(3, 2.0), rel_tol=3e-4)


def test_a_box_cuts_off_what_sticks_out():
    balls = BallUnion(np.array([[0.0, 5.0], [10.0, 10.0]]), 2.0, 10.0, periodic=False)
    area = indicator(balls, 25).sum() * 0.4**2
    assert math.isclose(area, math.pi * 4 * (1 / 2 + 1 / 4), rel_tol=1e-9)


def published_loop(side, radius, zeta, seed, attempts=10_000):
    """The published rejection loop, pixel by pixel."""
    np.random.seed(seed)  # noqa: NPY002
    grid, centres = np.zeros((side, side)), np.zeros((side, side))
    apart = 2 * radius + zeta
    for x, y in np.random.randint(low=0, high=side, size=[attempts, 2]):  # noqa: NPY002
        window = centres[max(0, x - apart) : min(side, x + apart), max(0, y - apart) : min(side, y + apart)]
        if window.sum() == 0:
            centres[x, y] = 1
            for dx in range(-radius, radius):
                for dy in range(-radius, radius):
                    if dx**2 + dy**2 <= radius**2 and x + dx < side and y + dy < side:
                        grid[x + dx, y + dy] = 1
    return grid


@pytest.mark.parametrize("zeta", [0, 1, 2, 3])
@pytest.mark.parametrize(("side", "radius"), [(100, 10), (31, 4)])
def test_the_paper_sampler_draws_what_the_published_loop_draws(side, radius, zeta):
    for seed in (0, 246):
        expected = published_loop(side, radius, zeta, seed)
        assert np.array_equal(paper_draw(zeta, paper_stream(seed), side, radius), expected)


def test_the_paper_sampler_wraps_one_side_and_clips_the_other():
    # With room for a single centre its disc comes back from below the edge and is lost beyond it.
    for seed in range(20):
        (row, column), grid = (
            paper_stream(seed).randint(0, 20, (10_000, 2))[0],
            paper_draw(30, paper_stream(seed), 20, 9),
        )
        assert bool(grid[-1, column]) == (row < 9 or row >= 11)
        assert bool(grid[row, -1]) == (column < 9 or column >= 11)
