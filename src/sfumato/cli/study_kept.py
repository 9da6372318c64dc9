"""``sfumato study show --all`` and ``drop``: what a study's folder keeps of other settings."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfumato.cli.terminal import OUT, print_json, print_table

if TYPE_CHECKING:
    from sfumato.studies.kept import Kept


def show_all(folder: Path, *, as_json: bool, with_others: bool) -> None:
    """Print all settings that the study in ``folder`` keeps rows of.

    Raises:
        SettingError: ``with_others``: options were given that change nothing here.
    """
    from sfumato.errors import SettingError
    from sfumato.studies.kept import kept_settings, others

    if with_others:
        raise SettingError("--all lists what is kept, without risks; leave out --soft and --radii")
    kept = kept_settings(folder)
    if as_json:
        print_json({"kept": kept})
        return
    _print_kept(f"What {folder} keeps", kept)
    if others(kept):
        OUT.print(
            "the study shows those in use; rows of a race or a search are in other settings too\n"
            f"to drop some: sfumato study drop {shlex.quote(str(folder))} SETTINGS",
            markup=False,
        )


def drop(
    folder: Annotated[Path, typer.Argument(help="The folder of a study, as written by sfumato study run.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(help="Names that study show --all lists, or their first digits."),
    ] = None,
    every_other: Annotated[
        bool, typer.Option("--others", help="All settings but those in use, which the study shows.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove rows of other settings from a study for good; what the study shows and all models stay.

    What would be removed is listed first. On a terminal you are asked; elsewhere --yes is needed.

    Example: sfumato study drop mnist-study 3f2a91bc

    Example: sfumato study drop mnist-study --others --yes
    """
    from sfumato.errors import SettingError, SfumatoError
    from sfumato.studies.kept import chosen, drop_settings, kept_settings, others

    if bool(settings) == every_other:
        raise SettingError("give either the names of settings (study show --all lists them) or --others")
    kept = kept_settings(folder)
    dropped = chosen(kept, others(kept) if every_other else settings or ())
    if not dropped:
        OUT.print(f"{folder}: keeps no rows of other settings", markup=False)
        return
    _print_kept("To be dropped", dropped)
    if not yes and not sys.stdin.isatty():
        raise SettingError("nothing was dropped; give --yes to drop these rows without a question")
    if not yes and not typer.confirm("Drop these rows for good?"):
        raise SfumatoError("nothing was dropped")
    gone = drop_settings(folder, [one.name for one in dropped])
    OUT.print(f"{folder}: {sum(one.images for one in gone):,} rows dropped", markup=False)


def _print_kept(title: str, kept: Kept) -> None:
    print_table(
        title,
        ["settings", "kind", "in use", "alpha", "beta", "seeds", "cells", "images", "counted by"],
        [
            [
                one.short,
                one.kind,
                "yes" if one.present else "no",
                *(_numbers(values) for values in (one.alphas, one.betas, one.seeds)),
                f"{one.cells:,}",
                f"{one.images:,}",
                ", ".join(one.plans),
            ]
            for one in kept
        ],
        left=["kind", "in use", "alpha", "beta", "seeds", "counted by"],
    )


def _numbers(values: tuple[float, ...]) -> str:
    shown = [f"{value:g}" for value in values]
    return ", ".join(shown) if len(shown) < 7 else f"{', '.join(shown[:3])}, ... {shown[-1]} ({len(shown)})"
