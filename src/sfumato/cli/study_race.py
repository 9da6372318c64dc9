"""``sfumato study race``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.study_search import read_study
from sfumato.cli.terminal import OUT, print_json, print_table, progress_bar, tell, warn
from sfumato.cli.vote_precision import warn_if_slow

if TYPE_CHECKING:
    from sfumato.answers.race_study import RaceResult


def command(
    folder: Annotated[Path, typer.Argument(help="The folder of a study.")],
    radius: Annotated[str, typer.Option("--radius", help="L2 radius, or several: 0.5,1 (one race each).")],
    images: Annotated[
        int | None,
        typer.Option("--images", help="Number of test images to race over (default: at most 1,000)."),
    ] = None,
    confidence: Annotated[
        float, typer.Option("--confidence", help="Confidence level of set, bounds and gain.")
    ] = 0.95,
    data_dir: options.DataDir = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Find the pair (alpha, beta) with the highest certified accuracy at a radius, with few votes.

    All pairs are certified on the same images, and a pair drops out as soon as another is surely better. The
    best pair drops out with probability at most 0.001. Each certificate has the confidence of the study's
    table [certification], else 0.999. Certificates are kept in the folder of the study: if the command is
    killed, give it again to continue. The study shows the same certified accuracy as before.

    Example: sfumato study race mnist-study --radius 0.5,1 --images 1000
    """
    from sfumato.answers.race_study import race_study
    from sfumato.reporting.answer_tables import pairs_table
    from sfumato.reporting.model_card import write_study_cards
    from sfumato.studies.run import Watch

    radii = options.parse_numbers("radius", radius)
    design = read_study(folder, {"data": {} if data_dir is None else {"data_dir": str(data_dir)}})
    warn_if_slow(device, design.model.shared.precision, design.votes.precision)
    with progress_bar("race", 1) as bar:

        def race(one: float) -> RaceResult:
            def announce(size: int, running: int, votes: int) -> None:
                if not as_json:
                    pairs = "1 pair" if running == 1 else f"{running} pairs"
                    tell(f"radius {one:g}, {size} images: {pairs} in the race, {votes:,} votes")

            return race_study(
                design,
                folder,
                one,
                images=images,
                confidence=confidence,
                device=device,
                watch=watch,
                on_batch=announce,
            )

        watch = Watch(
            on_start=lambda work: bar.restart("certifying", max(1, work)),
            on_work=bar.advance,
            on_warning=warn,
        )
        found = {one: race(one) for one in radii}
    write_study_cards(folder)
    if as_json:
        print_json([_as_json(result) for result in found.values()])
        return
    answers = {f"{one:.10g}": result.answer for one, result in found.items()}
    first = next(iter(found.values()))
    table = pairs_table(answers, first.data, confidence=confidence, beta=None)
    print_table(table.title, table.columns, table.rows)
    for one, result in found.items():
        unable = f"; beta {', '.join(f'{b:g}' for b in result.cannot)} cannot" if result.cannot else ""
        OUT.print(
            f"radius {one:g}: {len(result.dropped)} of {len(result.answer.among)} pairs dropped out, "
            f"{result.votes:,} votes{unable}",
            markup=False,
        )
    OUT.print(
        "gain in certified accuracy: selected on one half of the images, measured on the other; each "
        f"certificate holds with probability at least {first.certificate_confidence:g}; radius, alpha and "
        f"beta in: {first.unit}",
        markup=False,
    )
    nothing = [name for name, answer in answers.items() if answer.accuracy == 0]
    if nothing:
        warn(f"radius {', '.join(nothing)}: no pair certifies any image; ask for a smaller radius")
    certified = [answer for name, answer in answers.items() if name not in nothing]
    for edge in dict.fromkeys(edge for answer in certified for edge in answer.edges):
        warn(f"{edge} measured; the best may lie beyond")


def _as_json(result: RaceResult) -> dict[str, object]:
    """Return the result with pairs as objects, since JSON has no pairs as keys."""
    dropped = [
        {"alpha": alpha, "beta": beta, "images": images} for (alpha, beta), images in result.dropped.items()
    ]
    return {
        "radius": result.radius,
        "answer": result.answer,
        "dropped": dropped,
        "cannot": result.cannot,
        "votes": result.votes,
        "images": result.images,
        "certificate_confidence": result.certificate_confidence,
    }
