"""The panels of certificates: certified accuracy, outcomes, radii, votes."""

from __future__ import annotations

from collections.abc import Sequence

from sfumato.certification.accuracy import certified_accuracy as accuracy_at
from sfumato.certification.accuracy import is_asked
from sfumato.certification.summary import p_lower_quantiles
from sfumato.certification.without_noise import THESE_IMAGES
from sfumato.reporting.answer_tables import certified_table, outcomes_table, votes_table
from sfumato.reporting.attacked_sets import AttackedSet, attack_on, told_of
from sfumato.reporting.certified_figures import MOST_BANDS, certified_accuracy, outcome_bars, radii, votes
from sfumato.reporting.certified_sets import (
    FULL,
    MOST_RADII,
    accuracy_name,
    by_measure,
    differences,
    most_among,
    outcomes,
    told_of_top_k,
    usual_radii,
    votes_spent,
)
from sfumato.reporting.report.page import Panel
from sfumato.reporting.sources import CertifiedSet


def certified_lead(sets: Sequence[CertifiedSet], wanted: Sequence[float] = ()) -> str:
    """Return what matters first: the set that certifies most at each radius, then the largest average radius.

    Behind each set, in brackets: its accuracy without noise and its median of p_A, if known.
    """
    told = [f"{len(sets)} {'set' if len(sets) == 1 else 'sets'} of certificates"]
    for norm, alike in by_measure(sets).items():
        for radius in wanted or usual_radii(alike)[1::2]:
            asked = [one for one in alike if is_asked(radius, one.certificates)]
            if not asked:
                continue
            shares = [(accuracy_at(one.certificates, [radius])[0].share, one) for one in asked]
            share, best = max(shares, key=lambda pair: pair[0])
            told.append(f"at {norm} radius {radius:g} {best.name} certifies {share:.4f}{_beside(best)}")
        averages = [(every.mean_radius, every.votes, one.name) for one in alike for every in [outcomes(one)]]
        if found := [(radius, votes, name) for radius, votes, name in averages if radius is not None]:
            radius, spent, name = max(found, key=lambda one: one[0])
            votes = "votes not stated" if spent is None else f"{spent:,.0f} votes per example"
            told.append(f"the largest average certified {norm} radius, {radius:.4f} ({votes}), is of {name}")
    return "; ".join(told) + "."


def _beside(found: CertifiedSet) -> str:
    clean, bounds = found.clean_accuracy, p_lower_quantiles(found.certificates)
    of = "" if found.clean_of == THESE_IMAGES else f" of {found.clean_of}"
    k = most_among(found.certificates)
    parts = [] if k == 1 else [f"as one of the {k} most probable classes"]
    parts += [] if clean is None else [f"{clean:.4f}{of} without noise"]
    parts += [] if bounds is None else [f"median p_A at least {bounds[1]:.3f}"]
    return f" ({', '.join(parts)})" if parts else ""


def certified_panels(
    sets: Sequence[CertifiedSet],
    confidence: float,
    wanted: Sequence[float] = (),
    attacks: Sequence[AttackedSet] = (),
) -> tuple[Panel, ...]:
    """Return the panels of any sets of certificates; those of radii once for each way to measure them."""
    groups = by_measure(sets)
    apart = len(groups) > 1
    of_radii = [
        panel
        for index, (norm, alike) in enumerate(groups.items())
        for panel in _radius_panels(
            alike, confidence, wanted, f" {norm}" if apart else "", f"-{index}" if apart else "", attacks
        )
    ]
    panels = [
        *of_radii[::2],
        Panel(
            "outcomes",
            "Correct, abstained, wrong",
            "What became of all examples of each set, whatever their radius.",
            outcome_bars(sets),
            outcomes_table(sets),
        ),
        *of_radii[1::2],
    ]
    told = [found for found in sets if votes_spent(found) is not None]
    silent = len(sets) - len(told)
    note = f" {silent} of the sets do not say their votes and are left out." if silent else ""
    if told:
        panels.append(
            Panel(
                "votes",
                "Votes spent",
                "Share of the examples that needed more than a given number of votes (noisy copies), "
                "beside the "
                f"{FULL:,} that Cohen et al. 2019 spend on every one.{note}",
                votes(told),
                votes_table(told),
            )
        )
    return tuple(panels)


def _radius_panels(
    sets: Sequence[CertifiedSet],
    confidence: float,
    wanted: Sequence[float],
    norm: str,
    key: str,
    attacks: Sequence[AttackedSet],
) -> tuple[Panel, Panel]:
    """Return certified accuracy, and the distribution of radii, of sets whose radii can be compared.

    ``norm`` and ``key`` tell them from those of other radii, in titles and in the page.
    """
    counts = sorted({len(found.certificates) for found in sets})
    examples = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    few = (
        f" Of more than {MOST_BANDS} lines the bands are left to the hovering text and the table."
        if len(sets) > MOST_BANDS
        else ""
    )
    unfair = differences({one.name: one.certificates for one in sets})
    beware = "".join(f" Beware: {message}." for message in [*told_of_top_k(sets), *unfair])
    attacked = [attack for attack in attacks if any(attack_on(one, [attack]) for one in sets)]
    said = "".join(f" {line}." for line, _ in told_of(sets, attacked))
    if attacked:
        said = (
            " The thin dotted line is the share for which an attack found no wrong answer. Robust accuracy "
            f"lies in the band between the two lines.{said}"
        )
    return (
        Panel(
            f"certified-accuracy{key}",
            f"{accuracy_name(sets).capitalize()} against{norm} radius",
            f"Share of the {examples} examples of a line that are classified correctly with a certified "
            f"radius of at least so much. Bands hold with confidence {confidence:.4g} at each radius by "
            "itself: their lower end bounds the population's robust accuracy and pays for the certificates' "
            "own error (it is 0 for a plan that guarantees nothing), their upper end the share that such a "
            "run certifies. Counted over all examples, "
            f"drawn at up to {MOST_RADII} radii per line." + few + said + beware,
            certified_accuracy(sets, confidence=confidence, attacks=attacked),
            certified_table(sets, wanted, confidence=confidence),
            table_name="The numbers as a table, with the accuracy without noise and p_A",
        ),
        Panel(
            f"radii{key}",
            f"Distribution of{norm} radii",
            "Radii of the correctly classified examples in bins, as shares of all examples of their set; "
            "abstentions have none. Plans that ask about given radii certify these radii only.",
            radii(sets),
            outcomes_table(sets),
        ),
    )
