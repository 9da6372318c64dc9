"""``sfumato study``: the sub-commands of a study, and the two that make one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options, study_answers, study_race, study_search
from sfumato.cli.execution import chosen_executor
from sfumato.cli.from_settings import command_class, takes_fields, values_for
from sfumato.cli.slow_precision import warn_if_slow
from sfumato.cli.terminal import OUT, print_table, progress_bar, tell, warn
from sfumato.cli.training_options import with_methods

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo

    from sfumato.execution.base import Executor
    from sfumato.studies.design import Design
    from sfumato.studies.results import StudyResults
    from sfumato.studies.todo import ToDo

app = typer.Typer(
    help="Measure Delta(alpha, beta) over a grid, and find the best alpha for each beta.",
    no_args_is_help=True,
)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="The study file to write.")] = Path("study.toml"),
) -> None:
    """Write a commented study file with every setting in it.

    Example: sfumato study init mnist.toml
    """
    from sfumato.errors import OutputError
    from sfumato.files import require_writable
    from sfumato.studies.design import make_design, write_design

    if file.exists():
        raise OutputError(f"{file}: exists already; choose another file or remove it")
    require_writable(file)
    write_design(make_design({}), file)
    OUT.print(f"{file}: edit it, then: sfumato study run {file} --out FOLDER", markup=False)


_OF_MODEL = "model_"


def _model_fields() -> Mapping[str, FieldInfo]:
    """Return the fields of a study's [model] table; the votes have a precision too, and its option."""
    from pydantic.fields import FieldInfo

    from sfumato.studies.design import Design

    fields = with_methods(Design.model_fields["model"].annotation.model_fields)  # type: ignore[union-attr]
    told = fields["precision"]
    fields["precision"] = FieldInfo(
        annotation=told.annotation,
        default=told.default,
        description=told.description,
        json_schema_extra={"flag": "--train-precision"},
    )
    return fields


@takes_fields(_model_fields, prefix=_OF_MODEL, every_optional=True)
def run(
    file: Annotated[
        Path | None,
        typer.Argument(help="A study file, or the folder of a study; what is not in it has its default."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The study's folder (default: FILE's, if it is a folder).")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="data.name of the study file.")] = None,
    data_dir: options.DataDir = None,
    images: Annotated[
        int | None, typer.Option("--images", help="Only the first so many test images.")
    ] = None,
    alpha: Annotated[str | None, typer.Option("--alpha", help="Training noises, e.g. 0,0.2,0.4.")] = None,
    beta: Annotated[
        str | None, typer.Option("--beta", help="Smoothing noises; 0 is the plain classifier.")
    ] = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="Training seeds, e.g. 0,1,2.")] = None,
    votes: Annotated[int | None, typer.Option("--n", help="Votes per image.")] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", help="curtailed, sequential (with a stated error), or all.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="float32, or bf16: then that network is smoothed.")
    ] = None,
    device: options.Device = "auto",
    executor: options.Executor = "local",
    workers: options.Workers = None,
    gpus_per_worker: options.GpusPerWorker = None,
    ray_address: options.RayAddress = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            help="Threads of each training on a CPU, which decide the last bits of the weights (default: "
            "PyTorch's here, whatever the workers have).",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be computed and how long it takes.")
    ] = False,
    **model: Any,
) -> None:
    """Train one model per (alpha, seed), vote on the test images at every beta, keep it all in one folder.

    Options take the place of what the file says. What the folder holds already is not computed again:
    the same command goes on where a killed one stopped, and an alpha, a beta or a seed added later costs
    only itself.

    Example: sfumato study run mnist.toml --out mnist-study

    Example: sfumato study run --data digits --alpha 0,0.2,0.4 --beta 0.3,0.5 --out digits-study

    Example: sfumato study run mnist.toml --out mnist-study --executor ray --ray-address auto
    """
    from sfumato.errors import SettingError, require_count

    changes: dict[str, dict[str, Any]] = {
        "data": {"name": data, "data_dir": None if data_dir is None else str(data_dir), "images": images},
        "model": values_for(
            _model_fields(), {name.removeprefix(_OF_MODEL): value for name, value in model.items()}
        ),
        "grid": {
            "alpha": options.parse_numbers("alpha", alpha),
            "beta": options.parse_numbers("beta", beta),
            "seeds": _whole_numbers("seeds", seeds),
        },
        "votes": {"n": votes, "rule": rule, "precision": precision},
    }
    given = {
        table: {key: value for key, value in values.items() if value is not None}
        for table, values in changes.items()
    }
    design, folder = _read(file, {table: values for table, values in given.items() if values}), out
    if folder is None:
        if file is None or not file.is_dir():
            raise SettingError("--out is missing; give the folder that the study is kept in")
        folder = file
    if dry_run:
        _say_what_is_left(design, folder, device)
        return
    if threads is not None:
        require_count("threads", threads)
    with chosen_executor(executor, workers, gpus_per_worker, ray_address, device) as opened:
        _run(design, folder, device, opened, threads)


def _read(file: Path | None, changes: dict[str, dict[str, Any]]) -> Design:
    from sfumato.studies.design import make_design, read_design
    from sfumato.studies.run import STUDY_FILE

    if file is None:
        return make_design({}, changes)
    return read_design(file / STUDY_FILE if file.is_dir() else file, changes)


def _whole_numbers(name: str, text: str | None) -> tuple[int, ...] | None:
    from sfumato.errors import SettingError

    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingError(f"{name} must be whole numbers separated by commas, got {text!r}") from None


def _run(design: Design, folder: Path, device: str, executor: Executor, threads: int | None) -> None:
    from sfumato.studies.run import Watch, run_study

    if executor.in_process:
        warn_if_slow(device, design.model.shared.precision, design.votes.precision)
    with progress_bar("study", 1) as bar:
        watch = Watch(
            on_start=lambda work: bar.restart("study", work),
            on_work=bar.advance,
            on_line=tell,
            on_warning=warn,
        )
        results = run_study(design, folder, device=device, watch=watch, executor=executor, threads=threads)
    _print_risks(results)
    OUT.print(
        f"{design.votes.n} votes per image, rule {design.votes.rule}; in brackets: errors. "
        f"alpha and beta in: {results.unit}\n"
        f"{folder}: study.toml, models/, results.sqlite; next: sfumato study best {folder}",
        markup=False,
    )


def _print_risks(results: StudyResults) -> None:
    """Print Delta, averaged over the seeds, and the errors of all seeds together."""
    rows = []
    for alpha in results.alphas:
        row = [f"{alpha:g}"]
        for beta in results.betas:
            cells = [
                results.cells[key] for seed in results.seeds if (key := (alpha, beta, seed)) in results.cells
            ]
            risk = sum(cell.risk for cell in cells) / len(cells) if cells else 0.0
            row.append(f"{risk:.4f} ({sum(cell.errors for cell in cells)})" if cells else "")
        rows.append(row)
    count = len(next(iter(results.cells.values())).examples)
    print_table(
        f"Risk Delta(alpha, beta) on {count} test images of {results.data}, seeds "
        f"{', '.join(map(str, results.seeds))}",
        ["alpha", *(f"beta {beta:g}" for beta in results.betas)],
        rows,
    )


def _say_what_is_left(design: Design, folder: Path, device: str) -> None:
    from sfumato.studies.estimate import estimate_seconds
    from sfumato.studies.todo import plan_study

    todo = plan_study(design, folder, device=device)
    _print_models(todo)
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
            + (", certification left aside" if certified else "")
            + "; nothing was written",
            markup=False,
        )


def _print_models(todo: ToDo) -> None:
    if todo.models:
        print_table(
            "",
            ["alpha", "seed", "epochs", "starts from"],
            [
                [
                    f"{m.alpha:g}",
                    str(m.seed),
                    str(m.epochs),
                    "random" if m.warm_from is None else f"alpha {m.warm_from:g}",
                ]
                for m in todo.models
            ],
        )


app.command(name="run", cls=command_class(run))(run)
app.command(name="race")(study_race.command)
app.command(name="search")(study_search.command)
app.command(name="show")(study_answers.show)
app.command(name="best")(study_answers.best)
app.command(name="plot")(study_answers.plot)
