"""What a set of certificates says as a whole: outcomes, votes, and the steps of its certified accuracy."""

from __future__ import annotations

import contextlib
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from sfumato.certification.accuracy import (
    CurvePoint,
    certified_accuracy,
    certified_radii,
    radius_grid,
    require_asked,
)
from sfumato.certification.certificate import Certificate, lowest_confidence
from sfumato.certification.later_radii import at_radii
from sfumato.certification.measure import Measure, common_measure
from sfumato.certification.summary import average_radius
from sfumato.errors import DataError, SettingError
from sfumato.noise import noise_of
from sfumato.plans import ABSTAIN, among, asked_radii
from sfumato.plans.base import FULL_VOTES
from sfumato.reporting.sources import CertifiedSet

MOST_RADII = 300
"""At so many radii at most a line is drawn; of more, every so-manieth in order of size."""

FULL = FULL_VOTES
"""Votes per image of Cohen et al. 2019, whatever the image."""


@dataclass(frozen=True)
class Outcomes:
    """What became of the examples of a set, as counts.

    Attributes:
        correct, wrong, abstained: they add up to all.
        mean_radius: over all examples, 0 for wrong and abstained ones; None where the plan tests only the
            radii that it was asked about (``average_radius``).
        votes: noisy copies per example, mean; None where the table does not say.
    """

    correct: int
    wrong: int
    abstained: int
    mean_radius: float | None
    votes: float | None

    @property
    def examples(self) -> int:
        """All of them."""
        return self.correct + self.wrong + self.abstained


def outcomes(found: CertifiedSet) -> Outcomes:
    """Return what became of the examples."""
    rows = found.certificates
    correct = sum(row.correct for row in rows)
    abstained = sum(row.predict == ABSTAIN for row in rows)
    spent = votes_spent(found)
    return Outcomes(
        correct,
        len(rows) - correct - abstained,
        abstained,
        average_radius(rows),
        None if spent is None else float(spent.mean()),
    )


def votes_spent(found: CertifiedSet) -> Int[np.ndarray, " examples"] | None:
    """Return the votes of every example; None where the table does not say."""
    votes = [row.votes for row in found.certificates if row.votes is not None]
    return np.array(votes) if len(votes) == len(found.certificates) else None


def curve_of(found: CertifiedSet, largest: float, *, confidence: float) -> list[CurvePoint]:
    """Return certified accuracy at the radii where it steps, from 0 to ``largest``.

    Between one step and the next the accuracy is constant; its value there is that at the next step.
    """
    certified = certified_radii(row for row in found.certificates if row.correct)
    steps = spread(sorted({radius for radius in certified if radius > 0}))
    next_one = _beyond(steps[-1] if steps else 0.0)
    beyond = [next_one, largest] if largest > next_one else []
    return certified_accuracy(found.certificates, [0.0, *steps, *beyond], confidence=confidence)


def _beyond(radius: float) -> float:
    """Return a radius that is larger, by less than is seen and by more than a rounding of it."""
    return max(radius * (1.0 + 1e-6), math.nextafter(radius, math.inf))


def spread(values: Sequence[float]) -> list[float]:
    """Return at most ``MOST_RADII`` of the values, evenly by their place and with both ends."""
    places = np.linspace(0, len(values) - 1, min(len(values), MOST_RADII)).round().astype(int)
    return [values[place] for place in places]


def radius_shares(found: CertifiedSet, edges: Float[np.ndarray, " bins+1"]) -> Float[np.ndarray, " bins"]:
    """Return the share of all examples that are correct with a radius in each bin."""
    radii = [row.radius for row in found.certificates if row.correct]
    return np.histogram(radii, edges)[0] / len(found.certificates)


def bin_count(sets: Sequence[CertifiedSet]) -> int:
    """Return how many bins of radii the smallest set fills: the root of its size, from 10 to 40."""
    return int(np.clip(np.sqrt(min(len(found.certificates) for found in sets)), 10, 40))


def largest_radius(sets: Sequence[CertifiedSet]) -> float:
    """Return the largest radius of all sets, 1 where all abstain."""
    every = (radius for found in sets for radius in certified_radii(found.certificates))
    return max(every, default=0.0) or 1.0


def usual_radii(sets: Sequence[CertifiedSet]) -> list[float]:
    """Return the radii that plans were asked about: those of all, or if they share none, of any.

    If all of them find their radii, about ten round ones.
    """
    plans = {row.plan for found in sets for row in found.certificates}
    if asked := [set(radii) for plan in plans if (radii := asked_radii(plan))]:
        return sorted(set.intersection(*asked) or set.union(*asked))
    largest = largest_radius(sets)
    return radius_grid(min(3.0, 0.4 * largest), largest)


def answering(found: CertifiedSet, radii: Sequence[float]) -> CertifiedSet:
    """Return the set with an answer at these radii too, where its plan and its counts allow it.

    Without the counts, or where the settings do not say what was tested (a study's), it is returned as it is.
    """
    settings, rows = found.settings or {}, found.certificates
    plans = {row.plan for row in rows}
    if "label_known" not in settings or not all(row.counts for row in rows) or len(plans) != 1:
        return found
    if not (asked := set(asked_radii(plans.pop()))) or set(radii) <= asked:
        return found
    with contextlib.suppress(SettingError):
        known = bool(settings["label_known"])
        later = at_radii(rows, radii, noise=noise_of(settings), label_known=known)
        return replace(found, certificates=later)
    return found


def require_certified(sets: Sequence[CertifiedSet], radii: Sequence[float]) -> None:
    """Refuse radii that say nothing about these sets.

    Raises:
        DataError: the plans of all sets were asked about other radii, or no set certifies an image at any.
    """
    for radius in radii:
        refused = []
        for found in sets:
            try:
                require_asked(radius, found.certificates)
            except DataError as error:
                refused.append(error)
        if len(refused) == len(sets):
            raise refused[0]
    if radii and (radius := min(radii)) > largest_radius(sets):
        most = max(sets, key=lambda found: largest_radius([found]))
        reach = largest_radius([most])
        beta = (most.settings or {}).get("beta")
        could = f"; a beta of about {radius / reach * beta:.2g} could" if beta else ""
        raise DataError(
            f"nothing here certifies radius {radius:g}: the largest radius certified is {reach:g}, of "
            f"{most.name}{could}"
        )


def differences(named: Mapping[str, Sequence[Certificate]]) -> list[str]:
    """Return what makes a comparison of these certificates unfair: other images, confidence or votes."""
    told = []
    for what, groups, effect in (
        ("test images", _by(named, _images), "what is certified of other images cannot be compared"),
        (
            "confidence",
            _by(named, _confidence),
            "a lower confidence certifies a little more",
        ),
        ("votes", _by(named, _plans), "more votes certify larger radii"),
        (
            "what they say",
            _by(named, _statement),
            "one of several classes is less than the first",
        ),
    ):
        if len(groups) > 1:
            shown = "; ".join(f"{value} ({_some(names)})" for value, names in [*groups.items()][:3])
            more = f"; and {len(groups) - 3} others" if len(groups) > 3 else ""
            told.append(f"certificates that differ in {what} are compared: {shown}{more}; {effect}")
    return told


def _by(
    named: Mapping[str, Sequence[Certificate]], describe: Callable[[Sequence[Certificate]], str]
) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name, rows in named.items():
        groups[describe(rows)].append(name)
    return groups


def _images(rows: Sequence[Certificate]) -> str:
    places = sorted((row.idx, row.label) for row in rows)
    # the checksum tells lists of one size apart
    return f"{len(places):,} images, list {zlib.crc32(repr(places).encode()):08x}"


def _confidence(rows: Sequence[Certificate]) -> str:
    levels = sorted({round(row.confidence, 9) for row in rows if row.confidence == row.confidence})
    told = [f"{level:g}" for level in levels] or ["not stated"]
    return ", ".join(told) if lowest_confidence(rows) else "none: nothing is guaranteed"


def _plans(rows: Sequence[Certificate]) -> str:
    return ", ".join(sorted({row.plan for row in rows if row.plan})) or "not stated"


def _statement(rows: Sequence[Certificate]) -> str:
    most = most_among(rows)
    return "of the most probable class" if most == 1 else f"of one of the {most} most probable classes"


def most_among(rows: Sequence[Certificate]) -> int:
    """Return among how many of the most probable classes a certified class is; 1 for most plans."""
    return max((among(plan) for plan in {row.plan for row in rows}), default=1)


def accuracy_name(sets: Sequence[CertifiedSet]) -> str:
    """Return what the certified accuracy of these sets is called, in lower case."""
    kinds = {most_among(found.certificates) for found in sets}
    return accuracy_among(kinds.pop()) if len(kinds) == 1 else accuracy_among(1)


def accuracy_among(most: int) -> str:
    """Return what certified accuracy is called where the label is certified to be among so many classes."""
    return "certified accuracy" if most == 1 else f"top-{most} certified accuracy"


def told_of_top_k(sets: Sequence[CertifiedSet]) -> list[str]:
    """Return for each set of ``top_k`` what its certified accuracy is: it bounds no robust accuracy."""
    return [
        f"{found.name}: the label is certified to stay among the {k} most probable classes, which is less "
        "than robust accuracy asks"
        for found in sets
        if (k := most_among(found.certificates)) > 1
    ]


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def measure_of(sets: Sequence[CertifiedSet]) -> Measure:
    """Return in what the radii of all sets are measured.

    Raises:
        DataError: radii in different norms, scales or units, which cannot be compared.
    """
    return common_measure((found.name, found.measure) for found in sets)


def by_measure(sets: Sequence[CertifiedSet]) -> dict[str, list[CertifiedSet]]:
    """Return the sets whose radii can be compared, group by group, each by what tells it from the others.

    That is the norm; where two groups have one norm, with their unit, or with whose scales they have.
    """
    groups: list[list[CertifiedSet]] = []
    for found in sets:
        alike = next((group for group in groups if found.measure.goes_with(measure_of(group))), None)
        if alike is None:
            groups.append([found])
        else:
            alike.append(found)
    measures = [measure_of(group) for group in groups]
    norms = Counter(measure.norm for measure in measures)
    distances = Counter(measure.distance for measure in measures)
    named = {}
    for group, measure in zip(groups, measures, strict=True):
        name = measure.norm
        if norms[name] > 1:
            name += f" ({measure.unit if distances[measure.distance] > 1 else f'scales of {group[0].name}'})"
        named[name] = group
    return dict(sorted(named.items(), key=lambda one: measure_of(one[1]).norm, reverse=True))


def radius_axis(sets: Sequence[CertifiedSet]) -> str:
    """Return the label of an axis of radii: their norm, and their unit where a set states it.

    Raises:
        DataError: radii in different norms, scales or units.
    """
    found = measure_of(sets)
    return f"{found.norm} radius ({found.unit or 'unit of the input'})"
