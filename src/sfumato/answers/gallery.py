"""A few test images of a study as two of its models see them.

The images are a sample: one half drawn at random, one half where the two models differ most. Where the
models are there and a device of the kind that they voted on, the votes are counted again for these images,
with the noise of the study, to show how they fall on the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from sfumato.answers.best import BetaAnswer
from sfumato.certification.certificate import Certificate
from sfumato.datasets import Dataset
from sfumato.errors import DataError, SettingError
from sfumato.models.classifier import load_classifier
from sfumato.models.registry import is_built_in
from sfumato.noise import Gaussian, Noise, Span, Stream, Use
from sfumato.plans import ABSTAIN
from sfumato.settings import CONFIDENCE
from sfumato.smoothing.smoothed import Smoothed
from sfumato.statistics.binomial import upper_failure_probability
from sfumato.studies.design import Design
from sfumato.studies.keys import Keys
from sfumato.studies.results import CellResult, StudyResults
from sfumato.studies.store import FILE, Store
from sfumato.studies.todo import study_data


@dataclass(frozen=True)
class View:
    """One image as one smoothed model sees it.

    Attributes:
        predicted: majority class, -1 for none.
        votes: noisy copies counted for what follows; 0 where no votes are known.
        label_votes: how many of them were for the true class.
        counts: votes by class; None where they were not counted again.
        certificate: this image's certificate; None where there is none.
        label_radius: where there is no certificate: with probability at least ``CONFIDENCE`` over the
            noise, the smoothed classifier returns the true class everywhere within this L2 radius; 0 for
            nothing shown. The class is fixed before the votes, so all of them count (Cohen et al. 2019,
            Theorem 1, with the bound of Clopper & Pearson).
    """

    predicted: int
    votes: int
    label_votes: int
    counts: Int[np.ndarray, " classes"] | None
    certificate: Certificate | None
    label_radius: float

    @property
    def radius(self) -> float:
        """The certified radius, or the one that the votes support."""
        return self.label_radius if self.certificate is None else self.certificate.radius

    def signed_radius(self, label: int) -> float:
        """Return the radius, negative where a class other than ``label`` is certified: to sort by."""
        wrong = self.certificate is not None and self.certificate.predict not in (label, ABSTAIN)
        return -self.radius if wrong else self.radius


@dataclass(frozen=True)
class GalleryImage:
    """One test image.

    Attributes:
        example: its index in the test set.
        label: its true class.
        clean, noisy: as it is and with one draw of the smoothing noise (None where that is not known);
            (channels, height, width) in the input's unit.
        views: one per model.
        disagreement: between two models. Of a study from 0 to 1: the share of votes that fall on other
            classes (total variation); where only the votes for the true class are known, the difference
            of theirs. Of tables: the difference of the signed radii. 0 for one model alone.
        at_random: it was drawn at random, not picked for its disagreement.
    """

    example: int
    label: int
    clean: Float[np.ndarray, "channels height width"]
    noisy: Float[np.ndarray, "channels height width"] | None
    views: tuple[View, ...]
    disagreement: float
    at_random: bool


@dataclass(frozen=True)
class Gallery:
    """The sample.

    Attributes:
        beta: smoothing noise; None where it is not known.
        names: of the models, one or two.
        seen: what the text beside the images says.
        radii: what the radii are, in a sentence.
        class_names: by class index.
        images: the sample, examples increasing.
        why_not: why votes were not counted again by class; empty if they were, or if none are expected.
    """

    beta: float | None
    names: tuple[str, ...]
    seen: str
    radii: str
    class_names: tuple[str, ...]
    images: tuple[GalleryImage, ...]
    why_not: str = ""


def usual_pair(answers: Sequence[BetaAnswer]) -> tuple[float, float, float]:
    """Return (beta, alpha*, the alpha to compare it with) at the largest beta that has two alphas.

    The third is the measured alpha nearest to beta; if that is alpha*, the alpha farthest from alpha*.

    Raises:
        SettingError: no positive beta has two alphas.
    """
    for answer in sorted(answers, key=lambda found: -found.beta):
        if answer.beta > 0 and len(answer.alphas) > 1:
            farthest = max(answer.alphas, key=lambda alpha: abs(alpha - answer.alpha))
            rule = answer.gain.alpha
            return answer.beta, answer.alpha, farthest if rule == answer.alpha else rule
    raise SettingError("two models smoothed with the same positive beta are needed to compare them")


def sample_gallery(
    folder: Path,
    design: Design,
    results: StudyResults,
    *,
    beta: float,
    alphas: tuple[float, float],
    count: int,
    seed: int = 0,
    device: str = "auto",
    factory: str | None = None,
    on_image: Callable[[], None] = lambda: None,
) -> Gallery:
    """Return ``count`` test images as the two models see them; ``seed`` determines which.

    A network from a user's factory is built only if ``factory`` names that factory: a study's folder must not
    choose which code runs on the machine of a reader.

    Raises:
        SettingError: a cell that was not measured.
        DataError: the data cannot be read, are not images, or are not what the study was measured on.
    """
    run = next((s for s in results.seeds if all((alpha, beta, s) in results.cells for alpha in alphas)), None)
    if run is None or beta <= 0:
        raise SettingError(
            f"alpha {alphas[0]:g} and {alphas[1]:g} were not both measured at a positive beta {beta:g}"
        )
    data = study_data(design, run_code=False)
    cells = (results.cells[alphas[0], beta, run], results.cells[alphas[1], beta, run])
    _require_same_data(data, cells[0])
    first, second = (cell.first_hits / cell.first_votes for cell in cells)
    places, drawn = sample_places(np.abs(first - second), count, seed)
    examples = [int(cells[0].examples[place]) for place in places]
    counted, why_not = [], ""
    for alpha in alphas:
        found, reason = _count_again(
            folder, design, data, alpha, beta, run, examples, device, factory, on_image
        )
        counted.append(found)
        why_not = why_not or reason
    images = []
    for position, (place, example) in enumerate(zip(places, examples, strict=True)):
        views = tuple(
            _view(cell, place, None if counts is None else counts[position], results)
            for cell, counts in zip(cells, counted, strict=True)
        )
        clean = data.test.x[example]
        noisy = under_noise(clean, Gaussian(beta), design.votes.seed, example)
        images.append(
            GalleryImage(
                example,
                int(cells[0].labels[place]),
                clean,
                noisy,
                (views[0], views[1]),
                _disagreement(views[0], views[1]),
                place in drawn,
            )
        )
    return Gallery(
        beta,
        (f"α = {alphas[0]:g}", f"α = {alphas[1]:g}"),
        f"as the smoothed models of α = {alphas[0]:g} and α = {alphas[1]:g} see them (training seed {run})",
        "A radius is certified where the study certified the image; otherwise it is what these votes show "
        f"for the true class with probability at least {CONFIDENCE:g}, for each image by itself.",
        data.class_names,
        tuple(images),
        why_not,
    )


def require_images(data: Dataset) -> None:
    """Raise DataError if the examples are not images of 1 or 3 channels."""
    if data.test.x.ndim != 4 or data.test.x.shape[1] not in (1, 3):
        raise DataError(f"{data.name}: its examples are not images of 1 or 3 channels")


def under_noise(
    clean: Float[np.ndarray, "channels height width"], noise: Noise, seed: int, example: int
) -> Float[np.ndarray, "channels height width"]:
    """Return the first noisy copy that a vote with this seed casts for the example."""
    stream = Stream(Use.VOTES, seed, Span(example))
    return noise.add(torch.from_numpy(clean[np.newaxis].copy()), stream)[0].numpy()


def _require_same_data(data: Dataset, cell: CellResult) -> None:
    require_images(data)
    if cell.examples[-1] >= len(data.test) or not np.array_equal(data.test.y[cell.examples], cell.labels):
        raise DataError(f"{data.name}: its test labels differ from those of the study; the data have changed")


def sample_places(
    difference: Float[np.ndarray, " images"], count: int, seed: int
) -> tuple[list[int], set[int]]:
    """Return ``count`` places of images, increasing, and those of them that were drawn at random.

    One half is drawn, the other has the largest differences of what was not.
    """
    count = min(count, len(difference))
    # not keyed noise: which images are shown
    drawn = np.random.default_rng(seed).choice(len(difference), size=count - count // 2, replace=False)
    order = np.argsort(-difference, kind="stable")
    picked = [int(place) for place in order if place not in set(drawn.tolist())][: count // 2]
    return sorted([*drawn.tolist(), *picked]), set(drawn.tolist())


def _count_again(
    folder: Path,
    design: Design,
    data: Dataset,
    alpha: float,
    beta: float,
    seed: int,
    examples: Sequence[int],
    device: str,
    factory: str | None,
    on_image: Callable[[], None],
) -> tuple[Int[np.ndarray, "images classes"] | None, str]:
    """Return the votes by class, or None and the reason why they cannot be had."""
    made_by = design.model.shared.architecture
    if factory is None and not is_built_in(made_by):
        return None, f"{made_by!r} makes the models, and no --model-factory names what may run"
    kinds = ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)
    with Store(folder / FILE, read_only=True) as store:
        for kind in kinds:
            keys = Keys.of(design, data, torch.device(kind))
            keys = keys.after(store.path_of(keys.chain))
            if alpha in keys.path and (path := keys.model_path(folder, alpha, seed)).exists():
                break
        else:
            return None, (
                f"the model of alpha {alpha:g} is not in {folder / 'models'}, or voted under the noise of "
                "an earlier version or on a device that is not here"
            )
    classifier = load_classifier(str(path), data.input_shape, data.num_classes, factory=factory)
    smoothed = Smoothed(
        classifier,
        beta,
        seed=design.votes.seed,
        device=kind if device == "auto" else device,
        precision=design.votes.precision,
    )
    counts = []
    for example in examples:
        counts.append(smoothed.votes(data.test.x[[example]], design.votes.n, examples=[example])[0])
        on_image()
    return np.array(counts), ""


def _view(
    cell: CellResult, place: int, counts: Int[np.ndarray, " classes"] | None, results: StudyResults
) -> View:
    label = int(cell.labels[place])
    if counts is None:
        votes, hits = int(cell.first_votes[place]), int(cell.first_hits[place])
    else:
        votes, hits = int(counts.sum()), int(counts[label])
    certificates = results.certificates.get((cell.alpha, cell.beta, cell.seed), [])
    example = int(cell.examples[place])
    certificate = next((found for found in certificates if found.idx == example), None)
    radius = 0.0
    if votes:
        radius = Gaussian(cell.beta).radius(upper_failure_probability(hits, votes, CONFIDENCE))
    return View(int(cell.predicted[place]), votes, hits, counts, certificate, max(0.0, radius))


def _disagreement(first: View, second: View) -> float:
    if first.counts is None or second.counts is None:
        return abs(first.label_votes / max(1, first.votes) - second.label_votes / max(1, second.votes))
    shares = [view.counts / max(1, view.votes) for view in (first, second) if view.counts is not None]
    return 0.5 * float(np.abs(shares[0] - shares[1]).sum())
