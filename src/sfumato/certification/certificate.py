"""The record of one certificate: a plan's decision about one example of a data set."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from sfumato.frames import columns_of
from sfumato.plans import ABSTAIN, Decision, Run
from sfumato.settings import CONFIDENCE

_RADIUS_STEP = Decimal("0.000001")
_DIGITS = 7  # of a small radius, of which six decimals may leave nothing
_SMALL = 0.1
_WITHOUT_MORE_DECIMALS = 1e11  # a float has 17 digits


@dataclass(frozen=True)
class Certificate:
    """One example's outcome.

    With probability at least the run's confidence over the noise, the smoothed classifier returns
    ``predict`` everywhere within ``radius`` of the example. By the plan ``top_k``, ``predict`` is one of the
    k most probable classes there.

    Attributes:
        idx: number of the example, by which its noise is keyed: its index in its data set, or where no
            numbers were given, how many examples the classifier was given before (``certify``).
        label: true class, or -1 if unknown.
        predict: predicted class, or -1 for an abstention.
        radius: certified radius in the noise's norm (L2 for Gaussian noise), in the input's unit; 0 for an
            abstention.
        seconds: time spent on it; for examples voted on together, in proportion to their votes.
        votes: noisy copies spent on it; None if the table does not state it, like all fields below.
        stopped_by: what ended the voting.
        p_lower: lower confidence bound of the predicted class's probability under the noise.
        p_upper: upper confidence bound of any other class's.
        confidence: probability with which the statement above holds (nan: nothing is guaranteed); of a
            published table, which does not state it, the one that fits its radii (``read_certificates``).
        plan: the stopping plan, settings included.
        counts: the class counts of every round of votes (``plans.replay``), from which all of this follows.
        squared_steps: of a sound certificate (``noise.discretised``) its exact form: it covers every image of
            whole steps whose squared distance is at most this whole number; -1 for an abstention. None for
            any other certificate, whose radius is about real numbers.
    """

    idx: int
    label: int
    predict: int
    radius: float
    seconds: float = field(compare=False)  # the same certificate may take another time
    votes: int | None = None
    stopped_by: str = ""
    p_lower: float = math.nan
    p_upper: float = math.nan
    confidence: float = math.nan
    plan: str = ""
    counts: str = ""
    squared_steps: int | None = None

    @staticmethod
    def of(idx: int, label: int, decision: Decision, seconds: float, counts: str = "") -> Certificate:
        """Return the certificate of a plan's decision, which it made from the ``counts``."""
        found = asdict(decision)
        predict = found.pop("prediction")
        return Certificate(idx, label, predict=predict, seconds=seconds, counts=counts, **found)

    @property
    def correct(self) -> bool:
        """Whether the prediction is the label."""
        return self.predict != ABSTAIN and self.predict == self.label

    @property
    def sound(self) -> bool:
        """Whether no rounding of the computer can make it false: see ``noise.discretised``."""
        return self.squared_steps is not None

    @property
    def index(self) -> int:
        """``idx`` by its full name."""
        return self.idx

    @property
    def prediction(self) -> int:
        """``predict`` as a noun."""
        return self.predict

    def row(self) -> str:
        """Return the line of a table, without its end (``certification.table.written_row``)."""
        from sfumato.certification.table import written_row

        return written_row(self)

    def as_written(self) -> Certificate:
        """Return the certificate as a table holds it: its radius rounded down."""
        return replace(self, radius=written_radius(self.radius))


def certificate_columns(certificates: Iterable[Certificate]) -> dict[str, list[Any]]:
    """Return the fields of the certificates as columns, and whether each is ``correct``."""
    return columns_of(certificates, [*(one.name for one in fields(Certificate)), "correct"])


def certificates_of(
    run: Run, examples: Sequence[int], labels: Sequence[int], seconds: float
) -> list[Certificate]:
    """Return the certificate of each image of a finished run; ``seconds`` are shared out by votes.

    ``examples`` and ``labels`` are the images' numbers and classes.
    """
    per_vote = seconds / max(1, int(run.votes.sum()))
    rows = zip(examples, labels, run.decisions(), run.written_counts(), strict=True)
    return [
        Certificate.of(example, label, decision, per_vote * decision.votes, counts)
        for example, label, decision, counts in rows
    ]


def lowest_confidence(certificates: Iterable[Certificate], unstated: float = CONFIDENCE) -> float:
    """Return the lowest confidence of the certificates; 0 if the plan of one guarantees nothing.

    A row without a plan, as of a published table, has ``unstated`` where it states no confidence.

    >>> lowest_confidence([Certificate(0, 1, 1, 0.5, 1.0, confidence=0.9999), Certificate(1, 1, 1, 0.5, 1.0)])
    0.999
    >>> lowest_confidence([Certificate(0, 1, 1, 0.0, 1.0, plan="vote(100)")])
    0.0
    """

    def level(row: Certificate) -> float:
        if math.isnan(row.confidence):
            return 0.0 if row.plan else unstated
        return row.confidence

    return min(map(level, certificates), default=unstated)


def written_radius(radius: float) -> float:
    """Return the radius as tables show it, rounded down so that no claim grows.

    To six decimals; of a radius below 0.1, which they might leave nothing of, to seven significant digits.

    >>> written_radius(0.1234567891), written_radius(0.57), written_radius(1.23456789e-8)
    (0.123456, 0.57, 1.234567e-08)
    """
    if not 0.0 < radius < _SMALL:
        return in_six_decimals(radius)
    exact = Decimal(repr(float(radius)))
    return float(exact.quantize(Decimal(1).scaleb(exact.adjusted() - _DIGITS + 1), rounding=ROUND_FLOOR))


def in_six_decimals(radius: float) -> float:
    """Return the radius rounded down to six decimals, as earlier tables show it whatever its size."""
    if radius >= _WITHOUT_MORE_DECIMALS:
        return radius
    return float(Decimal(repr(float(radius))).quantize(_RADIUS_STEP, rounding=ROUND_FLOOR))
