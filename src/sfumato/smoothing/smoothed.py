"""The votes of the smoothed classifier: how often a base classifier names each class under noise.

Source: Cohen, Rosenfeld & Kolter 2019. g(x) is the class that the base classifier returns most often for x +
noise, by default N(0, beta^2 I). Noise is added to what the caller calls the input; anything after it,
normalisation included, is part of the base classifier. What is certified by the votes stands to the right of
here, in ``sfumato.certification``, which makes certificates of them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int

from sfumato.devices import choose_device
from sfumato.errors import (
    DataError,
    ModelError,
    SettingError,
    SfumatoError,
    require_count,
    require_open_unit,
    require_positive,
)
from sfumato.models.classifier import Classifier
from sfumato.noise import Gaussian, Noise
from sfumato.plans import ABSTAIN, Plan, Run, as_plan
from sfumato.settings import CONFIDENCE
from sfumato.smoothing.answers import UncertainAnswerError, require_classes
from sfumato.smoothing.base_classifier import BaseClassifier
from sfumato.smoothing.batches import Profile
from sfumato.smoothing.begun import Begun, Group, count_groups
from sfumato.smoothing.configuration import (
    Configuration,
    Network,
    fitted_batch,
    require_precision,
    usual_configuration,
)
from sfumato.smoothing.tuning import tuned_configuration
from sfumato.smoothing.units import images_in_unit
from sfumato.smoothing.voting import VoteCounter
from sfumato.statistics.binomial import sign_test_p_value

DEFAULT_VOTES = 100
_AHEAD = 4


class Smoothed:
    """A base classifier smoothed by N(0, beta^2 I), or by another noise.

    Args:
        model: from a batch (batch, *shape) to logits (batch, classes): a module, any callable, or a
            ``Classifier``. A module is not changed; a copy in evaluation mode votes.
        beta: smoothing noise, standard deviation in the input's unit, of Gaussian noise.
        noise: in place of beta, any noise; its ``norm`` is that of the radii.
        seed: with an image's example number it determines all noise. Images without given numbers are
            numbered 0, 1, ... over all calls of this object (``predict``, ``certify`` and calling it), so
            that no two of them share noise.
        batch_size: noisy copies per forward pass, chosen by the model's kind and the size of its inputs if
            not given, or by ``tune``; has no influence on any result.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``float32``, or ``bf16`` to smooth and certify the network rounded to bfloat16.
        configuration: how votes are computed, as ``tuning`` measures it; in place of the two before it.

    >>> model = torch.nn.Linear(2, 2, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    >>> smoothed = Smoothed(model, beta=0.5, device="cpu")
    >>> smoothed.predict(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), n=100)
    array([1, 0])
    """

    def __init__(
        self,
        model: Network | Classifier,
        beta: float | None = None,
        *,
        noise: Noise | None = None,
        seed: int = 0,
        batch_size: int | None = None,
        device: str = "auto",
        precision: str = "float32",
        configuration: Configuration | None = None,
    ) -> None:
        self.classifier = Classifier.of(model)
        model = self.classifier.model
        self.noise = given_noise(beta, noise)
        self.seed = require_count("seed", seed, minimum=0)
        self.device = choose_device(device)
        if configuration is None:
            if batch_size is not None:
                batch_size = require_count("batch_size", batch_size)
            configuration = usual_configuration(
                model, self.device, batch_size=batch_size, precision=require_precision(precision)
            )
        else:
            batch_size = configuration.batch_size
        self._tunable = self._usual_batch = batch_size is None
        self.configuration = configuration
        self._base = BaseClassifier.configured(model, self.device, configuration)
        self._counter: VoteCounter | None = None
        self._shape: tuple[int, ...] | None = None
        self._told = set[str]()
        self._earlier_changes = 0
        self._numbered = 0
        self._numbering = threading.Lock()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.classifier.name}, noise={self.noise!r}, seed={self.seed}, "
            f"device={str(self.device)!r}, configuration={self.configuration})"
        )

    def __call__(self, x: torch.Tensor | np.ndarray, n: int = DEFAULT_VOTES) -> torch.Tensor:
        """Return the share of ``n`` votes that each class gets: (images, classes), float32 on x's device.

        A row sums to less than 1 where the model returned NaN under noise. The numbering of images continues
        from call to call, so that every call has fresh noise.
        """
        counts = self.fresh_votes(x, n)
        device = x.device if isinstance(x, torch.Tensor) else None
        return torch.as_tensor(counts / n, dtype=torch.float32, device=device)

    def check(self, x: torch.Tensor | np.ndarray, classes: int = 2) -> None:
        """Refuse images or a model that cannot be smoothed, before any vote is counted.

        ``classes`` is how many the data has.

        Raises:
            DataError: images that are not finite numbers or of another shape than before.
            ModelError: a model that does not fit the images, or has fewer outputs than the data has classes.
        """
        _, counter = self._prepare(x)
        require_classes(counter.num_classes, classes)

    def tune(
        self,
        shape: tuple[int, ...],
        votes: int,
        *,
        on_measuring: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Choose how to count about ``votes`` votes on inputs of ``shape`` by measuring what is fastest.

        It changes the speed only. Nothing is done if a batch size or a configuration was given.
        ``on_measuring`` is called before measuring that may take over a second, with the most seconds that
        are planned for it.

        Raises:
            ModelError: as ``tuning.tuned_configuration``.
        """
        if not self._tunable:
            return
        precision = self.configuration.precision
        tuned = tuned_configuration(
            *(self.model, shape, self.device), votes=votes, precision=precision, on_measuring=on_measuring
        )
        self._usual_batch = False
        if tuned == self.configuration:
            return
        self.configuration = tuned
        self._earlier_changes = self.changes
        self._base = BaseClassifier.configured(self.model, self.device, self.configuration)
        self._counter = None

    def votes_per_second(self, x: torch.Tensor | np.ndarray, seconds: float) -> float:
        """Return how fast votes of these images come, measured for about so many seconds, in full batches.

        The votes are thrown away, and no profile counts them.

        Raises:
            DataError, ModelError: as ``votes``.
        """
        images, counter = self._prepare(x)
        full = self.configuration.batch_size * self.configuration.workers
        kept, counter.profile = counter.profile, Profile()
        first = np.zeros(len(images), dtype=np.int64)
        counted, started = 0, time.perf_counter()
        while not counted or time.perf_counter() - started < seconds:
            counter.count(images, np.arange(len(images)), first, first + full)
            counted += full * len(images)
        counter.profile = kept
        return counted / (time.perf_counter() - started)

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the base classifier answers to (images, *shape) without noise: (images, classes)."""
        return self._base.outputs(x)

    def votes(
        self, x: torch.Tensor | np.ndarray, n: int, *, examples: Sequence[int] | None = None, first: int = 0
    ) -> Int[np.ndarray, "images classes"]:
        """Return how often each class was voted for among ``n`` noisy copies of each image.

        ``x`` is (images, *shape) in the input's unit; ``examples`` are the images' indices in their
        data set, by which their noise is keyed (0, 1, ... if not given, the same in every call: the
        counts are a function of the arguments); ``first`` is the number of votes to pass over. A row sums
        to less than ``n`` where the model returned NaN under noise.

        Raises:
            SettingError: n below 1.
            DataError: images that are not finite numbers or of another shape than before.
            ModelError: a model that does not fit the images.
        """
        require_count("n", n)
        require_count("first", first, minimum=0)
        images, counter = self._prepare(x)
        keys = np.arange(len(images)) if examples is None else _keys(examples, len(images))
        return counter.count(images, keys, np.full(len(images), first), np.full(len(images), n))

    def fresh_votes(self, x: torch.Tensor | np.ndarray, n: int) -> Int[np.ndarray, "images classes"]:
        """Return the class counts of ``n`` votes for each image, under noise that no call was given before.

        Raises:
            SettingError, DataError, ModelError: as ``votes``.
        """
        images, _ = self._prepare(x)
        return self.votes(x, n, examples=self.numbers(len(images)).tolist())

    def predict(
        self,
        x: torch.Tensor | np.ndarray,
        n: int = DEFAULT_VOTES,
        *,
        confidence: float | None = None,
        examples: Sequence[int] | None = None,
    ) -> Int[np.ndarray, " images"]:
        """Return the majority class of ``n`` votes for each image.

        Without ``confidence`` it is the plain majority (Pal & Sulam 2023), the smaller index in a tie. With
        it, the majority is returned only if the two-sided binomial test of the two top classes rejects a tie
        at level 1 - confidence; otherwise -1 (abstain). With probability at least ``confidence`` over the
        noise the result is either -1 or the smoothed classifier's class (Hung & Fithian 2019; Cohen et al.
        2019, PREDICT).

        ``examples`` are the images' numbers, by which their noise is keyed; without them the numbering
        continues from call to call, so that every call has fresh noise. Give them to repeat a result.
        """
        if confidence is not None:
            require_open_unit("confidence", confidence)
        counts = self.fresh_votes(x, n) if examples is None else self.votes(x, n, examples=examples)
        if confidence is None:
            # an image whose every vote was NaN has no majority
            return np.where(counts.any(axis=1), counts.argmax(axis=1), ABSTAIN)
        return np.array([verified_majority(row, confidence) for row in counts])

    def run(
        self,
        x: torch.Tensor | np.ndarray,
        plan: Plan | str,
        *,
        confidence: float = CONFIDENCE,
        examples: Sequence[int] | None = None,
        known_labels: Int[np.ndarray, " images"] | None = None,
    ) -> Run:
        """Return the finished run of ``plan``: its decisions, and the counts they rest on.

        With ``known_labels``, the true classes, plans that support it test only these classes; a decision
        then names the label or no class.
        """
        ((run, _),) = self.runs([(x, examples, known_labels)], plan, confidence=confidence, together=1)
        return run

    def runs(
        self,
        groups: Iterable[Group],
        plan: Plan | str,
        *,
        confidence: float = CONFIDENCE,
        together: int,
    ) -> Iterator[tuple[Run, float]]:
        """Yield the finished run of each group of images, in their order, and the seconds its votes took.

        Groups are begun as long as fewer than ``together`` images want votes. What all of these want is
        counted together: otherwise the last looks, when few images of a group are undecided, would be
        batches of few votes. At most ``_AHEAD`` times as many images are begun and not yielded yet, or one
        group. It changes the speed only.
        """
        plan = as_plan(plan)
        require_open_unit("confidence", confidence)
        waiting, begun = iter(groups), deque[Begun]()
        while True:
            while (
                sum(one.wanting for one in begun) < together
                and sum(one.run.images for one in begun) < _AHEAD * together
                and (group := next(waiting, None)) is not None
            ):
                begun.append(self.begin(group, plan, confidence))
            if not begun:
                return
            if begun[0].wanting:
                count_groups([one for one in begun if one.wanting])
            else:
                yield begun[0].run, begun.popleft().seconds

    def begin(self, group: Group, plan: Plan, confidence: float = CONFIDENCE) -> Begun:
        """Return the begun run of a plan on a group of images: whatever it wants is still to be counted."""
        x, examples, known_labels = group
        images, counter = self._prepare(x)
        keys = self.numbers(len(images), examples)
        run = plan.start(
            len(images), counter.num_classes, noise=self.noise, confidence=confidence, labels=known_labels
        )
        return Begun(counter, images, keys, run)

    @property
    def model(self) -> Network:
        """The base classifier as it was given."""
        return self.classifier.model

    @property
    def changes(self) -> int:
        """How often the module was found changed, and copied again, at the beginning of a call."""
        return self._earlier_changes + self._base.changes

    @property
    def beta(self) -> float:
        """Standard deviation of the noise, in the input's unit."""
        return self.noise.standard_deviation

    @property
    def profile(self) -> Profile:
        """Where the time of all votes so far went."""
        return self._counter.profile if self._counter else Profile()

    @property
    def _num_classes(self) -> int:
        return self._counter.num_classes if self._counter else 0

    def numbers(self, images: int, examples: Sequence[int] | None = None) -> Int[np.ndarray, " images"]:
        """Return the numbers by which the noise of so many images is keyed: ``examples``, one for each.

        Without them, numbers that no image of this object was given without being asked for.

        Raises:
            DataError: not one number for each image.
        """
        if examples is not None:
            return _keys(examples, images)
        with self._numbering:
            self._numbered += images
            return np.arange(self._numbered - images, self._numbered)

    def _prepare(self, x: torch.Tensor | np.ndarray) -> tuple[torch.Tensor, VoteCounter]:
        """Return the images on the device, checked, and what counts their votes."""
        images = images_in_unit(
            x,
            self.beta,
            told=self._told,
            expected=self.classifier.known_unit,
            largest=self.noise.largest_deviation,
        ).to(self.device)
        self.noise.check(images)
        shape = tuple(images.shape[1:])
        if self._shape not in (None, shape):
            hint = "; one image needs a batch axis: x[None]" if tuple(images.shape) == self._shape else ""
            raise DataError(f"images have shape {shape}, but the first ones had {self._shape}{hint}")
        if self._shape is None:
            if self._usual_batch:  # only now it is known how large an input is
                self.configuration = fitted_batch(self.configuration, shape, self.device)
            classes = self._probe(images)
        else:
            classes = self._base.prepare(images, self.noise.largest_deviation, self.configuration.batch_size)
        if self._counter is None or classes != self._counter.num_classes:
            self._counter = VoteCounter(self._base, self.noise, classes, self.configuration, seed=self.seed)
        self._shape = shape
        return images, self._counter

    def _probe(self, images: torch.Tensor) -> int:
        """Return the number of classes; where the images may be one image without a batch axis, say so."""
        alone = images.dim() == 3 and len(images) == 1 and self._shape is None
        if alone and self._takes(images[None]):
            raise ModelError(
                f"images have shape {tuple(images.shape)}: one image needs a batch axis, x[None]; images "
                "without channels need their axis, x[:, None]"
            )
        try:
            return self._base.probe(images, self.noise.largest_deviation, self.configuration.batch_size)
        except UncertainAnswerError:
            raise
        except ModelError as error:
            if alone or images.dim() > 3 or not self._takes(images[None]):
                raise
            raise ModelError(
                f"images have shape {tuple(images.shape)}: one image needs a batch axis, x[None]"
            ) from error

    def _takes(self, images: torch.Tensor) -> bool:
        """Return whether the model takes the images, of another shape than those that it votes on."""
        try:
            BaseClassifier(self.model, self.device, precision=self._base.precision).probe(images, self.beta)
        except SfumatoError:
            return False
        return True


def given_noise(beta: float | None, noise: Noise | None) -> Noise:
    """Return the noise that inputs are smoothed with: Gaussian of standard deviation ``beta``, or another.

    Raises:
        SettingError: both or neither, one that is 0, or one that follows the input.
    """
    if (beta is None) == (noise is None):
        raise SettingError(f"give either beta or noise, got beta {beta} and noise {noise}")
    if beta is not None and (callable(beta) or np.ndim(beta) > 0):
        raise SettingError(
            f"beta must be one number for all inputs, got a {type(beta).__name__}: noise that follows "
            "the input would void the certificate (arXiv 2110.05365); RoutedClassifier chooses with one"
        )
    if noise is not None and not isinstance(noise, Noise):
        raise SettingError(f"noise must be a noise, such as Laplace(0.5), got {noise!r:.40}")
    found = Gaussian(require_positive("beta", 0.0 if beta is None else beta)) if noise is None else noise
    require_positive("beta", found.standard_deviation)
    return found


def _keys(examples: Sequence[int], images: int) -> Int[np.ndarray, " images"]:
    """Return the given keys of the images' noise, one for each."""
    given = np.asarray(examples)
    whole = given.dtype.kind in "iu" or (given.dtype.kind == "f" and np.array_equal(given, np.rint(given)))
    if given.ndim != 1 or (given.size and not (whole and (given <= np.iinfo(np.int64).max).all())):
        raise DataError(
            "example indices must be one whole number below 2^63 for each image, got "
            f"{given.dtype} of shape {given.shape}"
        )
    if len(given) != images:
        raise DataError(f"{len(given)} example indices for {images} images; give one for each")
    return given.astype(np.int64)


def verified_majority(counts: Int[np.ndarray, " classes"], confidence: float) -> int:
    """Return the top class of the counts, or -1 where it is not certainly ahead of the second.

    >>> verified_majority(np.array([60, 40]), 0.999), verified_majority(np.array([90, 10]), 0.999)
    (-1, 0)
    """
    second, first = np.argsort(counts, kind="stable")[-2:]
    winner = int(np.argmax(counts))
    p_value = sign_test_p_value(int(counts[first]), int(counts[second]))
    return winner if p_value <= 1.0 - confidence else ABSTAIN
