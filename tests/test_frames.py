"""Every result that is a table or a list becomes a data frame, and says what is missing without pandas."""

import math
import sys

import numpy as np
import pandas
import pytest

from sfumato.advice.advise import advise
from sfumato.advice.recorded_radii import other_alpha
from sfumato.advice.sweep import Sweep
from sfumato.answers.advise_radius import RacedBeta, RadiusAdvice
from sfumato.answers.best import answer_study
from sfumato.answers.best_pair import best_pair
from sfumato.answers.objective import VoteRisk
from sfumato.answers.pair_search import PairPoint, PairSearch, PairSearchResult
from sfumato.answers.race_study import RaceResult
from sfumato.answers.search import AlphaSearch, SearchPoint, SearchResult
from sfumato.attacks.smoothed_attack import AttackedImage, AttackedImages
from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.certification.conformal import PredictionSets
from sfumato.certification.median import MedianBounds
from sfumato.errors import MissingPackageError
from sfumato.reporting.tables import Table
from sfumato.smoothing.risk import Risk
from sfumato.studies.results import CellResult, StudyResults

UNIT = "pixels in [0, 1]"
ONES = np.ones(4, dtype=np.int64)


def cell(alpha, beta, wrong):
    return CellResult(
        alpha, beta, 0, np.arange(4), ONES, 1 - np.array(wrong), 100 * ONES, 50 * ONES, 40 * ONES
    )


# errors by (alpha, beta)
CELLS = {
    (0.1, 0.2): [0, 0, 0, 1],
    (0.3, 0.2): [1, 0, 0, 1],
    (0.1, 0.5): [1, 1, 0, 1],
    (0.3, 0.5): [0, 0, 0, 0],
}
ROWS = Certificates([Certificate(7, 1, 1, 0.4, 0.1, 100), Certificate(9, 0, -1, 0.0, 0.1)])
STUDY = StudyResults(
    "made",
    UNIT,
    100,
    {(*pair, 0): cell(*pair, wrong) for pair, wrong in CELLS.items()},
    {(0.1, 0.2, 0): ROWS},
)
ANSWER = answer_study(STUDY)
PAIRS = best_pair(STUDY, VoteRisk())
SETS = PredictionSets(np.array([[True, True], [False, True]]), 0.9, 0.1, 100, 60, 90)
BOUNDS = MedianBounds(
    np.array([[1.0, 2.0]]), np.array([[0.5, 1.5]]), np.array([[1.5, math.inf]]), 0.2, 0.999, 9
)
ADVICE = RadiusAdvice(
    *("network", 0.25, 0.5, 0.5, 0.7, 0.6, 0.8, (0.5,)),
    (RacedBeta(0.25, 20, 50, True), RacedBeta(0.5, 70, 100, False)),
    *((), other_alpha(0.25, 0.5, 0.5, data="made", unit=UNIT), 100, 9000, 0.95, "made", UNIT),
)
RACE = RaceResult(0.5, PAIRS, {(0.1, 0.5): 50}, (), 9000, 4, 0.999, UNIT, "made")
PAIR_POINT = PairPoint(0.3, 0.5, 12, 100, (0.25,), 9000, True)
FOUND = {
    "certificates": ROWS,
    "accuracy": Certificates(ROWS).accuracy([0.25, 0.5]),
    "study": STUDY,
    "answer": ANSWER,
    "answer at a beta": ANSWER.betas[0],
    "pairs": PAIRS,
    "race": RACE,
    "search": SearchResult(AlphaSearch(0.5, 3), (SearchPoint(0.35, 7, 100, True),), 0, UNIT),
    "pair search": PairSearchResult(PairSearch(0.5, (0.5,), 3), PAIRS, (PAIR_POINT,), (), 0.999, 0, UNIT),
    "advice": advise(0.5),
    "advice for a radius": ADVICE,
    "sweep": Sweep("network", 0.1, (0.0, 0.5), np.array([[False, True], [False, False]])),
    "risk": Risk(0.5, 100, STUDY.cells[0.3, 0.2, 0]),
    "attack": AttackedImages([AttackedImage(3, 1, 1, math.inf)]),
    "sets": SETS,
    "bounds": BOUNDS,
    "table": Table.of("Risk", ["alpha", "risk"], [[0.1, 0.25]]),
}


@pytest.mark.parametrize("name", FOUND)
def test_without_pandas_one_line_says_how_to_get_it(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingPackageError, match=r"^to_frame needs pandas: pip install pandas$"):
        FOUND[name].to_frame()


@pytest.mark.parametrize(
    ("name", "index", "rows"),
    [
        ("certificates", ["idx"], 2),
        ("accuracy", ["radius"], 2),
        ("study", ["alpha", "beta", "seed"], 4),
        ("answer", ["beta"], 2),
        ("answer at a beta", ["alpha"], 2),
        ("pairs", ["alpha", "beta"], 4),
        ("race", ["alpha", "beta"], 4),
        ("search", ["alpha"], 1),
        ("pair search", ["alpha"], 1),
        ("advice", ["estimator"], 1),
        ("advice for a radius", ["beta"], 2),
        ("sweep", ["beta"], 2),
        ("risk", ["example"], 4),
        ("attack", ["idx"], 1),
        ("sets", [None], 2),
        ("bounds", ["input", "output"], 2),
        ("table", ["alpha"], 1),
    ],
)
def test_a_frame_has_a_row_for_each_entry_and_an_index_that_tells_them_apart(name, index, rows):
    frame = FOUND[name].to_frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.index.names) == index
    assert len(frame) == rows
    assert frame.index.is_unique


def test_certificates_of_a_frame_are_those_of_the_collection():
    frame = ROWS.to_frame()
    assert frame.radius[7] == 0.4
    assert list(frame.correct) == [True, False]
    assert math.isnan(frame.votes[9]), "not stated"
    assert list(Certificates().to_frame().columns) == list(frame.columns), "no rows, the same columns"


def test_the_risks_of_a_study_are_counted():
    assert STUDY.to_frame().risk.to_dict() == {
        (alpha, beta, 0): sum(wrong) / 4 for (alpha, beta), wrong in CELLS.items()
    }
    certified = STUDY.certificates_to_frame()
    assert certified.radius[0.1, 0.2, 0, 7] == 0.4
    assert list(FOUND["risk"].to_frame().wrong) == [True, False, False, True]
    assert FOUND["sweep"].to_frame().errors[0.5] == 1


def test_answers_are_those_of_the_objects():
    best = ANSWER.to_frame()
    assert list(best.alpha) == [0.1, 0.3]
    assert (best.risk[0.5], best.gain[0.5]) == (0.0, ANSWER.betas[1].gain.gain)
    assert best.gain_low[0.2] == ANSWER.betas[0].gain.low
    risks = ANSWER.risks_to_frame()
    assert risks.high[0.5, 0.3] == ANSWER.betas[1].points[1].high
    assert list(risks.loc[0.2].index) == [0.1, 0.3]
    assert ANSWER.betas[1].to_frame().in_set.to_dict() == {0.1: 0.1 in ANSWER.betas[1].exact_set, 0.3: True}
    assert list(PAIRS.to_frame().best) == [False, False, False, True]
    assert PAIRS.to_frame().accuracy[0.3, 0.5] == 1.0
    assert list(ADVICE.to_frame().in_set) == [False, True]


def test_a_pair_that_left_a_race_early_has_no_accuracy():
    whole = [place for place, pair in enumerate(PAIRS.pairs) if pair != (0.1, 0.5)]
    changed = {
        name: tuple(getattr(PAIRS, name)[place] for place in whole) for name in ("pairs", "accuracies")
    }
    frame = RaceResult(**{**vars(RACE), "answer": type(PAIRS)(**{**vars(PAIRS), **changed})}).to_frame()
    assert math.isnan(frame.accuracy[0.1, 0.5])
    assert (frame.images[0.1, 0.5], frame.images[0.3, 0.5]) == (50, 4)
    assert list(frame.dropped) == [False, False, True, False]


def test_sets_and_bounds_have_their_values():
    assert list(SETS.to_frame().labels) == [[0, 1], [1]]
    assert SETS.to_frame().loc[1, "size"] == 1
    assert BOUNDS.to_frame().loc[(0, 1), ["median", "lower", "upper"]].tolist() == [2.0, 1.5, math.inf]
