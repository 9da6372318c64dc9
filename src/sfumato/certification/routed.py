"""A choice among smoothed classifiers that depends on the input and still has a certificate.

Noise that simply follows the input voids the certificate: who moves the input moves the noise too (Súkeník,
Kuvshinov & Günnemann 2022, arXiv 2110.05365). Here the choice itself is smoothed: a router with one class per
expert (Sun, Mao & Vechev 2026, arXiv 2512.01782, theorem 4.1).

Let g be the smoothed router and G_k the smoothed experts. The routed classifier is F(x) = G_g(x)(x). If g is
k everywhere within r of x, and G_k is c everywhere within s of x, then F is c everywhere within min(r, s).

Each of the two certificates is wrong with probability at most half of 1 - confidence. If that of the router
holds, the expert it names is g(x), which does not depend on the noise that was drawn. So F's certificate is
wrong only if the router's is or that of expert g(x) is. The two may share noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int

from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.certification.inputs import whole_labels
from sfumato.certification.measure import common_measure
from sfumato.certification.smoothed_classifier import Labels, SmoothedClassifier
from sfumato.errors import DataError, SettingError, require_open_unit
from sfumato.plans import ABSTAIN, Fixed, Plan, as_plan
from sfumato.settings import CONFIDENCE
from sfumato.smoothing.smoothed import DEFAULT_VOTES

NO_CHOICE = "router abstains"


@dataclass(frozen=True)
class RoutedCertificates:
    """The certificates of a routed classifier, and the two that each rests on.

    Attributes:
        routed: of the routed classifier. ``votes`` counts those of router and expert; ``counts`` is empty,
            since it follows from the other two.
        router: of the choice; ``predict`` is the index of the expert.
        chosen: of the chosen expert; an abstention without votes where the router abstains.
    """

    routed: Certificates
    router: Certificates
    chosen: Certificates


class RoutedClassifier:
    """Smoothed classifiers, the experts, and a smoothed router that chooses one of them for each input.

    Args:
        router: a smoothed classifier with one class for each expert.
        experts: at least two, each with its own network and noise; all noises have the router's norm.

    >>> def always(label):
    ...     return SmoothedClassifier(lambda x: torch.eye(2)[[label] * len(x)], beta=0.5)
    >>> by_sign = SmoothedClassifier(lambda x: torch.cat([-x, x], dim=1), beta=0.25)
    >>> routed = RoutedClassifier(by_sign, [always(0), always(1)])
    >>> routed.predict(torch.tensor([[-2.0], [2.0]]))
    array([0, 1])

    Raises:
        SettingError: fewer than two experts, or noises of different norms or pixel grids.
    """

    def __init__(self, router: SmoothedClassifier, experts: Sequence[SmoothedClassifier]) -> None:
        if len(experts) < 2:
            raise SettingError(f"a router needs at least 2 experts to choose from, got {len(experts)}")
        for index, expert in enumerate(experts):
            if expert.noise.norm != router.noise.norm:
                raise SettingError(
                    f"the radii of expert {index} are in the {expert.noise.norm} norm, those of the router "
                    f"in {router.noise.norm}; give noises of one norm"
                )
            if expert.noise.unit_ball != router.noise.unit_ball:
                raise SettingError(
                    f"the radii of expert {index} ({expert.noise}) and of the router ({router.noise}) are "
                    "not in one unit; give the same scales to all, and a pixel grid to all or to none"
                )
        self.router, self.experts = router, tuple(experts)

    def predict(
        self,
        x: torch.Tensor | np.ndarray,
        n: int = DEFAULT_VOTES,
        *,
        confidence: float | None = None,
        examples: Sequence[int] | None = None,
    ) -> Int[np.ndarray, " images"]:
        """Return the class that the chosen expert votes for, by ``n`` votes each of router and expert.

        With ``confidence`` the result is, with at least that probability over the noise, the routed
        classifier's class or -1 (abstain). ``examples`` key the noise, as in ``SmoothedClassifier``.

        Raises:
            SettingError, DataError, ModelError: as ``SmoothedClassifier.predict``.
            DataError: a router that does not have one class for each expert.
        """
        images = _images(x)
        each = None if confidence is None else _half(confidence)
        numbers = self.router.numbers(len(images), examples)
        self._require_one_class_each(images)
        choice = self.router.predict(images, n, confidence=each, examples=numbers.tolist())
        classes = np.full(len(images), ABSTAIN)
        for index, expert in enumerate(self.experts):
            if (mine := np.flatnonzero(choice == index)).size:
                keys = numbers[mine].tolist()
                classes[mine] = expert.predict(images[mine], n, confidence=each, examples=keys)
        return classes

    def certify(
        self,
        x: torch.Tensor | np.ndarray,
        plan: Plan | str | None = None,
        *,
        router_plan: Plan | str | None = None,
        confidence: float = CONFIDENCE,
        examples: Sequence[int] | None = None,
        labels: Labels | None = None,
        known_labels: Labels | None = None,
    ) -> RoutedCertificates:
        """Return the certificate of the routed classifier for each image.

        With probability at least ``confidence`` over the noise, for each image that is not abstained on,
        the routed classifier returns the predicted class everywhere within the radius.

        Args:
            x: (images, *shape), in the input's unit.
            plan: of the experts (``fixed(100,100000)``: n0 = 100, n = 100,000).
            router_plan: of the router, ``plan`` if not given.
            confidence: of each certificate.
            examples: the images' numbers, which determine their noise.
            labels: true classes, only stored.
            known_labels: true classes that the experts test alone, as in ``SmoothedClassifier.certify``.

        Raises:
            SettingError, DataError, ModelError: as ``SmoothedClassifier.certify``.
            DataError: a router that does not have one class for each expert.
        """
        of_experts = Fixed() if plan is None else as_plan(plan)
        of_router = of_experts if router_plan is None else as_plan(router_plan)
        for plan_of_one in (of_experts, of_router):
            _require_the_class(plan_of_one)
        each = _half(confidence)
        images = _images(x)
        numbers = self.router.numbers(len(images), examples)
        given = known_labels if labels is None else labels
        truth = np.full(len(images), ABSTAIN) if given is None else _one_each(given, len(images))
        known = None if known_labels is None else _one_each(known_labels, len(images))
        self._require_one_class_each(images)
        router = self.router.certify(images, of_router, confidence=each, examples=numbers.tolist())
        chosen: list[Certificate] = [
            Certificate(row.idx, int(label), ABSTAIN, 0.0, 0.0, votes=0, stopped_by=NO_CHOICE)
            for row, label in zip(router, truth, strict=True)
        ]
        for index, expert in enumerate(self.experts):
            mine = [place for place, row in enumerate(router) if row.predict == index]
            if not mine:
                continue
            found = expert.certify(
                images[mine],
                of_experts,
                confidence=each,
                examples=numbers[mine].tolist(),
                labels=truth[mine],
                known_labels=None if known is None else known[mine],
            )
            for place, row in zip(mine, found, strict=True):
                chosen[place] = row
        name = f"routed({of_router.name}; {of_experts.name})"
        rows = [
            replace(_both(one, other), confidence=confidence, plan=name)
            for one, other in zip(router, chosen, strict=True)
        ]
        measure = router.measure
        return RoutedCertificates(
            Certificates(rows, measure=measure), router, Certificates(chosen, measure=measure)
        )

    def _require_one_class_each(self, images: torch.Tensor) -> None:
        """Refuse a router that has not one class for each expert."""
        classes = self.router.votes(images[:1], 1).shape[1]
        if classes != len(self.experts):
            raise DataError(
                f"the router has {classes} classes for {len(self.experts)} experts; it needs one for each"
            )


def largest_radius(certificates: Sequence[Certificates]) -> Int[np.ndarray, " images"]:
    """Return for each image the expert that certifies its label at the largest radius: a router's labels.

    A router must not be certified with the noise that chose what it learned. So number these images apart
    from those to be certified: ``certify(..., examples=range(10**9, 10**9 + len(x)))``.

    ``certificates`` are those of every expert for the same images, with labels. An image that several certify
    equally far, or none, goes to that of them which certifies most images.

    Raises:
        DataError: no certificates, other images, images without labels, or radii in different norms, scales
            or units.
    """
    if not certificates:
        raise DataError("there are no certificates to choose by; give those of every expert")
    measures = ((f"expert {index}", one.measure) for index, one in enumerate(certificates))
    if said := [(name, measure) for name, measure in measures if measure is not None]:
        common_measure(said)
    first = certificates[0]
    truth = [(row.idx, row.label) for row in first]
    for one in certificates:
        if [(row.idx, row.label) for row in one] != truth or any(label < 0 for _, label in truth):
            raise DataError("the experts' certificates must be of the same images, all with labels")
    radii = np.array([[row.radius if row.correct else -1.0 for row in one] for one in certificates])
    order = np.argsort(-(radii >= 0).sum(axis=1), kind="stable")
    return np.asarray(order[radii[order].argmax(axis=0)])


def _both(router: Certificate, expert: Certificate) -> Certificate:
    """Return the certificate that follows from the router's and that of the expert it names."""
    sure = ABSTAIN not in (router.predict, expert.predict)
    covered = [row.squared_steps for row in (router, expert) if row.squared_steps is not None]
    return Certificate(
        expert.idx,
        expert.label,
        predict=expert.predict if sure else ABSTAIN,
        radius=min(router.radius, expert.radius) if sure else 0.0,
        seconds=router.seconds + expert.seconds,
        votes=(router.votes or 0) + (expert.votes or 0),
        stopped_by=NO_CHOICE if router.predict == ABSTAIN else expert.stopped_by,
        squared_steps=(min(covered) if sure else -1) if covered else None,
    )


def _require_the_class(plan: Plan) -> None:
    """Refuse a plan that does not say which class is the most probable one."""
    if plan.states == "nothing" or plan.among > 1:
        raise SettingError(
            f"{plan.name} does not say which class is the most probable one, which a choice rests on; "
            "accepted are fixed, two_class, decide, curve, precision and predict"
        )


def _half(confidence: float) -> float:
    """Return the confidence at which two statements may both be made for theirs to hold together."""
    return 1.0 - (1.0 - require_open_unit("confidence", confidence)) / 2.0


def _images(x: object) -> torch.Tensor:
    """Return the images, of which each part takes its own.

    Raises:
        DataError: no array or tensor.
    """
    if not isinstance(x, torch.Tensor | np.ndarray):
        raise DataError(
            f"images must be an array or a tensor (images, *shape), got {type(x).__name__}; of a data set "
            "give data.test.x and data.test.y"
        )
    return torch.as_tensor(x)


def _one_each(labels: Labels, images: int) -> Int[np.ndarray, " images"]:
    found = np.asarray(whole_labels(labels), dtype=np.int64)
    if len(found) != images:
        raise DataError(f"{len(found)} labels for {images} images; give one for each")
    return found
