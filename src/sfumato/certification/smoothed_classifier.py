"""The smoothed classifier, complete: votes become certificates.

It is here and not in ``smoothing``, which does not depend on certificates. Code that only needs votes takes a
``smoothing.Smoothed``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int

from sfumato.certification.certificate import Certificate
from sfumato.certification.certificates import Certificates
from sfumato.certification.conformal import ConformalClassifier, PredictionSets
from sfumato.certification.groups import certified_in_groups
from sfumato.certification.inputs import (
    UNKNOWN,
    Dealt,
    Inputs,
    batches,
    named_classes,
    number_of_images,
    whole_labels,
)
from sfumato.certification.measure import Measure
from sfumato.certification.without_noise import warn_if_it_guesses
from sfumato.datasets import Dataset, Split
from sfumato.errors import DataError, require_open_unit
from sfumato.plans import Fixed, Plan, as_plan
from sfumato.progress import shown_progress
from sfumato.settings import CONFIDENCE
from sfumato.smoothing.class_names import warn_of_other_classes
from sfumato.smoothing.smoothed import DEFAULT_VOTES, Smoothed

Labels = Sequence[int] | Int[np.ndarray, " images"] | Int[torch.Tensor, " images"]


class SmoothedClassifier(Smoothed):
    """A base classifier smoothed by N(0, beta^2 I), or by another noise, that predicts and certifies.

    Its arguments are those of ``smoothing.Smoothed``.

    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    >>> smoothed = SmoothedClassifier(model, beta=0.5, device="cpu")
    >>> smoothed.certify(torch.tensor([[1.0, 0.0]]), plan="fixed(100,1000)")[0].prediction
    1
    """

    def certify(
        self,
        x: Inputs,
        plan: Plan | str | None = None,
        *,
        confidence: float = CONFIDENCE,
        examples: Sequence[int] | None = None,
        labels: Labels | None = None,
        known_labels: Labels | None = None,
        progress: bool | None = None,
    ) -> Certificates:
        """Return a certificate for each image, under ``plan`` (``fixed(100,100000)``: n0 = 100, n = 100,000).

        With probability at least ``confidence`` over the noise, for each image that is not abstained
        on, the smoothed classifier returns the predicted class everywhere within the radius. The
        statement holds per image, not for all images together.

        Args:
            x: a tensor or an array (images, *shape), such images with labels (x, y), a ``Dataset``
                of Sfumato (its test split) or of PyTorch, or a ``DataLoader``, read in batches; labels of
                (image, label) items are kept.
            plan: a stopping plan, or its text.
            confidence: of each certificate.
            examples: the images' numbers, which determine their noise and are the certificates' ``idx``.
                Without them the numbering continues from call to call, from 0, so that every call has fresh
                noise. Give them to repeat a result.
            labels: true classes, -1 where unknown; only stored, so that ``accuracy`` can be computed.
            known_labels: true classes that change the hypothesis. Plans that support it (``decide``,
                ``curve``) test only these classes, with fewer votes, and a certificate then predicts the
                label or nothing. Use them for evaluation, never for predictions. Also stored as ``labels``.
            progress: whether a progress bar is drawn on standard error; in notebooks only if not given.

        Raises:
            SettingError: a plan, a confidence or labels that are not accepted.
            DataError, ModelError: as ``check``; not one label or number for each image.
        """
        chosen = Fixed() if plan is None else as_plan(plan)
        require_open_unit("confidence", confidence)  # before the images are numbered
        numbers = None if examples is None else Dealt("example indices", examples)
        given = known_labels if labels is None else labels
        recorded = None if given is None else Dealt("labels", whole_labels(given).tolist())
        known = None if known_labels is None else Dealt("known labels", whole_labels(known_labels).tolist())
        warn_of_other_classes(self.classifier, *named_classes(x))
        found: list[Certificate] = []
        with shown_progress(progress, "certifying", number_of_images(x)) as bar:
            for images, of_data in batches(x):
                size = len(images)
                keys = None if numbers is None else numbers.next(size)
                of_batch = of_data if recorded is None else np.asarray(recorded.next(size), dtype=np.int64)
                if of_batch is None:
                    of_batch = np.full(size, UNKNOWN)
                if len(of_batch) != size:
                    raise DataError(f"{len(of_batch)} labels for {size} images; give one for each")
                tested = None if known is None else np.asarray(known.next(size), dtype=np.int64)
                # all of them, before the first vote
                self.check(images, int(of_batch.max(initial=0)) + 1)
                indices = self.numbers(size, keys).tolist()
                if not found:
                    warn_if_it_guesses(self, images, of_batch)
                for rows in certified_in_groups(
                    *(self, chosen, images, indices, of_batch), confidence=confidence, known=tested
                ):
                    found += rows
                    bar.advance(len(rows))
            for dealt in (numbers, recorded, known):
                if dealt is not None:
                    dealt.finish()
        unit = x.unit if isinstance(x, Dataset) else ""
        return Certificates(found, measure=Measure.under(self.noise, unit))

    def predict(
        self,
        x: Inputs,
        n: int = DEFAULT_VOTES,
        *,
        confidence: float | None = None,
        examples: Sequence[int] | None = None,
    ) -> Int[np.ndarray, " images"]:
        """Return the majority class of ``n`` votes for each image, as ``Smoothed.predict``.

        ``x`` is whatever ``certify`` takes; labels are not looked at.

        Raises:
            SettingError, DataError, ModelError: as ``certify``.
        """
        if isinstance(x, torch.Tensor | np.ndarray):
            return super().predict(x, n, confidence=confidence, examples=examples)
        numbers = None if examples is None else Dealt("example indices", examples)
        found = []
        for images, _ in batches(x):
            keys = None if numbers is None else numbers.next(len(images))
            found.append(super().predict(images, n, confidence=confidence, examples=keys))
        if numbers is not None:
            numbers.finish()
        return np.concatenate(found)

    def conformal(
        self,
        calibration: tuple[torch.Tensor | np.ndarray, Labels] | Split,
        test: torch.Tensor | np.ndarray,
        coverage: float = 0.9,
        radius: float = 0.0,
        *,
        votes: int = DEFAULT_VOTES,
    ) -> PredictionSets:
        """Return sets of labels for ``test``, after a ``calibration`` on other inputs with their labels.

        With probability at least ``coverage`` over both and the noise, the set of a test input holds its true
        label, wherever within ``radius`` the input was moved to before the votes (``ConformalClassifier``,
        which does both steps one after the other).

        Raises:
            SettingError, DataError, ModelError: as ``ConformalClassifier``.
        """
        if isinstance(calibration, Split):
            calibration = calibration.x[np.arange(len(calibration))], calibration.y
        if not (isinstance(calibration, tuple | list) and len(calibration) == 2):
            raise DataError(
                f"calibration must be images and labels, or a split, got {type(calibration).__name__}; of a "
                "data set give images that are not in test, e.g. (data.test.x[:500], data.test.y[:500])"
            )
        x, y = calibration
        steps = ConformalClassifier(self, coverage=coverage, radius=radius, votes=votes)
        return steps.conformalize(x, y).predict_set(test)
