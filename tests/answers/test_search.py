import csv
import itertools
import math

import numpy as np
import pytest
from scipy.signal import savgol_filter

from sfumato.answers.search import AlphaSearch, search_study
from sfumato.errors import OutputError, SettingError
from sfumato.files import locked
from sfumato.studies.design import make_design, read_design
from sfumato.studies.run import STUDY_FILE, Watch, run_study
from sfumato.studies.store import load_results
from support import SHARED_DATA

REFERENCE = SHARED_DATA.parent / "reference"


def risk_of_powers(alpha, beta, *, best, fall=4.0, rise=1.2, lowest=0.01):
    """Two powers of alpha whose sum is lowest at ``best``, as odds."""
    x = alpha / best
    odds = lowest / (1 - lowest) * (rise * x**-fall + fall * x**rise) / (fall + rise)
    return odds / (1 + odds)


def run(search, risk, examples=10_000, generator=None):
    while not search.finished:
        alpha = search.propose()
        p = risk(alpha)
        errors = round(examples * p) if generator is None else generator.binomial(examples, p)
        search.tell(alpha, errors, examples)
    return search.best()


@pytest.mark.parametrize("best", [0.2, 0.35, 0.5])
def test_the_minimum_of_a_known_curve_is_found(best):
    found = run(AlphaSearch(0.5, 8), lambda a: risk_of_powers(a, 0.5, best=best), examples=100_000)
    # within the flat bottom of the curve: a hundredth of the lowest risk
    assert risk_of_powers(found.alpha, 0.5, best=best) < 0.01 * 1.01
    assert found.low < best < found.high
    assert found.risk_low < 0.01 < found.risk_high


def test_the_interval_holds_alpha_star_at_least_as_often_as_it_says():
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(40):
        best = 0.5 * math.exp(generator.normal(math.log(0.7), 0.25))
        shape = {"fall": generator.uniform(3, 7), "rise": generator.uniform(0.8, 2)}
        found = run(
            AlphaSearch(0.5, 6),
            lambda a, best=best, shape=shape: risk_of_powers(a, 0.5, best=best, **shape),
            generator=generator,
        )
        held += found.low <= best <= found.high
    assert held >= 35  # of 40 at 0.95: fewer has probability 0.014


def test_the_interval_holds_alpha_star_where_the_network_hardly_notices_beta():
    """Risks nearly flat below an alpha* of several beta, as on MNIST at beta = 0.1."""
    held = 0
    for repetition in range(20):
        generator = np.random.default_rng(repetition)
        best = 0.1 * generator.uniform(1.5, 2.8)
        found = run(
            AlphaSearch(0.1, 6),
            lambda a, best=best: risk_of_powers(a, 0.1, best=best, fall=0.2, rise=0.9, lowest=0.007),
            generator=generator,
        )
        held += found.low <= best <= found.high
    assert held >= 17  # of 20 at 0.95: fewer has probability 0.016


def test_the_order_of_what_is_known_does_not_matter_and_the_search_is_deterministic():
    points = [(0.2, 300, 10_000), (0.3, 110, 10_000), (0.45, 90, 10_000), (0.0, 2000, 10_000)]
    found = set()
    for order in itertools.permutations(points):
        search = AlphaSearch(0.5, 3)
        for point in order:
            search.tell(*point)
        found.add((search.propose(), search.best()))
    assert len(found) == 1


def test_known_points_are_free_and_only_proposals_spend_the_budget():
    search = AlphaSearch(0.5, 2)
    for alpha in (0.3, 0.4, 0.5):
        search.tell(alpha, 80, 10_000)
    for _ in range(2):
        assert not search.finished
        alpha = search.propose()
        assert search.propose() == alpha, "the same until told"
        assert alpha not in (0.3, 0.4, 0.5)
        search.tell(alpha, 80, 10_000)
    assert search.finished
    with pytest.raises(SettingError, match="budget of 2 trainings is spent"):
        search.propose()


def test_the_start_brackets_and_the_last_training_is_at_the_expected_best():
    search = AlphaSearch(0.5, 5)
    seen = []
    while not search.finished:
        alpha = search.propose()
        if len(seen) == 4:
            expected = [a for a in np.arange(1, 61) * 0.025 if np.abs(np.array(seen) - a).min() > 0.01]
            assert alpha == pytest.approx(min(expected, key=search.predict))
        seen.append(alpha)
        search.tell(alpha, round(10_000 * risk_of_powers(alpha, 0.5, best=0.35)), 10_000)
    assert seen[:3] == [0.35, 0.25, 0.5]


def test_proposals_are_multiples_of_the_step_within_the_range():
    search = AlphaSearch(0.3, 12, step=0.02)
    while not search.finished:
        alpha = search.propose()
        assert alpha == round(round(alpha / 0.02) * 0.02, 10)
        assert 0.06 <= alpha <= 0.9
        search.tell(alpha, 50, 1000)


def test_a_search_ends_when_every_alpha_is_known():
    search = AlphaSearch(0.5, 50, step=0.25)
    told = 0
    while not search.finished:
        search.tell(search.propose(), 50, 1000)
        told += 1
    assert told == 6  # 0.25, 0.5, ..., 1.5


def test_seeds_at_one_alpha_are_pooled():
    once, twice = AlphaSearch(0.5, 2), AlphaSearch(0.5, 2)
    once.tell(0.3, 30, 2000)
    twice.tell(0.3, 10, 1000)
    twice.tell(0.3, 20, 1000)
    assert once.best() == twice.best()


def test_no_errors_at_all_are_no_obstacle():
    found = run(AlphaSearch(0.5, 5), lambda alpha: 0.0, examples=100)
    assert 0 < found.risk < 0.05
    assert found.risk_low < found.risk < found.risk_high


def test_more_images_make_the_interval_narrower():
    def width(examples):
        found = run(AlphaSearch(0.5, 6), lambda a: risk_of_powers(a, 0.5, best=0.35), examples=examples)
        return math.log(found.high / found.low)

    assert width(100_000) < 0.8 * width(1000)


def published(name, images):
    path = REFERENCE / f"pal_sulam_{name}_risk.csv"
    if not path.is_file():
        pytest.skip(f"the published array is not in {REFERENCE}")
    with path.open() as file:
        rows = [
            (float(r["alpha"]), float(r["beta"]), int(r["errors"]) / images) for r in csv.DictReader(file)
        ]
    return {beta: np.array([(a, r) for a, b, r in rows if b == beta]) for beta in {b for _, b, _ in rows}}


@pytest.mark.parametrize(("beta", "repetitions"), [(0.3, 12), (0.5, 12), (0.7, 12), (0.9, 12)])
def test_six_trainings_on_mnist_come_within_a_standard_error_of_the_best_of_the_grid(beta, repetitions):
    alphas, raw = published("mnist", 10_000)[beta].T
    # smoothed as the authors do, here over 15 alphas and a quadratic
    truth = np.exp(savgol_filter(np.log(raw), 15, 2))
    limit = truth.min() + math.sqrt(truth.min() * (1 - truth.min()) / 10_000)
    within = 0
    for repetition in range(repetitions):
        found = run(
            AlphaSearch(beta, 6),
            lambda alpha: float(np.interp(alpha, alphas, truth)),
            generator=np.random.default_rng(repetition),
        )
        within += np.interp(found.alpha, alphas, truth) <= limit
    assert within >= repetitions - 2


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study that has trained alpha 0.2 and 0.4 and measured them at other betas than are searched."""
    folder = tmp_path_factory.mktemp("study")
    design = make_design(
        {
            "data": {"images": 200},
            "model": {"epochs": 2},
            "grid": {"alpha": [0.2, 0.4], "beta": [0.0, 0.3]},
            "votes": {"n": 20},
            "certification": {"beta": [0.3], "plan": "fixed(10,50)", "images": 3},
        }
    )
    run_study(design, folder, device="cpu")
    return folder, design


def test_a_study_is_searched_with_its_trained_models_free_and_stays_as_it_was(study):
    folder, design = study
    before = load_results(folder)
    seen = []
    result = search_study(design, folder, AlphaSearch(0.5, 2), device="cpu", on_point=seen.append)
    assert [(point.alpha, point.new) for point in result.points[:2]] == [(0.2, False), (0.4, False)]
    assert [point.new for point in result.points[2:]] == [True, True]
    assert tuple(seen) == result.points
    after = load_results(folder)
    for point in result.points:
        cell = after.cells[point.alpha, 0.5, 0]
        assert (cell.errors, len(cell.examples)) == (point.errors, point.examples) == (cell.errors, 200)
    assert len(list((folder / "models").glob("*.safetensors"))) == 4
    assert read_design(folder / STUDY_FILE) == design
    assert after.certificates.keys() == before.certificates.keys()
    assert before.cells.keys() <= after.cells.keys()
    # again: the budget is spent already, a larger one goes on, and the same points have the same answer
    again = search_study(design, folder, AlphaSearch(0.5, 2), device="cpu")
    assert {point.alpha for point in again.points if not point.new} == {p.alpha for p in result.points}
    assert len(again.points) == 4
    assert again.search.best() == result.search.best()
    again = search_study(design, folder, AlphaSearch(0.5, 3), device="cpu")
    assert [point.new for point in again.points] == [False] * 4 + [True]
    same = AlphaSearch(0.5, 1)
    for point in again.points:
        same.tell(point.alpha, point.errors, point.examples)
    assert same.best() == again.search.best()


def test_another_seed_is_trained_apart(study):
    folder, design = study
    result = search_study(design, folder, AlphaSearch(0.3, 1), seed=7, device="cpu")
    assert [(point.alpha, point.new) for point in result.points] == [(pytest.approx(0.21), True)]
    assert load_results(folder).cells[result.points[0].alpha, 0.3, 7].seed == 7


class Killed(Exception):
    pass


FEW = make_design(
    {
        "data": {"images": 60},
        "model": {"epochs": 2, "batch_size": 500},
        "grid": {"alpha": [0.2], "beta": [0.4]},
        "votes": {"n": 10},
    }
)


def models_in(folder):
    return len(list((folder / "models").glob("*.safetensors")))


def searched(folder, budget, stop_at=None, design=FEW):
    """Search, and stop at the step of work ``stop_at`` as a kill would."""
    steps = itertools.count()

    def step(work, note):
        if next(steps) == stop_at:
            raise Killed

    return search_study(design, folder, AlphaSearch(0.4, budget), device="cpu", watch=Watch(on_work=step))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return [searched(folder, budget) for budget in (3, 5)]


def points_of(result):
    return [(point.alpha, point.errors) for point in result.points]


@pytest.mark.parametrize("stops", [range(0, 12, 2), range(1, 12, 5), [2, 2, 2, 2, 2, 2, 2]])
def test_a_search_killed_again_and_again_trains_no_more_than_its_budget(stops, unbroken, tmp_path):
    """Each proposal is three steps of work: two epochs and the votes."""
    for stop_at in stops:
        try:
            searched(tmp_path, 3, stop_at)
        except Killed:
            assert models_in(tmp_path) <= 3
    result = searched(tmp_path, 3)
    assert models_in(tmp_path) == 3
    assert points_of(result) == points_of(unbroken[0])
    assert result.search.best() == unbroken[0].search.best()
    assert result.search.spent == 3


def test_a_larger_budget_goes_on_and_a_smaller_one_trains_nothing(unbroken, tmp_path):
    with pytest.raises(Killed):
        searched(tmp_path, 3, 7)
    done = models_in(tmp_path)
    assert searched(tmp_path, 1).search.spent == done
    assert models_in(tmp_path) == done
    searched(tmp_path, 3)
    assert points_of(searched(tmp_path, 5)) == points_of(unbroken[1])
    assert models_in(tmp_path) == 5


def test_a_study_that_holds_the_folder_keeps_a_search_out(tmp_path):
    with locked(tmp_path, tmp_path / ".lock"), pytest.raises(OutputError, match=r"another run .* holds it"):
        searched(tmp_path, 3)
    assert searched(tmp_path, 1).search.finished


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AlphaSearch(0.0, 5), "beta must be a positive finite number, got 0.0"),
        (lambda: AlphaSearch(math.nan, 5), "got nan"),
        (lambda: AlphaSearch(0.5, 0), "budget must be a whole number of at least 1, got 0"),
        (lambda: AlphaSearch(0.5, 5, step=-1), "step must be a positive finite number, got -1"),
        (lambda: AlphaSearch(0.5, 5, step=1.0), "step must leave at least 3 alphas"),
        (lambda: AlphaSearch(0.5, 5).best(), "there is no result yet at an alpha"),
        (lambda: AlphaSearch(0.5, 5).tell(0.3, 11, 10), "errors must be at most the 10 examples, got 11"),
        (lambda: AlphaSearch(0.5, 5).tell(-0.3, 1, 10), "alpha must be a finite number of at least 0"),
        (lambda: AlphaSearch(0.5, 5).tell(0.3, -1, 10), "errors must be a whole number of at least 0"),
    ],
)
def test_bad_input_is_refused_by_name(make, words):
    with pytest.raises(SettingError, match=words):
        make()
