"""``sfumato study``: the sub-commands of a study, and the two that make one."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options, study_answers, study_kept, study_race, study_search
from sfumato.cli.execution import chosen_executor
from sfumato.cli.from_settings import register, takes_fields
from sfumato.cli.study_search import read_study
from sfumato.cli.terminal import OUT, print_table, progress_bar, tell, warn
from sfumato.cli.train import with_methods
from sfumato.cli.vote_precision import warn_if_slow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from sfumato.studies.design import Design

app = typer.Typer(
    help="Train with a grid of alphas; find the best alpha for each beta, or the best pair for a radius.",
    no_args_is_help=True,
)


@app.command()
def init(file: Annotated[Path, typer.Argument(help="The study file to write.")] = Path("study.toml")) -> None:
    """Write a study file with every setting and a comment on each.

    Example: sfumato study init mnist.toml
    """
    from sfumato.errors import OutputError
    from sfumato.files import require_writable
    from sfumato.studies.design import make_design, write_design

    if file.exists():
        raise OutputError(f"{file}: exists already; choose another file or remove it")
    require_writable(file)
    write_design(make_design({}), file)
    OUT.print(f"{file}: edit it, then: sfumato study run {shlex.quote(str(file))} --out FOLDER", markup=False)


_FLAGS = {"data.name": "--data", "model.precision": "--train-precision", "votes.seed": "--votes-seed"}


def _fields() -> Mapping[str, FieldInfo]:
    """Return the fields of a study's tables, each behind the name of its table."""
    from sfumato.studies.design import Design

    tables: dict[str, Any] = {name: field.annotation for name, field in Design.model_fields.items()}
    fields = {name: tables[name].model_fields for name in ("data", "model", "grid", "votes")}
    fields["model"] = with_methods(fields["model"])
    return {
        f"{table}.{name}": field for table, of_table in fields.items() for name, field in of_table.items()
    }


@takes_fields(_fields, flags=_FLAGS, every_optional=True)
def run(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A study file, or the folder of a study; settings that it lacks have their default."
        ),
    ] = None,
    out: options.StudyOut = None,
    device: options.Device = "auto",
    executor: options.Executor = "local",
    workers: options.Workers = None,
    gpus_per_worker: options.GpusPerWorker = None,
    ray_address: options.RayAddress = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="CPU threads of each training; another number changes the last bits of the weights "
            "(default: PyTorch's number in this process, shared by the trainings that run side by side "
            "where --workers is left out).",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be computed and about how long it takes.")
    ] = False,
    **settings: Any,
) -> None:
    """Train one model per (alpha, seed), vote on the test images at every beta, keep all in one folder.

    Options replace settings of the file; without a file, those of the study that is in the folder already.
    Results already in the folder are not computed again: if the command is killed, give it again to continue.
    If you add an alpha, a beta or a seed later, only the new part is computed.

    Example: sfumato study run mnist.toml --out mnist-study

    Example: sfumato study run --data digits --alpha 0,0.2,0.4 --beta 0.3,0.5 --out digits-study

    Example: sfumato study run mnist.toml --out mnist-study --executor ray --ray-address auto
    """
    from sfumato.errors import require_count
    from sfumato.reporting.model_card import write_study_cards
    from sfumato.studies.design import make_design
    from sfumato.studies.run import STUDY_FILE, Watch, run_study
    from sfumato.studies.side_by_side import side_by_side
    from sfumato.studies.todo import study_data

    changes: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        table, _, key = name.partition(".")
        changes.setdefault(table, {})[key] = value
    folder = options.study_folder(file, out)
    if file is None and (folder / STUDY_FILE).is_file():
        file = folder
        tell(f"{folder}: going on with the settings of its {STUDY_FILE}; options given here replace them")
    design = make_design({}, changes) if file is None else read_study(file, changes)
    if dry_run:
        _say_what_is_left(design, folder, device)
        return
    if threads is not None:
        require_count("threads", threads)
    data = study_data(design)
    if workers is None and executor == "local" and gpus_per_worker is None and ray_address is None:
        values = math.prod(data.input_shape)
        together, share = side_by_side(design, len(data.train), values, device=device, threads=threads)
        if together > 1:
            workers, threads = together, share
    with (
        chosen_executor(executor, workers, gpus_per_worker, ray_address, device) as opened,
        progress_bar("study", 1) as bar,
    ):
        if opened.in_process:
            warn_if_slow(device, design.model.shared.precision, design.votes.precision)
        watch = Watch(
            on_start=lambda work: bar.restart("study", work),
            on_work=bar.advance,
            on_line=tell,
            on_warning=warn,
        )
        results = run_study(
            design, folder, device=device, watch=watch, executor=opened, threads=threads, data=data
        )
    write_study_cards(folder)
    study_answers.print_risks(results)
    OUT.print(
        f"rule of the votes: {design.votes.rule}; batch norms: {design.votes.normalization}\n"
        f"{folder}: study.toml, models/, results.sqlite; next: sfumato study best {shlex.quote(str(folder))}",
        markup=False,
    )


def _say_what_is_left(design: Design, folder: Path, device: str) -> None:
    from sfumato.studies.estimate import estimate_seconds
    from sfumato.studies.todo import plan_study

    todo = plan_study(design, folder, device=device)
    if todo.models:
        starts = ["random" if m.warm_from is None else f"alpha {m.warm_from:g}" for m in todo.models]
        print_table(
            "",
            ["alpha", "seed", "epochs", "starts from"],
            [
                [f"{m.alpha:g}", str(m.seed), str(m.epochs), start]
                for m, start in zip(todo.models, starts, strict=True)
            ],
        )
    certified = sum(count for member, count in todo.images.items() if member.kind == "certificates")
    images = sum(todo.images.values()) - certified
    OUT.print(
        f"{len(todo.models)} models to train ({sum(m.epochs for m in todo.models)} epochs), "
        f"{len(todo.images)} of {todo.cells} cells to complete: {images:,} images to vote on, "
        f"{certified:,} to certify",
        markup=False,
    )
    if todo.models or images:
        hours, rest = divmod(round(estimate_seconds(design, todo, device=device)), 3600)
        OUT.print(
            f"about {hours} h {rest // 60:02d} min {rest % 60:02d} s on this machine"
            + (", not counting certification" if certified else "")
            + "; nothing was written",
            markup=False,
        )


register(app, run, "run")
register(app, study_race.command, "race")
register(app, study_search.command, "search")
register(app, study_answers.show, "show")
register(app, study_kept.drop, "drop")
register(app, study_answers.best, "best")
register(app, study_answers.plot, "plot")
