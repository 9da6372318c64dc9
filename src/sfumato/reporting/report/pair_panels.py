"""The panels of which noises to choose for a radius: the best pair against it, and the map at some radii."""

from __future__ import annotations

from collections.abc import Sequence

from sfumato.answers.best_pair import PairAnswer, best_pair
from sfumato.answers.objective import CertifiedAccuracy
from sfumato.errors import DataError
from sfumato.reporting.answer_tables import pairs_table
from sfumato.reporting.pair_figures import best_by_radius, best_pair_map
from sfumato.reporting.picture import Picture
from sfumato.reporting.report.page import Panel
from sfumato.studies.results import StudyResults

_MOST_MAPS = 6


def pair_panels(
    results: StudyResults, radii: Sequence[float], key: str, *, confidence: float, seed: int
) -> tuple[Panel, ...]:
    """Return the panels of the pairs (alpha, beta) that are certified; none if there are fewer than two.

    Radii that the certificates do not answer for are left out.
    """
    answers: dict[float, PairAnswer] = {}
    why = ""
    for radius in radii:
        try:
            found = best_pair(results, CertifiedAccuracy(radius), confidence=confidence, seed=seed)
        except DataError as error:
            why = why or f" Left out: {error}."
            continue
        if len(found.pairs) > 1:
            answers[radius] = found
    if not answers:
        return ()
    maps = list(answers)[:: -(-len(answers) // _MOST_MAPS)]
    (accuracy,), (noises,) = best_by_radius(answers, results.unit).panels
    table = pairs_table(
        {f"{radius:g}": found for radius, found in answers.items()}, results.data, confidence=confidence
    )
    return (
        Panel(
            f"{key}-pairs",
            "What the best pair of noises certifies",
            "Certified accuracy of the best measured pair (α*, β*) at each radius with bounds for the "
            f"population (confidence {confidence:.4g}), beside the best pair with α = β. The table has the "
            "set of pairs that no other beats significantly, and the gain over α = β: both are picked on one "
            f"half of the images and compared on the other.{why}",
            Picture(((accuracy,),)),
            table,
        ),
        Panel(
            f"{key}-pair-noises",
            "The best pair of noises at each radius",
            "Training noise α* and smoothing noise β* of the best measured pair, and the noise of the best "
            "pair with α = β.",
            Picture(((noises,),)),
            table,
        ),
        *(
            Panel(
                f"{key}-pairs-{index}",
                f"Certified accuracy at radius {radius:g} over both noises",
                "The star is the best pair; the outline holds the pairs that no other beats significantly.",
                best_pair_map(answers[radius], results.unit),
            )
            for index, radius in enumerate(maps)
        ),
    )
