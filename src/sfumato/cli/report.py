"""``sfumato report``."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sfumato.cli import options
from sfumato.cli.from_settings import takes_fields
from sfumato.cli.terminal import OUT, note, progress_bar, warn

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from sfumato.reporting.report.build import ReportMaker

_LARGEST = 8_000_000


def _fields() -> Mapping[str, FieldInfo]:
    from sfumato.reporting.report.build import ReportSettings

    return {name: field for name, field in ReportSettings.model_fields.items() if name != "command"}


@takes_fields(_fields)
def command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="Folders of studies, certification tables (.tsv, from Sfumato or other tools), published "
            "risks (.csv). NAME=PATH sets the name that figures use."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="The HTML file to write.")] = Path("report.html"),
    attack: options.Attacks = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Write the file again while the studies run; the page reloads itself."),
    ] = False,
    every: Annotated[int, typer.Option("--every", help="With --follow: seconds between two writings.")] = 30,
    **settings: Any,
) -> None:
    """Write one HTML file with interactive figures, images and provenance; it works offline.

    For a study that is still running, the report shows what is finished. With --follow the file is written
    again and again until the study is finished, and the open page reloads itself. No server is needed.

    Example: sfumato report mnist-study --out mnist.html

    Example: sfumato report mnist-study "Cohen et al.=cifar10/noise_0.25.tsv" mine.tsv

    Example: sfumato report mine.tsv theirs.tsv --data cifar10 --beta 0.25
    """
    from sfumato.errors import SettingError, require_count
    from sfumato.files import require_writable
    from sfumato.reporting.report.build import ReportMaker, ReportSettings

    chosen = ReportSettings(**settings, command=shlex.join(["sfumato", *sys.argv[1:]]))
    require_count("every", every)
    if out.suffix.lower() not in (".html", ".htm"):
        raise SettingError(f"out must end in .html, got {str(out)!r}")
    require_writable(out)
    once = lru_cache(note)  # a followed report reads the same tables again and again
    with progress_bar("report", 1) as bar:
        maker = ReportMaker(
            chosen, on_start=lambda steps: bar.restart("images", steps), on_step=bar.advance, on_warning=warn
        )
        bar.advance(0, "reading")
        while not _write(maker, sources, attack or (), out, every if follow else None, once) and follow:
            bar.restart(f"{out}: waiting for the next cells", 1)
            time.sleep(every)
    OUT.print(str(out), markup=False)
    if (size := out.stat().st_size) > _LARGEST:
        warn(f"{out} has {size / 1e6:.1f} MB; fewer images (--gallery) make it smaller")


def _write(
    maker: ReportMaker,
    sources: list[str],
    attacks: Sequence[Path],
    out: Path,
    every: int | None,
    on_note: Callable[[str], None],
) -> bool:
    """Write the report once; return whether everything that it shows is finished."""
    from sfumato.files import write_text
    from sfumato.reporting.sources import read_sources
    from sfumato.studies.design import read_design
    from sfumato.studies.provenance import study_progress
    from sfumato.studies.run import STUDY_FILE

    found = read_sources(sources, unfinished=every is not None, on_note=on_note)
    finished = True
    for study in found.studies:
        done, total = study_progress(read_design(study.folder / STUDY_FILE), study.results)
        finished = finished and done == total
    write_text(out, maker.html(found, attacks=attacks, reload_seconds=None if finished else every))
    return finished
