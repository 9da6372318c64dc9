"""Tables of studies and certificates, for the report and for papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sfumato.answers.best import RiskPoint, StudyAnswer
from sfumato.answers.best_pair import Gain, Pair, PairAnswer
from sfumato.certification.accuracy import NO_GUARANTEE, CurvePoint, certified_accuracy, is_asked
from sfumato.certification.certificate import lowest_confidence
from sfumato.certification.summary import p_lower_quantiles
from sfumato.certification.without_noise import THESE_IMAGES
from sfumato.reporting.certified_sets import (
    FULL,
    Outcomes,
    accuracy_name,
    answering,
    measure_of,
    outcomes,
    require_certified,
    told_of_top_k,
    usual_radii,
    votes_spent,
)
from sfumato.reporting.sources import CertifiedSet
from sfumato.reporting.table_style import TableStyle
from sfumato.reporting.tables import Table
from sfumato.studies.results import StudyResults

PLAIN = TableStyle()
_NOT_ASKED = "–"


def risk_table(
    points: Mapping[float, Sequence[RiskPoint]],
    about: str,
    *,
    soft: bool = False,
    style: TableStyle = PLAIN,
) -> Table:
    """Return the risk (or the soft risk) by alpha and beta with its interval; a star marks the lowest.

    In a style that has bold, the lowest are in bold in place of the star.
    """
    alphas = sorted({point.alpha for found in points.values() for point in found})
    columns, bold = [], []
    for at, found in enumerate(points.values(), 1):
        values = {
            p.alpha: (p.soft, p.soft_low, p.soft_high) if soft else (p.risk, p.low, p.high) for p in found
        }
        lowest = None if style.bold else min(value for value, _, _ in values.values())
        cells = {
            alpha: ("*" if value[0] == lowest else "") + style.estimate(*value)
            for alpha, value in values.items()
        }
        columns.append([cells.get(alpha, "") for alpha in alphas])
        risks = [values[alpha][0] if alpha in values else None for alpha in alphas]
        bold += [(row, at) for row in style.best(risks, largest=False)]
    name = "Soft risk: the share of single noisy copies in error" if soft else "Risk Delta(alpha, beta)"
    return Table.of(
        f"{style.named(name)} {about}".strip(),
        ["alpha", *(f"beta {beta:g}" for beta in points)],
        [[f"{alpha:g}", *cells] for alpha, *cells in zip(alphas, *columns, strict=True)],
        bold,
    )


def best_table(answer: StudyAnswer, *, style: TableStyle = PLAIN) -> Table:
    """Return the best alpha of each beta with its set and its gain over alpha nearest to beta."""
    images = max(found.images for found in answer.betas)
    return Table.of(
        f"Best training noise on {images:,} test images of {answer.data}, {answer.votes} votes each, "
        f"confidence {answer.betas[0].confidence:.4g}" + (", risks in %" if style.percent else ""),
        ["beta", "alpha*", "set", "risk", "risk at alpha = beta", "gain", "p"],
        [
            [
                f"{found.beta:g}",
                f"{found.alpha:g}",
                members(found.exact_set, found.alphas),
                style.estimate(found.best.risk, found.best.low, found.best.high),
                f"{style.share(found.gain.risk)} ({found.gain.alpha:g})",
                *_gain_cells(found.gain, style),
            ]
            for found in answer.betas
        ],
    )


def pairs_table(
    answers: Mapping[str, PairAnswer], data: str, *, confidence: float, beta: float | None = None
) -> Table:
    """Return the best pair at each radius with its set and its gain over alpha = beta, a line per radius.

    ``answers`` are by what the column of radii says.
    """
    images = max(found.images for found in answers.values())
    at = "" if beta is None else f" at beta {beta:g}"
    rule = next(iter(answers.values())).gain.rule
    return Table.of(
        f"Most certified accuracy{at}, on {images:,} test images of {data}, confidence {confidence:.4g}",
        ["radius", "alpha*", "beta*", "set", "certified", rule, "gain", "p"],
        [
            [
                radius,
                f"{found.alpha:g}",
                f"{found.beta:g}",
                pair_members(found.members, found.among)
                if beta is None
                else members([alpha for alpha, _ in found.members], [alpha for alpha, _ in found.among]),
                f"{found.accuracy:.4f} [{found.low:.4f}, {found.high:.4f}]",
                f"{1.0 - found.gain.risk:.4f} ({found.gain.alpha:g}, {found.gain.beta:g})",
                *_gain_cells(found.gain),
            ]
            for radius, found in answers.items()
        ],
    )


def _gain_cells(gain: Gain, style: TableStyle = PLAIN) -> list[str]:
    """Return the gain with its interval, and its p-value."""
    return [style.estimate(gain.gain, gain.low, gain.high), f"{gain.p_value:.2g}"]


def pair_members(chosen: Sequence[Pair], pairs: Sequence[Pair]) -> str:
    """Return a set of pairs (alpha, beta) in words, by beta.

    >>> pair_members([(0.5, 0.5), (1.0, 0.5), (1.0, 1.0)], [(0.5, 0.5), (1.0, 0.5), (0.5, 1.0), (1.0, 1.0)])
    'beta 0.5: 0.5, 1; beta 1: 1'
    """
    return "; ".join(
        f"beta {beta:g}: {members(inside, [alpha for alpha, b in pairs if b == beta])}"
        for beta in sorted({beta for _, beta in chosen})
        for inside in [[alpha for alpha, b in chosen if b == beta]]
    )


def members(chosen: Sequence[float], alphas: Sequence[float]) -> str:
    """Return a set of alphas in words; "a to b" means all measured alphas from a to b.

    >>> members([0.0, 0.2, 0.3, 0.4], [0.0, 0.1, 0.2, 0.3, 0.4])
    '0, 0.2 to 0.4'
    """
    stretches: list[list[float]] = []
    for alpha in alphas:
        if alpha not in chosen:
            stretches.append([])
        elif stretches and stretches[-1]:
            stretches[-1].append(alpha)
        else:
            stretches.append([alpha])
    return ", ".join(
        f"{part[0]:g} to {part[-1]:g}" if len(part) > 2 else ", ".join(f"{alpha:g}" for alpha in part)
        for part in stretches
        if part
    )


def risk_votes_table(results: StudyResults) -> Table:
    """Return the mean votes per image of every cell, and what that saves against a fixed number."""
    rows = [
        [
            f"{alpha:g}",
            f"{beta:g}",
            seed,
            f"{cell.votes.mean():.1f}",
            f"{results.votes / cell.votes.mean():.2f}",
        ]
        for (alpha, beta, seed), cell in sorted(results.cells.items())
        if beta > 0
    ]
    return Table.of(
        f"Votes per image, against {results.votes} for every one",
        ["alpha", "beta", "seed", "votes, mean", "times fewer"],
        rows,
    )


def certified_table(
    sets: Sequence[CertifiedSet],
    radii: Sequence[float] = (),
    *,
    confidence: float = 0.95,
    style: TableStyle = PLAIN,
) -> Table:
    """Return certified accuracy by set and radius with its bounds, at ``usual_radii`` if none are given.

    A dash stands where the plan of a set was not asked about the radius. Beside it, where some set says so:
    the accuracy of the base network without noise, and p_A.

    Raises:
        DataError: radii in different norms, scales or units, or a given one that no set certifies or was not
            asked about.
    """
    wanted = list(radii) or usual_radii(sets)
    sets = [answering(one, wanted) for one in sets]
    require_certified(sets, radii)
    points = [_asked_points(one, wanted, confidence) for one in sets]
    bold = [
        (row, at)
        for at, column in enumerate(zip(*points, strict=True), 2)
        for row in style.best([None if point is None else point.share for point in column], largest=True)
    ]
    unasked = any(point is None for of_set in points for point in of_set)
    unsure = [one.name for one in sets if not lowest_confidence(one.certificates)]
    others = dict.fromkeys(one.clean_of for one in sets if one.clean_accuracy is not None)
    clean_of = " or ".join(of for of in others if of != THESE_IMAGES)
    clean = ["" if one.clean_accuracy is None else style.share(one.clean_accuracy) for one in sets]
    bounds = [p_lower_quantiles(one.certificates) for one in sets]
    p_lower = [" / ".join(f"{bound:.3f}" for bound in found) if found else "" for found in bounds]
    beside = [
        (name, cells)
        for name, cells in (("without noise", clean), ("p_A at least, 10 / 50 / 90 %", p_lower))
        if any(cells)
    ]
    return Table.of(
        style.named(accuracy_name(sets).capitalize())
        + f" by {measure_of(sets).norm} radius"
        + (f", with {100 * confidence:.4g} % bounds" if style.intervals else "")
        + (f"; {_NOT_ASKED}: not asked of the plan" if unasked else "")
        + (f"; {', '.join(unsure)}: {NO_GUARANTEE}" if style.intervals and unsure else "")
        + (f"; without noise: of {clean_of}" if clean_of else "")
        + "".join(f"; {line}" for line in told_of_top_k(sets)),
        ["set", "examples", *(f"{radius:g}" for radius in wanted), *(name for name, _ in beside)],
        [
            [
                found.name,
                f"{len(found.certificates):,}",
                *(
                    _NOT_ASKED if point is None else style.estimate(point.share, point.low, point.high)
                    for point in points[row]
                ),
                *(cells[row] for _, cells in beside),
            ]
            for row, found in enumerate(sets)
        ],
        bold,
    )


def _asked_points(found: CertifiedSet, radii: Sequence[float], confidence: float) -> list[CurvePoint | None]:
    """Return the certified accuracy at each radius; None where the set's plan was not asked about it."""
    return [
        certified_accuracy(found.certificates, [radius], confidence=confidence)[0]
        if is_asked(radius, found.certificates)
        else None
        for radius in radii
    ]


def outcomes_table(sets: Sequence[CertifiedSet], *, style: TableStyle = PLAIN) -> Table:
    """Return how many examples of each set are correct, abstained and wrong, and the average radius.

    The average is left out where the plan finds no radii but tests those that it was asked about.
    """
    every = [outcomes(found) for found in sets]
    several_units = len({found.unit for found in sets} - {""}) > 1

    def counted(count: int, examples: int) -> str:
        return f"{count:,} ({style.share(count / examples)}{' %' if style.percent else ''})"

    right = style.best([one.correct / one.examples for one in every], largest=True)
    return Table.of(
        "Outcomes",
        ["set", "examples", "correct", "abstained", "wrong class", "average certified radius"],
        [
            [
                found.name,
                f"{one.examples:,}",
                *(counted(count, one.examples) for count in (one.correct, one.abstained, one.wrong)),
                _average_radius(found, one, with_unit=several_units),
            ]
            for found, one in zip(sets, every, strict=True)
        ],
        [(row, 2) for row in right],
    )


def _average_radius(found: CertifiedSet, every: Outcomes, *, with_unit: bool) -> str:
    if every.mean_radius is None:
        return _NOT_ASKED
    said = ["" if found.norm == "L2" else found.norm, found.unit if with_unit else ""]
    return (
        f"{every.mean_radius:.4f}"
        + (f" ({', '.join(filter(None, said))})" if any(said) else "")
        + ("" if every.votes is None else f" at {every.votes:,.0f} votes")
    )


def votes_table(sets: Sequence[CertifiedSet], *, bold: bool = False) -> Table:
    """Return the votes that each set spent, and what that saves; sets that do not say are left out.

    With ``bold`` the fewest on average are in bold.
    """
    told = [(found, spent) for found in sets if (spent := votes_spent(found)) is not None]
    fewest = TableStyle(places=0, bold=bold).best([float(spent.mean()) for _, spent in told], largest=False)
    return Table.of(
        f"Votes per example, against {FULL:,} for every one",
        ["set", "mean", "median", "90 % below", "largest", "times fewer"],
        [
            [
                found.name,
                f"{spent.mean():,.0f}",
                f"{np.median(spent):,.0f}",
                f"{np.quantile(spent, 0.9):,.0f}",
                f"{spent.max():,}",
                f"{FULL / spent.mean():.1f}",
            ]
            for found, spent in told
        ],
        [(row, 1) for row in fewest],
    )
