"""Help that names what is registered: written with a placeholder, filled in when it is asked for.

So a new data set or noise, a plug-in's too, is in the help of every command without being written there, and
no command but ``--help`` imports the registries for it.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

DATA_SETS = "{data sets}"
NOISES = "{noises}"


class CommandNamingRegistered(TyperCommand):
    """A command in whose help the placeholders are replaced by names."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, as Typer does, with the names of now."""
        from sfumato.datasets import dataset_names
        from sfumato.noise.registry import NOISES as registered

        noises = ", ".join(f"{name} ({noise.norm} radii)" for name, noise in registered.items())
        for param in self.get_params(ctx):
            if words := getattr(param, "help", None):
                names = words.replace(DATA_SETS, ", ".join(dataset_names())).replace(NOISES, noises)
                param.help = names  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)
