import itertools
import math

import numpy as np
import pytest

from sfumato.answers.loss_curve import LossCurve
from sfumato.answers.objective import CertifiedAccuracy
from sfumato.answers.pair_search import PairSearch, search_pairs
from sfumato.errors import SettingError
from sfumato.studies.design import make_design, read_design
from sfumato.studies.run import STUDY_FILE, Watch, run_study
from sfumato.studies.store import load_results

BETAS = (0.12, 0.25, 0.5, 1.0)


def loss_at(alpha, best):
    """Lowest at ``best``, and rising on both sides in log alpha."""
    return 0.3 + 0.1 * min(4.0, math.log((alpha + 0.01) / best) ** 2)


@pytest.mark.parametrize(("radius", "best"), [(0.0, 0.15), (0.5, 0.4), (0.5, 0.9), (1.0, 1.6)])
def test_six_trainings_come_near_the_lowest_loss(radius, best):
    regrets = []
    for repetition in range(5):
        generator = np.random.default_rng(repetition)
        search, told = PairSearch(radius, BETAS, 6), {}
        while not search.finished:
            alpha = search.propose()
            told[alpha] = int(generator.binomial(1000, loss_at(alpha, best)))
            search.tell(alpha, told[alpha], 1000)
        chosen = min(told, key=told.get)
        regrets.append(loss_at(chosen, best) - 0.3)
    assert len(told) == 6
    assert np.mean(regrets) < math.sqrt(0.3 * 0.7 / 1000)


def test_the_curve_is_the_exact_posterior_where_all_is_known():
    """So many images that the curve must go through its points, and a far point that says nothing."""
    u = np.array([0.5, 1.0, 1.5])
    rates = np.array([0.4, 0.3, 0.35])
    curve = LossCurve(u, 1e6 * rates, np.full(3, 1e6), u, 1.0)
    np.testing.assert_allclose(curve.loss, rates, atol=0.01)
    assert (curve.gain(float(curve.mean.min())) >= 0).all()


def test_proposals_are_multiples_of_the_step_from_0_to_twice_the_largest_beta():
    search = PairSearch(0.2, (0.2, 0.4), 100, step=0.1)
    assert search.range == (0.0, 0.8)
    seen = []
    while not search.finished:
        seen.append(search.propose())
        assert search.propose() == seen[-1], "the same until told"
        search.tell(seen[-1], 50, 100)
    assert sorted(seen) == pytest.approx([0.1 * k for k in range(9)])


def test_the_order_of_what_is_known_does_not_matter():
    found = set()
    for order in itertools.permutations([(0.0, 90, 100), (0.2, 40, 100), (0.5, 35, 100), (0.9, 50, 100)]):
        search = PairSearch(0.5, BETAS, 3)
        for point in order:
            search.tell(*point)
        found.add((search.propose(), float(search.expected_accuracy([0.3])[0])))
        assert search.spent == 0, "what was not proposed is free"
    assert len(found) == 1


RADIUS = 0.15
IMAGES = 25
TABLES = {
    "data": {"images": 60},
    "model": {"epochs": 4, "batch_size": 500},
    "grid": {"alpha": [0.2], "beta": [0.0, 0.03, 0.2, 0.6]},
    "votes": {"n": 10},
}
DESIGN = make_design(TABLES)


class Killed(Exception):
    pass


def searched(folder, budget, stop_at=None, **options):
    steps = itertools.count()

    def step(work, note):
        if next(steps) == stop_at:
            raise Killed

    watch = Watch(on_work=step)
    return search_pairs(DESIGN, folder, RADIUS, budget, images=IMAGES, device="cpu", watch=watch, **options)


def models_in(folder):
    return len(list((folder / "models").glob("*.safetensors")))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """Return a study that was run, and its search."""
    folder = tmp_path_factory.mktemp("unbroken")
    run_study(DESIGN, folder, device="cpu")
    return folder, searched(folder, 2)


def test_a_search_certifies_all_betas_and_names_the_best_pair(unbroken):
    folder, result = unbroken
    assert [point.new for point in result.points] == [False, True, True]
    assert result.points[0].alpha == 0.2, "what is trained is free"
    assert result.search.spent == 2
    assert models_in(folder) == 3
    assert result.cannot == (0.03,), "100,000 votes that all agree certify a radius of 3.8 beta"
    alphas = sorted(point.alpha for point in result.points)
    table = {"beta": [0.2, 0.6], "plan": f"decide({RADIUS})", "images": IMAGES, "label_known": True}
    grid = {"alpha": alphas, "beta": [0.0]}
    whole = run_study(make_design(TABLES | {"grid": grid}, {"certification": table}), folder, device="cpu")
    cells = CertifiedAccuracy(RADIUS).cells(whole)
    lost = {key[:2]: int(CertifiedAccuracy(RADIUS).loss(cell).sum()) for key, cell in cells.items()}
    for point in result.points:
        assert point.lost == min(lost[point.alpha, 0.2], lost[point.alpha, 0.6])
        assert point.lost == lost[point.alpha, point.beta]
    assert 1 - min(lost.values()) / IMAGES == pytest.approx(result.answer.accuracy)
    assert lost[result.answer.alpha, result.answer.beta] == min(lost.values())


def test_the_study_file_and_what_it_shows_stay(unbroken):
    folder, _ = unbroken
    searched(folder, 2)
    assert read_design(folder / STUDY_FILE) == DESIGN
    assert {key[1] for key in load_results(folder).cells} == {0.0, 0.03, 0.2, 0.6}


def test_a_search_killed_again_and_again_keeps_its_budget(unbroken, tmp_path):
    run_study(DESIGN, tmp_path, device="cpu")
    kills = 0
    for stop_at in (2, 4, 7):
        try:
            searched(tmp_path, 2, stop_at)
        except Killed:
            kills += 1
        assert models_in(tmp_path) <= 3
    assert kills > 1
    result = searched(tmp_path, 2)
    assert models_in(tmp_path) == 3
    assert result.answer == unbroken[1].answer
    assert {(p.alpha, p.beta, p.lost) for p in result.points} == {
        (p.alpha, p.beta, p.lost) for p in unbroken[1].points
    }


def test_a_larger_budget_goes_on_and_another_beta_has_its_own(unbroken):
    folder, before = unbroken
    again = searched(folder, 1)
    assert again.points == tuple(type(point)(**{**vars(point), "new": False}) for point in before.points), (
        "a smaller budget trains nothing"
    )
    fixed = searched(folder, 1, beta=0.6)
    assert {beta for _, beta in fixed.answer.pairs} == {0.6}
    assert fixed.search.spent == 1
    count = models_in(folder)
    more = searched(folder, 3)
    assert more.search.spent == 3
    assert models_in(folder) <= count + 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"radius": -1.0}, "radius must be a finite number of at least 0, got -1"),
        ({"radius": math.nan}, "radius must be"),
        (
            {"radius": 5.0},
            r"none of the betas 0, 0.03, 0.2, 0.6 can certify radius 5; it takes a beta of at least 1\.3",
        ),
        ({"beta": 0.03}, r"none of the betas 0.03 can certify radius 0.15; it takes"),
        ({"beta": 0.0}, "beta must be a positive finite number"),
        ({"budget": 0}, "budget must be"),
        ({"images": 0}, "images must be"),
        ({"images": 10_000}, "images must be at most the 797 test images"),
        ({"step": 5.0}, "step must leave at least 3 alphas up to 1.2"),
        ({"confidence": 0.9995}, "confidence must be below 0.999, got 0.9995"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_a_search_that_cannot_be_is_one_line_and_computes_nothing(options, words, tmp_path):
    with pytest.raises(SettingError, match=words) as found:
        search_pairs(DESIGN, tmp_path / "s", **{"radius": RADIUS, "budget": 2, "device": "cpu"} | options)
    assert "\n" not in str(found.value)
    assert not list(tmp_path.rglob("*.sqlite"))


def test_a_study_without_smoothing_noise_has_nothing_to_choose_from(tmp_path):
    design = make_design(TABLES | {"grid": {"alpha": [0.2], "beta": [0.0]}})
    with pytest.raises(SettingError, match="no beta is above 0; add the smoothing noises"):
        search_pairs(design, tmp_path, RADIUS, 2, device="cpu")
