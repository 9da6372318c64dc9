"""``sfumato advise --radius``: certified accuracy at a radius, in place of the errors of the vote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sfumato.cli.load_data import Given
from sfumato.cli.normalize import as_smoothed
from sfumato.cli.terminal import OUT, note_measuring, print_json, print_table, progress_bar, warn

if TYPE_CHECKING:
    from sfumato.advice.points import LabelledPoints
    from sfumato.advice.recorded_radii import Recorded
    from sfumato.answers.advise_radius import RadiusAdvice
    from sfumato.datasets import Dataset
    from sfumato.models.classifier import Classifier


def advise_at_radii(
    radii: Sequence[float],
    betas: Sequence[float],
    dataset: Dataset,
    sample: LabelledPoints,
    classifiers: Sequence[tuple[Classifier, float]],
    *,
    images: int | None,
    seed: int,
    device: str,
    normalization: str,
    given: Given,
    as_json: bool,
) -> None:
    """Print for each radius what holds for every classifier, what is recorded, and the best beta of each."""
    from sfumato.advice.geometry import geometry
    from sfumato.advice.neighbours import nearest_by_class
    from sfumato.advice.recorded_radii import recorded_near
    from sfumato.answers.advise_radius import advise_radius, usual_betas
    from sfumato.answers.race_study import able_betas, least_beta, race_images
    from sfumato.noise import Gaussian
    from sfumato.plans import Decide
    from sfumato.settings import CONFIDENCE

    if betas:
        for radius in radii:
            # what is refused, is refused before any time is spent
            able_betas(tuple(betas), Decide(radius), CONFIDENCE)
    total = race_images(images, dataset)
    with progress_bar("neighbours", len(sample)) as bar:
        distances = geometry(nearest_by_class(sample, bar.advance))
    pages: list[dict[str, Any]] = []
    with progress_bar("race of betas", total * len(radii) * len(classifiers)) as bar:
        for radius in radii:
            found = []
            for classifier, alpha0 in classifiers:
                done = 0

                def announce(size: int, running: int) -> None:
                    nonlocal done
                    bar.advance(size - done, f"{running} betas in the race")
                    done = size

                noises = [Gaussian(beta) for beta in betas or usual_betas(alpha0, radius)]
                found.append(
                    advise_radius(
                        *(classifier, dataset, alpha0, radius),
                        betas=betas,
                        images=total,
                        seed=seed,
                        device=device,
                        smoothed_at=as_smoothed(
                            classifier, noises, normalization, dataset, seed, device, given
                        ),
                        on_batch=announce,
                        on_measuring=note_measuring,
                    )
                )
            asked: Sequence[float | None] = betas or [None]
            near = {one for beta in asked for one in recorded_near(radius, dataset.unit, beta)}
            pages.append(
                {
                    "radius": radius,
                    "least_beta": least_beta(Decide(radius), CONFIDENCE),
                    "most_certified": distances.most_certified(radius) if radius > 0 else 1.0,
                    "networks": found,
                    "recorded": [] if found else sorted(near, key=lambda one: (one.data, one.network)),
                }
            )
    if as_json:
        print_json({"data": dataset.name, "unit": dataset.unit, "remarks": sample.remarks, "advice": pages})
        return
    for page in pages:
        for found in page["networks"]:
            _print_network(found)
        if not classifiers:
            _print_recorded_only(page, dataset)
        _print_for_all(page, sample)
    OUT.print(f"radius, alpha and beta in: {dataset.unit}", markup=False)


def _print_network(found: RadiusAdvice) -> None:
    OUT.print(
        f"radius {found.radius:g}, {found.model} (alpha {found.alpha0:g}): smooth it with beta = "
        f"{found.beta:.3g}: certified accuracy {found.accuracy:.4f}, within {found.low:.4f} to "
        f"{found.high:.4f} in the population",
        markup=False,
        style="bold",
    )
    rows = []
    for one in found.tried:
        worse = f"{'not ' if one.beta in found.members else ''}significantly worse"
        rows.append(
            [
                f"{one.beta:.4g}",
                f"{one.certified / one.images:.4f}",
                str(one.images),
                "best" if one.beta == found.beta else f"{worse}, dropped out" if one.dropped else worse,
            ]
        )
    print_table("", ["beta", "certified", "images", "against the best"], rows, left=("against the best",))
    unable = ", ".join(f"{beta:g}" for beta in found.cannot)
    OUT.print(
        f"first {found.images} test images of {found.data}, {found.votes:,} votes; bounds and comparisons "
        f"hold for all these betas together, at confidence {found.confidence:g}"
        + (f"; beta {unable} cannot certify this radius" if unable else ""),
        markup=False,
    )
    if found.accuracy == 0:
        warn(f"no beta certifies any image at radius {found.radius:g}; ask for a smaller one")
    elif found.edge:
        warn(f"beta {found.beta:g} is the {found.edge} tried; the best may lie beyond (--beta)")
    verdict = {"likely": "is likely to gain", "not seen": "gained nothing elsewhere"}
    told = verdict.get(found.other.verdict, "cannot say")
    OUT.print(f"another alpha: {told}: {found.other.reason}", markup=False)
    _print_recorded(found.other.evidence)
    _print_how_to_measure(found.radius)


def _print_recorded_only(page: dict[str, Any], dataset: Dataset) -> None:
    from sfumato.advice.recorded_radii import RECORDED

    recorded, radius = page["recorded"], page["radius"]
    OUT.print(f"radius {radius:g}: which alpha and beta", markup=False, style="bold")
    if not any(one.data == dataset.name for one in recorded):
        known = ", ".join(f"{one:g}" for one in sorted({one.radius for one in RECORDED}))
        OUT.print(
            f"cannot say for {dataset.name}: nothing is recorded of these data near this radius (studies of "
            f"other data are at {known})",
            markup=False,
        )
    _print_recorded(recorded)
    OUT.print("cannot say: the certified accuracy to expect; give a network (--model)", markup=False)
    _print_how_to_measure(radius)


def _print_for_all(page: dict[str, Any], sample: LabelledPoints) -> None:
    """Print what is exact, for every classifier."""
    OUT.print(f"a beta below {page['least_beta']:.3g} cannot certify radius {page['radius']:g}", markup=False)
    if page["most_certified"] < 1:
        OUT.print(
            f"no classifier is right and certified there on more than {page['most_certified']:.1%} of "
            f"{len(sample):,} training points (sfumato geometry)",
            markup=False,
        )
    OUT.print("")


def _print_recorded(recorded: Sequence[Recorded]) -> None:
    if not recorded:
        return
    rows = [
        [
            f"{one.data}, {one.network}",
            f"{one.radius:g}",
            f"{one.best[0]:g}, {one.best[1]:g}",
            f"{one.certified:.3f}",
            ", ".join(f"{alpha:g}" for alpha in one.members),
            f"{one.against[0]:g}, {one.against[1]:g}",
            f"{one.against_certified:.3f}",
            f"{one.p_value:.2g}",
            one.source,
        ]
        for one in recorded
    ]
    print_table(
        "",
        [
            *("recorded on", "radius", "best alpha, beta", "certified", "alphas not worse"),
            *("against", "certified", "p", "source"),
        ],
        rows,
        left=("source",),
    )


def _print_how_to_measure(radius: float) -> None:
    OUT.print(
        f"measure it on your data: sfumato study search STUDY --radius {radius:g} --budget 6", markup=False
    )
