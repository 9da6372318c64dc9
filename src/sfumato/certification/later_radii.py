"""Other radii than those that were asked for, from the same votes and at the same level.

A certificate of ``fixed``, ``two_class`` or ``precision`` answers for every radius up to its own. The plans
``curve`` and ``decide`` test each radius by itself, at a level of its own, at looks that are fixed before
the votes. So the recorded counts can be tested at further radii: the theorem of ``plans.curve`` holds for
any list of radii that is fixed beforehand, whatever rule stopped the votes. It was the rule of the first
list, which may have stopped early: a radius may stay uncertified that a run of its own would certify.

What is promised: for a list of radii chosen without a look at these certificates, all of them hold together
with the run's confidence. Who tries radii until one pleases has chosen it by the votes; each answer is then
right with that confidence by itself, but not the one that was picked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.certification.measure import Measure
from sfumato.certification.rederive import not_derived
from sfumato.errors import DataError, require_nonnegative
from sfumato.noise import Noise
from sfumato.plans import Curve, Decide, parse_plan
from sfumato.plans.replay import read_counts


def at_radii(
    certificates: Iterable[Certificate],
    radii: Sequence[float],
    *,
    noise: Noise,
    label_known: bool = False,
) -> Certificates:
    """Return the certificates that the same votes give if these ``radii`` are asked for too.

    With probability at least each certificate's confidence over its noise, for each one that is no
    abstention, the smoothed classifier returns the predicted class everywhere within the radius: for radii
    that were chosen without a look at the certificates. The radii that the plan was asked for stay in the
    list.

    ``noise`` is that of the run. ``label_known`` says that the run tested the label alone.

    >>> import torch
    >>> from sfumato.noise import Gaussian
    >>> from sfumato.certification.smoothed_classifier import SmoothedClassifier
    >>> model = torch.nn.Linear(1, 2, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[0.0], [1.0]]))
    >>> found = SmoothedClassifier(model, beta=0.5, device="cpu").certify(torch.ones(1, 1), "decide(0.25)")
    >>> [one.radius for one in at_radii(found, [0.1, 0.3], noise=Gaussian(0.5))]
    [0.3]

    Raises:
        DataError: a certificate of a plan that tests single radii, without its counts; one that does not
            follow from this noise; one whose plan certifies no radius.
        SettingError: a radius below 0, or a plan that is not registered.
    """
    asked = [require_nonnegative("radius", radius) for radius in radii]
    known = certificates.measure if isinstance(certificates, Certificates) else None
    rows = [_at_radii(row, asked, noise, label_known) for row in certificates]
    return Certificates(rows, measure=known or Measure.under(noise))


def _at_radii(row: Certificate, asked: list[float], noise: Noise, label_known: bool) -> Certificate:
    plan = parse_plan(row.plan)
    if plan.states != "radius":
        raise DataError(f"image {row.idx}: {row.plan} certifies no radius")
    if not isinstance(plan, Curve | Decide) or set(asked) <= set(plan.asked_radii):
        return row
    if not row.counts:
        raise DataError(
            f"image {row.idx}: the table holds no counts, by which {row.plan} could answer for other radii; "
            "certify again"
        )
    told = not_derived(row, plan, noise=noise, confidence=row.confidence, label_known=label_known)
    if told is not None:
        raise DataError(
            f"image {row.idx}: its row does not follow from {noise} and label_known={label_known} ({told}); "
            "give those of its run"
        )
    grid = tuple(sorted({*plan.asked_radii, *asked}))
    wider = Curve(grid, n_max=plan.n_max, chunk=plan.chunk, cost=plan.cost)
    counts = read_counts(row.counts)
    labels = np.array([row.label]) if label_known else None
    run = wider.start(1, counts.shape[1], noise=noise, confidence=row.confidence, labels=labels)
    for of_round in counts:
        if not run.demand().any():
            break
        run.update(of_round[None])
    found = wider.conclude(run, 0)
    return replace(
        row,
        predict=found.prediction,
        radius=found.radius,
        p_lower=found.p_lower,
        p_upper=found.p_upper,
        stopped_by=row.stopped_by if run.demand().any() else found.stopped_by,
        plan=wider.name,
        squared_steps=found.squared_steps,
    )
