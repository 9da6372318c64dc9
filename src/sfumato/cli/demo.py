"""``sfumato demo``: a study of the bundled digits, and what it answers."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sfumato.cli import options, study_answers
from sfumato.cli.terminal import OUT, progress_bar, tell, warn

RADII = (0.25, 0.5)
STUDY = {
    "data": {"name": "digits"},
    "model": {"epochs": 40},
    "grid": {"alpha": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], "beta": [0.0, 0.2, 0.4, 0.6, 0.8]},
    "certification": {"beta": [0.2, 0.4], "radii": RADII, "images": 100, "label_known": True},
}


def command(
    out: Annotated[Path, typer.Option("--out", help="Folder of the study and its figures.")] = Path(
        "sfumato-demo"
    ),
    seed: options.Seed = 0,
    device: options.Device = "auto",
) -> None:
    """Show on real digits how the best training noise alpha depends on the smoothing noise beta.

    Runs a study of nine networks: their votes at five betas on all test images, and certificates at two betas
    on 100 images. Prints the answers of study best for the vote and for two radii, and draws two figures.

    Example: sfumato demo --out sfumato-demo
    """
    with progress_bar("loading", 1) as bar:
        from sfumato.reporting.model_card import write_study_cards
        from sfumato.studies.design import make_design
        from sfumato.studies.run import Watch, run_study

        design = make_design(STUDY, {"grid": {"seeds": [seed]}, "votes": {"seed": seed}})
        watch = Watch(
            on_start=lambda work: bar.restart("study", work),
            on_work=bar.advance,
            on_line=tell,
            on_warning=warn,
        )
        # networks as small as these are trained no faster by several threads
        run_study(design, out, device=device, watch=watch, threads=1)
    write_study_cards(out)
    study_answers.best(sources=[str(out)])
    study_answers.best(sources=[str(out)], radius=",".join(map(str, RADII)))
    study_answers.plot(folder=out, out=out / "risk.png", best_out=out / "best.png")
    OUT.print(
        f"{out} is a study: sfumato study run {shlex.quote(str(out))} --beta 0.5 adds to it", markup=False
    )
