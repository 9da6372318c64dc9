"""``sfumato certify``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.classifiers import load_one_classifier
from sfumato.cli.clean_accuracy import warn_at_chance
from sfumato.cli.execution import chosen_executor
from sfumato.cli.load_data import Given, load_data
from sfumato.cli.model_timeout import model_timeout as ended_if_it_hangs
from sfumato.cli.normalize import as_smoothed
from sfumato.cli.registered_names import PLANS
from sfumato.cli.terminal import (
    OUT,
    detail,
    note,
    note_measuring,
    print_json,
    print_table,
    progress_bar,
    warn,
)
from sfumato.cli.vote_precision import begun_precision, chosen_precision, require_asked
from sfumato.settings import CONFIDENCE

if TYPE_CHECKING:
    from sfumato.certification.forecast import Forecast
    from sfumato.certification.smoothed_classifier import SmoothedClassifier
    from sfumato.certification.summary import Summary
    from sfumato.certification.without_noise import CleanAccuracy
    from sfumato.datasets import Dataset
    from sfumato.noise import Noise
    from sfumato.plans import Plan


def command(
    model: options.ModelSource,
    beta: Annotated[
        float,
        typer.Option(
            "--beta", help="Smoothing noise: standard deviation of each coordinate, in the unit of the input."
        ),
    ],
    noise: options.Noise = "gaussian",
    scales: options.Scales = None,
    sound: options.Sound = False,
    steps: options.Steps = None,
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    size: options.Size = None,
    out: Annotated[
        Path, typer.Option("--out", help="The table to write; its settings are written to OUT.json.")
    ] = Path("certificates.tsv"),
    plan: Annotated[
        str,
        typer.Option(
            "--plan",
            help=f"Stopping plan, in quotes; it says how many votes an image gets and what they decide: "
            f"{PLANS}.",
        ),
    ] = "fixed(100,100000)",
    n0: Annotated[int | None, typer.Option("--n0", help="Plan fixed: votes that select the class.")] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="Plan fixed: further votes that bound its probability.")
    ] = None,
    label_known: Annotated[
        bool,
        typer.Option(
            "--label-known",
            help="decide and curve test only the true label: same accuracy table, fewer votes. top_k "
            "tests the label in place of the class of the first votes.",
        ),
    ] = False,
    confidence: options.Confidence = CONFIDENCE,
    first: Annotated[int | None, typer.Option("--first", help="Certify at most this many images.")] = None,
    skip: Annotated[
        int, typer.Option("--skip", help="Certify every SKIP-th test image: 20 takes 500 of 10,000.")
    ] = 1,
    denoiser: options.Denoiser = None,
    model_factory: options.ModelFactory = None,
    mean: options.Mean = None,
    std: options.Std = None,
    fingerprint: Annotated[
        str | None,
        typer.Option(
            "--fingerprint",
            help="A text that identifies your own model, e.g. its version: a run continues only with the "
            "same text. Without it, the model's answers to fixed inputs are compared.",
        ),
    ] = None,
    seed: options.Seed = 0,
    batch_size: options.BatchSize = None,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    normalization: options.Normalization = "trained",
    executor: options.Executor = "local",
    workers: options.Workers = None,
    gpus_per_worker: options.GpusPerWorker = None,
    ray_address: options.RayAddress = None,
    model_timeout: options.ModelTimeout = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print how the time was spent.")] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print how many votes and how much time it will take, and write nothing."
        ),
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Certify test images: find a class, and a radius within which the smoothed classifier returns it.

    The radius is in the L2 norm under Gaussian noise, in the L1 norm under uniform and Laplace noise.

    Writes the row of each image as soon as it is known. The columns are those of Cohen et al. (idx label
    predict radius correct time), then votes, bounds and plan. If the command is killed, give it again to
    continue; with a larger --first it adds images.

    Example: sfumato certify --model mnist-0.4.safetensors --data mnist --beta 0.5
    --plan "curve(0.25,0.5,0.75,1)"
    """
    from sfumato.advice.recorded_radii import lack_of_noise
    from sfumato.certification.forecast import forecast
    from sfumato.certification.run import Certification, certify_to_file
    from sfumato.certification.smoothed_classifier import SmoothedClassifier
    from sfumato.certification.summary import summarise
    from sfumato.certification.without_noise import accuracy_without_noise, stated_accuracy
    from sfumato.datasets.class_order import warn_of_class_order
    from sfumato.errors import require_count

    smoothing_noise = _noise(noise, beta, scales, sound=sound, steps=steps)
    require_asked(precision)
    if batch_size is not None:
        require_count("batch_size", batch_size)
    chosen = _plan(plan, n0, n)
    dataset = load_data(data, data_dir, size)
    limit = len(dataset.test) if first is None else require_count("first", first)
    examples = range(0, len(dataset.test), require_count("skip", skip))[:limit]
    warn_of_class_order(dataset, examples)
    what = Certification(examples, chosen, confidence, label_known)
    classifier = load_one_classifier(model, dataset, mean, std, model_factory, fingerprint, denoiser)
    invalid: list[int] = []
    without_noise: list[CleanAccuracy] = []

    def tell_accuracy(found: CleanAccuracy) -> None:
        without_noise.append(found)
        if not as_json and found.images:
            OUT.print(f"without noise the model is right about {found.right} of {found.images} images")
        if normalization == "trained":  # statistics of noisy inputs do not fit clean ones
            warn_at_chance(found, classifier)

    def tell_reused(rows: int) -> None:
        if 0 < rows < len(examples):
            note(f"{out} already holds {rows:,} of the {len(examples):,} images; the others are added")

    def kept() -> str:
        found = f"the finished rows are in {out}: give the command again to go on"
        return found if out.is_file() else "no row was finished"

    with (
        chosen_executor(executor, workers, gpus_per_worker, ray_address, device) as opened,
        ended_if_it_hangs(model_timeout, kept),
    ):
        if opened.in_process:
            begun = begun_precision(out) if precision == "auto" else None
            precision = chosen_precision(precision, device, [classifier], begun=begun)
        else:
            _require_one_process(batch_size, precision, model_timeout, profile=profile, dry_run=dry_run)
        here = device if opened.in_process else "cpu"
        given = Given(data, data_dir, size, model_factory)
        fitted = as_smoothed(classifier, [smoothing_noise], normalization, dataset, seed, here, given)
        smoothed = SmoothedClassifier(
            fitted(smoothing_noise),
            noise=smoothing_noise,
            seed=seed,
            batch_size=batch_size,
            device=here,
            precision=precision,
        )
        if dry_run:
            tell_accuracy(accuracy_without_noise(smoothed, dataset, examples))
            at_least = len(examples) * chosen.least_votes
            smoothed.tune(dataset.input_shape, at_least, on_measuring=note_measuring)
            first_image = dataset.test.x[examples[0] : examples[0] + 1]
            expected = forecast(smoothed, chosen, first_image, len(examples))
            if as_json:
                print_json(expected)
            else:
                OUT.print(str(expected), markup=False)
            return
        started = time.perf_counter()
        with progress_bar("certifying", len(examples)) as bar:
            rows = certify_to_file(
                smoothed,
                dataset,
                what,
                out,
                executor=opened,
                on_certificate=lambda row: bar.advance(note=f"image {row.idx}: radius {row.radius:.3f}"),
                on_pace=lambda note: bar.advance(0, note),
                on_invalid=invalid.append,
                on_without_noise=tell_accuracy,
                on_reused=tell_reused,
                on_forecast=_tell_if_long,
                on_measuring=note_measuring,
            )
    detail(f"{dataset!r}; {smoothed!r}")
    seconds = time.perf_counter() - started
    labelled = bool(dataset.class_names)
    # without labels, whatever a certificate states counts
    counted = rows if labelled else [replace(row, label=row.predict) for row in rows]
    record = classifier.record
    clean = stated_accuracy(smoothed.classifier, dataset, examples, without_noise[0])
    summary = summarise(
        counted,
        chosen,
        noise=smoothing_noise,
        confidence=confidence,
        without_noise=clean if labelled else None,
    )
    if as_json:
        about = {"data": dataset.name, "unit": dataset.unit, "confidence": confidence, "plan": chosen.name}
        about |= {"labels": labelled, **smoothing_noise.identity(), "norm": smoothing_noise.norm}
        about |= {"sound": smoothing_noise.sound, "without_noise": without_noise[0]}
        print_json({"table": str(out), "images": len(rows), **about, "summary": summary})
    else:
        _report(summary, len(rows), chosen, smoothing_noise, confidence, dataset, out)
        if smoothing_noise.sound:
            OUT.print(
                "sound: about images in whole steps, exact in whole numbers (column squared_steps)",
                markup=False,
            )
        if normalization != "trained":
            OUT.print(f"what is certified has its batch norms {normalization}", markup=False)
        if precision != "float32":
            OUT.print(f"what is certified is the {precision} network, not the float32 one", markup=False)
        if profile:
            _print_profile(smoothed, seconds)
    if nans := smoothed.profile.invalid + sum(invalid):
        warn(f"{nans} votes were NaN; they count for no class")
    if record is not None and labelled and clean and smoothing_noise.name == record.noise == "gaussian":
        lowest = summary.curve[0]
        if message := lack_of_noise(record.alpha, beta, lowest.radius, lowest.share, clean.share):
            warn(message)


def _tell_if_long(expected: Forecast) -> None:
    """Say before the first vote of a run how long it will take, if that may be over a minute."""
    from sfumato.certification.forecast import LONG_RUN

    if expected.most_seconds > LONG_RUN:
        note(str(expected))


def _require_one_process(
    batch_size: int | None, precision: str, model_timeout: float | None, *, profile: bool, dry_run: bool
) -> None:
    """Refuse options that workers do not know.

    Raises:
        SettingError: naming the first of them that was given.
    """
    from sfumato.errors import SettingError

    given = {
        "--dry-run": dry_run,
        f"--batch-size {batch_size}": batch_size is not None,
        f"--model-timeout {model_timeout}": model_timeout is not None,
        "--profile": profile,
        "--precision auto": precision == "auto",
    }
    if option := next((name for name, asked in given.items() if asked), None):
        raise SettingError(f"{option} is for one process; leave it out, or --executor and --workers")


def _noise(name: str, beta: float, scales: str | None, *, sound: bool, steps: int | None) -> Noise:
    """Return the smoothing noise; ``sound`` is another way to ask for discretised Gaussian noise."""
    from sfumato.errors import SettingError, require_positive
    from sfumato.noise import DiscretisedGaussian, Gaussian, make_noise

    if sound and name not in (Gaussian.name, DiscretisedGaussian.name):
        raise SettingError(f"--sound is Gaussian noise in whole steps, got --noise {name}; leave one out")
    own: dict[str, object] = {}
    if scales is not None:
        own["scales"] = options.parse_numbers("scales", scales)
    if steps is not None:
        own["steps"] = steps
    return make_noise(DiscretisedGaussian.name if sound else name, require_positive("beta", beta), **own)


def _plan(text: str, n0: int | None, n: int | None) -> Plan:
    """Return the plan; n0 and n are the short way to write another fixed one."""
    from sfumato.errors import SettingError
    from sfumato.plans import Fixed, parse_plan

    plan = parse_plan(text)
    if n0 is None and n is None:
        return plan
    if not isinstance(plan, Fixed) or plan.method != Fixed.method:
        raise SettingError(f"n0 and n belong to the plan fixed(n0,n), got {text}; leave them out")
    return Fixed(plan.n0 if n0 is None else n0, plan.n if n is None else n)


def _report(
    summary: Summary, images: int, plan: Plan, noise: Noise, confidence: float, data: Dataset, out: Path
) -> None:
    from sfumato.certification.accuracy import NO_GUARANTEE

    no_radius = plan.states != "radius"
    what = "accuracy" if data.class_names else "share (of any class: there are no labels)"
    if plan.among > 1:
        what = f"top-{plan.among} {what}"
    other_noise = "" if noise.name == "gaussian" else f", {noise}"
    print_table(
        f"{what.capitalize() if no_radius else f'Certified {what}'} of {images} test images of {data.name}, "
        f"beta = {noise.standard_deviation:g} ({data.unit}){other_noise}",
        [f"radius ({noise.norm})", "certified", "95 % bounds"],
        [[f"{p.radius:g}", f"{p.share:.4f}", f"{p.low:.4f} to {p.high:.4f}"] for p in summary.curve],
    )
    guarantee = (
        f"the majority of the votes: {NO_GUARANTEE}"
        if plan.states == "nothing"
        else f"each {'prediction' if no_radius else 'certificate'} holds with probability at least "
        f"{confidence:g}"
    )
    clean = ""
    if summary.clean_accuracy is not None:
        clean = f"accuracy without noise {summary.clean_accuracy:.4f} (of {summary.clean_of}); "
    bounds = "{:.4f}, {:.4f}, {:.4f}".format(*summary.p_lower) if summary.p_lower else ""
    of = "correct" if data.class_names else "certified"
    bounds = f"p_A of {of} images at least {bounds} (10, 50, 90 % quantiles); " if bounds else ""
    average = None if no_radius else summary.average_radius
    radius = "" if average is None else f"average certified radius {average:.4f} at "
    OUT.print(
        f"{clean}{bounds}abstained on {summary.abstained} of {images}; {guarantee}\n"
        f"{plan.name}: {radius}{summary.mean_votes:,.0f} votes per image, {summary.saved:.1f} times fewer "
        f"than 100,100; {summary.seconds:.1f} s\n{out}",
        markup=False,
    )


def _print_profile(smoothed: SmoothedClassifier, seconds: float) -> None:
    """Print where the time of this run's votes went, in seconds of wall-clock time."""
    found = smoothed.profile
    voting = {name: getattr(found, name) for name in ("noise", "forward", "reduction", "idle")}
    voting["tuning, planning and files"] = seconds - sum(voting.values())
    print_table(
        f"{found.votes:,} votes, {found.votes / seconds:,.0f} per second; {smoothed.configuration}",
        ["", "seconds", "share"],
        [[name, f"{spent:.2f}", f"{spent / seconds:.1%}"] for name, spent in voting.items()],
    )
