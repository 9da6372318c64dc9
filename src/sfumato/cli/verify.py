"""``sfumato verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli import options
from sfumato.cli.classifiers import Numbers, load_one_classifier
from sfumato.cli.terminal import OUT, print_json, progress_bar

if TYPE_CHECKING:
    from sfumato.certification.verify import AtHand, Verification
    from sfumato.datasets import Dataset
    from sfumato.models.classifier import Classifier


def command(
    source: Annotated[
        Path, typer.Argument(help="A table of certify, a study's folder, or a report (.html).")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="The model of a table, as certify takes it, if it is no longer where the table says. A "
            "package.module:name is run, and a service asked, only if it is named here. Several times for a "
            "table of several models.",
        ),
    ] = None,
    denoiser: options.Denoiser = None,
    model_factory: options.ModelFactory = None,
    mean: options.Mean = None,
    std: options.Std = None,
    fingerprint: Annotated[
        str | None, typer.Option("--fingerprint", help="The text that identifies your own model now.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="The data of a table or a study, if its settings name another place."),
    ] = None,
    data_dir: options.DataDir = None,
    size: options.Size = None,
    redraw: Annotated[
        int, typer.Option("--redraw", help="Number of rows whose votes are drawn again; 0 for none.")
    ] = 3,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help="Chooses the rows that are drawn again (default: others each time)."),
    ] = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Verify certificates: derive each again from its counts, and draw a random few again from the seed.

    Checksums, fingerprints, versions and labels are compared too. What cannot be checked here is said.
    Nothing is downloaded, and no code of a file is run. Options that say what the model is (--network,
    --denoiser, --model several times) are given as to certify. The exit code is 1 if anything differs.

    Example: sfumato verify certificates.tsv --redraw 10
    """
    from sfumato.certification.verify import AtHand
    from sfumato.errors import require_count

    require_count("redraw", redraw, minimum=0)
    if seed is not None:
        require_count("seed", seed, minimum=0)

    def load(reference: str, dataset: Dataset, mean: Numbers, std: Numbers) -> Classifier:
        named = model or [reference]
        return load_one_classifier(named, dataset, mean, std, model_factory, fingerprint, denoiser)

    with progress_bar("verifying", 1) as bar:
        at_hand = AtHand(
            *(" and ".join(model or []) or None, model_factory, data, data_dir, redraw, seed, device),
            mean=options.parse_numbers("mean", mean) or None,
            std=options.parse_numbers("std", std) or None,
            fingerprint=fingerprint,
            load=load,
            size=size,
            on_start=lambda rows: bar.restart("drawing again", rows),
            on_step=bar.advance,
        )
        found = _verified(source, at_hand)
    if as_json:
        print_json({"source": str(source), "sound": not found.differences, **vars(found)})
    else:
        for word, lines in (
            ("checked", found.checked),
            ("not checked", found.unchecked),
            ("DIFFERENT", found.differences),
        ):
            for line in lines:
                OUT.print(f"{word}: {line}", markup=False)
        ending = f"{len(found.differences)} differences" if found.differences else "no difference found"
        OUT.print(f"{source}: {ending}", markup=False)
    if found.differences:
        raise typer.Exit(1)


def _verified(source: Path, at_hand: AtHand) -> Verification:
    from sfumato.certification.verify import verify_table
    from sfumato.reporting.report.verify import verify_report
    from sfumato.studies.verify import verify_study

    if source.is_dir():
        return verify_study(source, at_hand)
    if source.suffix.lower() in (".html", ".htm"):
        return verify_report(source, at_hand)
    return verify_table(source, at_hand)
