"""What all stopping plans share: the run that counts their votes, and the interface they fill in.

A ``Plan`` is a frozen record of settings, fixed before any vote is seen. ``start`` makes a ``Run``, the
state for a number of images at once; whoever owns the votes then repeats

    wanted = run.demand()        # votes each image wants next; all zero: finished
    run.update(counts)           # the class counts of exactly those votes

and reads ``run.decisions()``. Votes of one image are independent and identically distributed, and
each is handed over once: a plan cannot look at the same votes twice.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from sfumato.errors import SettingError, require_count, require_open_unit, require_positive
from sfumato.statistics.binomial import one_minus_rounded_down

if TYPE_CHECKING:
    from sfumato.noise import Noise

ABSTAIN = -1
"""The prediction of an image for which nothing could be concluded."""


FULL_VOTES = 100_100
"""What Cohen et al. 2019 spend on every image: n0 + n."""


@dataclass(frozen=True)
class Decision:
    """The conclusion of a plan for one image.

    Attributes:
        prediction: class index, or ``ABSTAIN``.
        radius: certified radius in the noise's norm, in the unit of the input; 0 when abstaining.
        votes: noisy copies spent, selection included.
        p_lower: lower confidence bound of the predicted class's probability under the noise (nan if none).
        p_upper: upper confidence bound of any other class's probability (nan if none).
        stopped_by: what ended the voting, one word or two.
        confidence: probability with which this decision is right; 1 minus it is its level (nan for a plan
            without a guarantee).
        plan: name of the plan, settings included.
        squared_steps: the squared distance that is covered, in steps of the pixel grid, free of rounding; -1
            where nothing is certified, None for a noise whose certificates are about real numbers.
    """

    prediction: int
    radius: float
    votes: int
    p_lower: float
    p_upper: float
    stopped_by: str
    confidence: float
    plan: str
    squared_steps: int | None = None


class _Round(NamedTuple):
    """The votes of one round: the images that were asked, and the counts that are not zero."""

    asked: Int[np.ndarray, " images"]
    images: Int[np.ndarray, " counts"]
    classes: Int[np.ndarray, " counts"]
    votes: Int[np.ndarray, " counts"]


class Run:
    """One plan over a number of images at once: it owns the counts, and refuses what cannot be votes.

    Attributes:
        plan, images, classes, noise, confidence, labels: as given to ``Plan.start``.
        rounds: how often votes were handed over.
        votes: votes so far, of each image.
        counts: class counts of all votes so far.
        fresh: class counts of the votes handed over last.
        first_votes, first_counts: the same of the first round.
        state: what the plan keeps for itself.
    """

    def __init__(
        self,
        plan: Plan,
        images: int,
        classes: int,
        noise: Noise,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None,
    ) -> None:
        require_positive("beta", noise.standard_deviation)
        require_open_unit("confidence", confidence)
        self.plan, self.noise, self.confidence = plan, noise, confidence
        self.images = require_count("images", images, minimum=0)
        self.classes = require_count("classes", classes, minimum=2)
        self.labels = None if labels is None else self._checked_labels(np.asarray(labels))
        self.rounds = 0
        self.votes = self.first_votes = np.zeros(images, dtype=np.int64)
        self.counts = self.fresh = self.first_counts = np.zeros((images, classes), dtype=np.int64)
        self._rounds: list[_Round] = []
        self.state: Any = plan.prepare(self)
        self._wanted = plan.next(self)

    def _checked_labels(self, labels: np.ndarray) -> Int[np.ndarray, " images"]:
        if labels.shape != (self.images,) or not np.issubdtype(labels.dtype, np.integer):
            raise SettingError(
                f"labels must be {self.images} whole numbers, got {labels.shape} of {labels.dtype}"
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < self.classes:
            raise SettingError(
                f"labels must lie in 0..{self.classes - 1}, got {labels.min()}..{labels.max()}"
            )
        return labels.astype(np.int64)

    def demand(self) -> Int[np.ndarray, " images"]:
        """Return how many further votes each image wants now; 0 for a finished image."""
        return self._wanted.copy()

    def update(self, counts: Int[np.ndarray, "images classes"]) -> None:
        """Take the class counts of exactly the votes last demanded.

        A row may sum to less than was demanded: a vote that named no class (NaN) counts for none.

        Raises:
            SettingError: counts of another shape or type, negative, or more than were demanded; and
                any counts at all when nothing is demanded any more.
        """
        self.fresh = checked_counts(counts, self._wanted, self.classes)
        rows, named = np.nonzero(self.fresh)
        self._rounds.append(_Round(np.flatnonzero(self._wanted), rows, named, self.fresh[rows, named]))
        self.votes, self.counts = self.votes + self._wanted, self.counts + self.fresh
        if self.rounds == 0:
            self.first_votes, self.first_counts = self.votes, self.counts
        self.rounds += 1
        self._wanted = self.plan.next(self)

    def decisions(self) -> list[Decision]:
        """Return one decision per image; only to be called when nothing is demanded any more.

        Raises:
            SettingError: votes are still demanded.
        """
        self._require_final()
        return [self.plan.conclude(self, image) for image in range(self.images)]

    def predictions(self) -> Int[np.ndarray, " images"]:
        """Return the predictions of ``decisions``, which is faster where nothing else is wanted.

        Raises:
            SettingError: as ``decisions``.
        """
        self._require_final()
        return self.plan.predictions(self)

    def _require_final(self) -> None:
        if waiting := int(np.count_nonzero(self._wanted)):
            raise SettingError(f"decisions are not final: {waiting} images still need votes")

    def written_counts(self) -> list[str]:
        """Return each image's counts in all of its rounds, as ``plans.replay`` reads them.

        First the number of classes, then for each round the classes with votes: ``10|3=98 5=2|3=1000``.
        """
        rounds: list[list[str]] = [[] for _ in range(self.images)]
        for one in self._rounds:
            for image in one.asked.tolist():
                rounds[image].append("")
            for image, named, votes in zip(*(a.tolist() for a in one[1:]), strict=True):
                rounds[image][-1] += f" {named}={votes}" if rounds[image][-1] else f"{named}={votes}"
        return ["|".join([str(self.classes), *of_image]) for of_image in rounds]

    def decide(
        self,
        image: int,
        prediction: int,
        stopped_by: str,
        *,
        radius: float = 0.0,
        q_upper: float = math.nan,
        rival_upper: float | None = None,
    ) -> Decision:
        """Return the decision of an image, with what the run knows of it; ``q_upper`` bounds 1 - p."""
        return Decision(
            prediction=prediction,
            radius=radius,
            votes=int(self.votes[image]),
            p_lower=math.nan if math.isnan(q_upper) else one_minus_rounded_down(q_upper),
            p_upper=q_upper if rival_upper is None else rival_upper,
            stopped_by=stopped_by,
            confidence=math.nan if self.plan.states == "nothing" else self.confidence,
            plan=self.plan.name,
            squared_steps=self._squared_steps(prediction, radius),
        )

    def _squared_steps(self, prediction: int, radius: float) -> int | None:
        """Return what ``Decision.squared_steps`` says; of a class without a radius, its input alone."""
        covered = self.noise.squared_steps(radius)
        if covered is None:
            return None
        return -1 if prediction == ABSTAIN or self.plan.states == "nothing" else max(0, covered)

    def certify(
        self, image: int, selected: int, stopped_by: str, q_upper: float, rival_upper: float | None = None
    ) -> Decision:
        """Return the certificate that the bounds give a class selected by other votes, or an abstention."""
        radius = self.noise.radius(q_upper, rival_upper)
        return self.decide(
            image,
            selected if radius > 0.0 else ABSTAIN,
            stopped_by,
            radius=radius,
            q_upper=q_upper,
            rival_upper=rival_upper,
        )


class Plan(ABC):
    """Settings of a stopping rule, fixed before any vote is seen; a subclass is a frozen dataclass.

    A plan is written ``method(question, other=setting)``: the fields named in ``question`` stand first,
    without their names (one of type ``tuple[float, ...]`` takes all that are given), then other fields
    where they differ from their defaults.

    Attributes:
        method: its name on the command line.
        question: names of the fields that are written first, as values only.
        usage: its form in lists of plans.
        states: what its decisions guarantee: a ``radius`` (a class within a radius), a ``class``, or
            ``nothing``.
    """

    method: ClassVar[str]
    question: ClassVar[tuple[str, ...]] = ()
    usage: ClassVar[str]
    states: ClassVar[Literal["radius", "class", "nothing"]]

    @property
    def among(self) -> int:
        """How many of the most probable classes the predicted one is promised to be one of."""
        return 1

    @property
    @abstractmethod
    def least_votes(self) -> int:
        """The votes that every image gets, however easy."""

    @property
    def most_votes(self) -> int | None:
        """The votes that no image gets more than; None where the plan does not say."""
        return None

    @property
    def asked_radii(self) -> tuple[float, ...]:
        """The radii that the plan was asked about; none where it finds them itself."""
        return ()

    @property
    def bounding_votes(self) -> int:
        """The most votes that bound one class, of a plan that finds its radii itself."""
        return 0

    def prepare(self, run: Run) -> Any:
        """Return what the plan keeps in ``run.state``, before the first vote; nothing, if not overridden.

        Raises:
            SettingError: a confidence that the plan's votes cannot reach.
        """
        return None

    @abstractmethod
    def next(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return the votes that each image wants next, after ``run.rounds`` rounds; 0 once it is finished."""

    @abstractmethod
    def conclude(self, run: Run, image: int) -> Decision:
        """Return the decision of an image when no more votes are wanted (``run.decide``)."""

    def predictions(self, run: Run) -> Int[np.ndarray, " images"]:
        """Return the prediction of each image when no more votes are wanted (``Run.predictions``)."""
        return np.array([decision.prediction for decision in run.decisions()], dtype=np.int64)

    def start(
        self,
        images: int,
        classes: int,
        *,
        noise: Noise,
        confidence: float,
        labels: Int[np.ndarray, " images"] | None = None,
    ) -> Run:
        """Return the state before the first vote for ``images`` images.

        ``noise`` is what the votes are drawn under, ``confidence`` the level of each image's guarantee;
        ``labels``, where given, are the true classes, which a plan made for evaluation may use to stop
        early.

        Raises:
            SettingError: values out of range, labels that are no classes, or a confidence that the
                plan's votes cannot reach.
        """
        return Run(self, images, classes, noise, confidence, labels)

    @property
    def name(self) -> str:
        """The plan with its settings as written on the command line, e.g. ``fixed(100,100000)``."""
        return f"{self.method}({','.join(self._settings())})"

    def _settings(self) -> Iterator[str]:
        for setting in self.question:
            value = getattr(self, setting)
            yield from map(written, value if isinstance(value, tuple) else (value,))
        for field in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, field.name)
            if field.name not in self.question and (field.default is MISSING or value != field.default):
                yield f"{field.name}={written(value)}"


def written(value: float) -> str:
    """Return a number as short as it can be read back exactly.

    >>> written(100000), written(0.25), written(1e6), written(1.0)
    ('100000', '0.25', '1e6', '1')
    """
    if isinstance(value, int):
        return str(value)
    text = f"{value:g}"
    if float(text) != value:
        text = repr(float(value))
    return text.replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


def checked_counts(
    counts: Int[np.ndarray, "images classes"], demanded: Int[np.ndarray, " images"], classes: int
) -> Int[np.ndarray, "images classes"]:
    """Return the counts as int64 if they can be the votes demanded.

    >>> checked_counts(np.array([[3, 2]]), np.array([5]), 2)
    array([[3, 2]])

    Raises:
        SettingError: as ``Run.update``.
    """
    counts = np.asarray(counts)
    if counts.shape != (demanded.size, classes):
        raise SettingError(f"counts must have shape ({demanded.size}, {classes}), got {counts.shape}")
    if not np.issubdtype(counts.dtype, np.integer):
        raise SettingError(f"counts must be whole numbers, got an array of {counts.dtype}")
    if not demanded.any():
        raise SettingError("votes were given although no more are needed")
    if counts.size and counts.min() < 0:
        raise SettingError(f"counts must be at least 0, got {counts.min()}")
    counts = counts.astype(np.int64)
    excess = counts.sum(axis=1) - demanded
    if excess.size and excess.max() > 0:
        image = int(np.argmax(excess))
        given = int(counts[image].sum())
        raise SettingError(f"image {image} has {given} votes, more than the {demanded[image]} demanded")
    return counts


def leader_and_rival(
    counts: Int[np.ndarray, "images classes"],
) -> tuple[Int[np.ndarray, " images"], Int[np.ndarray, " images"]]:
    """Return each row's most voted class and the most voted of the others; ties to the smaller index.

    >>> leader_and_rival(np.array([[3, 5, 5]]))
    (array([1]), array([2]))
    """
    leader = np.argmax(counts, axis=1)
    rest = counts.copy()
    rest[np.arange(counts.shape[0]), leader] = -1
    return leader, np.argmax(rest, axis=1)


def votes_saved(votes: Sequence[int], against: int = FULL_VOTES) -> float:
    """Return how many times fewer votes were spent than ``against`` for each image.

    ``votes`` are each image's; ``against`` defaults to ``FULL_VOTES``.

    >>> votes_saved([1001, 3003])
    50.0

    Raises:
        SettingError: no votes.
    """
    if not sum(votes):
        raise SettingError("votes_saved needs at least one vote, got none")
    return against * len(votes) / sum(votes)
