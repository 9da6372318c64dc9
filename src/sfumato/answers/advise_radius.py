"""Which beta to smooth one trained network with, for the most certified accuracy at a radius.

The betas race over the same test images (``answers.race``): each image is certified with its label known,
and a beta that another one surely beats drops out. Whether a network trained with another alpha would
certify more is not measured here: that is what recorded studies say of it (``advice.recorded_radii``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sfumato.advice.recorded_radii import OtherAlpha, other_alpha
from sfumato.answers.objective import CertifiedAccuracy, CertifiedCell
from sfumato.answers.race import Race
from sfumato.answers.race_study import LEVEL, ROUNDING, able_betas, race_images, race_sizes
from sfumato.certification.smoothed_classifier import SmoothedClassifier
from sfumato.datasets import Dataset, dataset_of
from sfumato.datasets.class_order import warn_of_class_order
from sfumato.datasets.given import Given
from sfumato.datasets.on_demand import pick
from sfumato.devices import choose_device
from sfumato.errors import SettingError, require_nonnegative, require_open_unit, require_positive
from sfumato.frames import columns_of, data_frame
from sfumato.models.classifier import Classifier
from sfumato.noise import Gaussian, Noise
from sfumato.notebooks import html_table
from sfumato.plans import Decide
from sfumato.progress import shown_progress
from sfumato.settings import CONFIDENCE
from sfumato.smoothing.class_names import warn_of_other_classes
from sfumato.smoothing.configuration import Network
from sfumato.smoothing.tuning import tuned_configuration
from sfumato.statistics.compare import best_set, mean_rate_interval

_OF_RADIUS = (0.3, 0.4, 0.5, 0.7, 1.0, 1.4)
_LEAST = 0.3  # of the radius: below, a certificate takes more than 15,000 votes that all agree
_OF_ALPHA = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4)
_SAME = 1.2  # betas closer than this factor are one: between such the certified accuracy hardly differs


@dataclass(frozen=True)
class RacedBeta:
    """One smoothing noise of the race.

    Attributes:
        beta: the smoothing noise.
        certified: how many images are certified at the radius for their label.
        images: of how many: fewer than all where it dropped out.
        dropped: whether another beta is surely better.
    """

    beta: float
    certified: int
    images: int
    dropped: bool


@dataclass(frozen=True)
class RadiusAdvice:
    """The beta to smooth a network with for a radius.

    Attributes:
        model: name of the network.
        alpha0: noise that it was trained with.
        radius: L2 radius, in ``unit``.
        beta: that certifies the most images; in a tie the largest, which takes the fewest votes.
        accuracy: share of test images certified there for their label.
        low, high: its bounds in the population. They hold for all betas of the race together; ``low`` bounds
            the share that is truly robust, ``high`` the rate at which images are certified.
        members: betas that no other beats significantly: with probability at least ``confidence`` the truly
            best of the betas tried is among them.
        tried: every beta of the race, increasing.
        cannot: betas asked for that cannot certify the radius, whatever the votes are.
        other: whether another alpha is likely to certify more.
        images: how many test images, the first ones.
        votes: noisy copies spent.
        confidence: of the bounds and of the set.
        data: name of the data set.
        unit: what a noise level of 1 means.
    """

    model: str
    alpha0: float
    radius: float
    beta: float
    accuracy: float
    low: float
    high: float
    members: tuple[float, ...]
    tried: tuple[RacedBeta, ...]
    cannot: tuple[float, ...]
    other: OtherAlpha
    images: int
    votes: int
    confidence: float
    data: str
    unit: str

    def _repr_html_(self) -> str:
        rows = [
            [
                f"{one.beta:g}",
                f"{one.certified:,} of {one.images:,}",
                "yes" if one.beta in self.members else "no",
            ]
            for one in self.tried
        ]
        caption = (
            f"{self.model} at radius {self.radius:g}: best beta {self.beta:g} ({self.accuracy:.4f}, "
            f"{self.low:.4f} to {self.high:.4f}) on {self.images:,} images of {self.data}"
        )
        return html_table(caption, ["beta", "certified", "in the set"], rows)

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per beta of the race, increasing.

        ``in_set`` says whether the beta is a member of the confidence set.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        columns = columns_of(self.tried, ("beta", "certified", "images", "dropped"))
        in_set = [one.beta in self.members for one in self.tried]
        return data_frame({**columns, "in_set": in_set}, index="beta")

    @property
    def edge(self) -> str | None:
        """At which end of several betas the best one lies, so that the best may lie beyond."""
        ends = {self.tried[0].beta: "smallest", self.tried[-1].beta: "largest"}
        return ends.get(self.beta) if len(ends) > 1 else None


def advise_radius(
    model: Network | Classifier,
    data: Dataset | Given,
    alpha0: float,
    radius: float,
    *,
    betas: Sequence[float] = (),
    images: int | None = None,
    confidence: float = 0.95,
    certificate_confidence: float = CONFIDENCE,
    seed: int = 0,
    device: str = "auto",
    smoothed_at: Callable[[Noise], Classifier] | None = None,
    on_batch: Callable[[int, int], None] = lambda images, running: None,
    on_measuring: Callable[[float], None] = lambda seconds: None,
    progress: bool | None = None,
) -> RadiusAdvice:
    """Return which of ``betas`` certifies the most test images of ``data`` at ``radius`` for this network.

    ``data`` is whatever ``dataset_of`` takes. Without ``betas`` multiples of the radius and of ``alpha0`` are
    tried (``usual_betas``). The first ``images`` test images are raced over, 1,000 if not given. An image
    counts if its label is certified at the radius by ``Decide(radius)`` at ``certificate_confidence``, with
    the noise of ``SmoothedClassifier(model, beta, seed=seed).certify(x, examples=range(images))``.
    ``smoothed_at`` gives the classifier for each noise, as one whose batch norms are re-estimated under it.
    ``on_batch`` is told how many images were raced over, and how many betas are left, ``on_measuring`` as of
    ``Smoothed.tune``. ``progress`` draws a progress bar on standard error; in notebooks only if not given.

    Raises:
        SettingError: a radius that none of the betas can certify, or a number out of range.
        ModelError: a model that does not fit the images.
    """
    data = dataset_of(data)
    data.require_labels("certified accuracy")
    plan, objective = Decide(require_nonnegative("radius", radius)), CertifiedAccuracy(radius)
    if require_open_unit("confidence", confidence) + LEVEL > 1.0 - ROUNDING:
        raise SettingError(f"confidence must be below {1.0 - LEVEL:g}, got {confidence:g}")
    require_nonnegative("alpha0", alpha0)
    asked = tuple(sorted({require_positive("beta", beta) for beta in betas}))
    classifier, count = Classifier.of(model), race_images(images, data)
    warn_of_other_classes(classifier, data.class_names, data.name)
    warn_of_class_order(data, range(count), race=True)
    able, cannot = able_betas(asked or usual_betas(alpha0, radius), plan, certificate_confidence)
    configuration = tuned_configuration(
        *(classifier.model, data.input_shape, choose_device(device)),
        votes=len(able) * count * plan.least_votes,
        on_measuring=on_measuring,
    )
    smoothed = [
        SmoothedClassifier(
            classifier if smoothed_at is None else smoothed_at(Gaussian(beta)),
            beta,
            seed=seed,
            device=device,
            configuration=configuration,
        )
        for beta in able
    ]
    race, votes = Race(len(able), count, LEVEL), 0
    lost, seen = np.ones((len(able), count), dtype=bool), np.zeros(len(able), dtype=np.int64)
    with shown_progress(progress, "race of betas", count) as bar:
        for size in race_sizes(count):
            new = slice(race.seen, size)
            for row in np.flatnonzero(race.running):
                found = smoothed[row].certify(
                    pick(data.test.x, new),
                    plan,
                    confidence=certificate_confidence,
                    examples=range(race.seen, size),
                    known_labels=data.test.y[new],
                )
                lost[row, new], seen[row] = objective.loss(CertifiedCell.of(found)), size
                votes += sum(certificate.votes or 0 for certificate in found)
            race.add(lost[:, new])
            running = int(race.running.sum())
            bar.advance(size - bar.done, f"{running} betas in the race")
            on_batch(size, running)
    left = np.flatnonzero(race.running)
    best = left[::-1][lost[left[::-1]].sum(axis=1).argmin()]
    # for all that began the race together: the one picked is one of them
    low, high = mean_rate_interval(~lost[best, None], confidence=1.0 - (1.0 - confidence) / len(able))
    kept = left[best_set(lost[None, left], confidence=confidence + LEVEL, among=len(able)).kept]
    return RadiusAdvice(
        model=classifier.name,
        alpha0=alpha0,
        radius=radius,
        beta=able[best],
        accuracy=float(1.0 - lost[best].mean()),
        low=max(0.0, (low - (1.0 - certificate_confidence)) / certificate_confidence),
        high=high,
        members=tuple(able[row] for row in kept),
        tried=tuple(
            RacedBeta(beta, int((~lost[row]).sum()), int(seen[row]), not race.running[row])
            for row, beta in enumerate(able)
        ),
        cannot=cannot if asked else (),
        other=_other(classifier, data, alpha0, able[best], radius),
        images=count,
        votes=votes,
        confidence=confidence,
        data=data.name,
        unit=data.unit,
    )


def usual_betas(alpha0: float, radius: float) -> tuple[float, ...]:
    """Return the betas to try: 0.3 to 1.4 times the radius, and 0.25 to 1.4 times ``alpha0``.

    If two are within a factor of 1.2, the larger one is left out. Betas below 0.3 times the radius are left
    out too.

    >>> usual_betas(0.5, 0.5)
    (0.15, 0.2, 0.25, 0.35, 0.5, 0.7)

    Raises:
        SettingError: both are 0, or one is negative.
    """
    if require_nonnegative("alpha0", alpha0) == require_nonnegative("radius", radius) == 0:
        raise SettingError("no beta to try with alpha0 0 and radius 0; give the betas")
    multiples = {round(share * radius, 12) for share in _OF_RADIUS}
    multiples |= {round(share * alpha0, 12) for share in _OF_ALPHA}
    found: list[float] = []
    for beta in sorted(multiples - {0.0}):
        if beta >= _LEAST * radius and (not found or beta >= _SAME * found[-1]):
            found.append(beta)
    return tuple(found)


def _other(classifier: Classifier, data: Dataset, alpha0: float, beta: float, radius: float) -> OtherAlpha:
    noise = classifier.record.noise if classifier.record else Gaussian.name
    if noise != Gaussian.name:
        reason = f"the recorded studies trained with Gaussian noise, this network with {noise}"
        return OtherAlpha("cannot say", reason, ())
    return other_alpha(alpha0, beta, radius, data=data.name, unit=data.unit)
