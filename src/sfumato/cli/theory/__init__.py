"""``sfumato theory``: the exact theory of noise-augmented training, one subcommand per engine."""

from __future__ import annotations

import typer

from sfumato.cli.theory import ball, field, figure4, intervals, mixture, phase

app = typer.Typer(
    help="Compute exactly when training with noise helps a smoothed classifier, on regions and mixtures.",
    no_args_is_help=True,
)
for module in (ball, intervals, mixture, field, figure4, phase):
    app.command(name=module.__name__.rpartition(".")[2])(module.command)
