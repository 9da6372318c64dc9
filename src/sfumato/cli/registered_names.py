"""Help that names what is registered: written with a placeholder, filled in when it is asked for.

So a new data set, noise or plan, also a plug-in's, is in the help of every command without being written
there, and no command but ``--help`` imports the registries for it.
"""

from __future__ import annotations

import inspect
from typing import Any

from typer.core import TyperCommand

DATA_SETS = "{data sets}"
NOISES = "{noises}"
PLANS = "{plans}"


class CommandNamingRegistered(TyperCommand):
    """A command in whose help the placeholders are replaced by names."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help as Typer does, with the names that are registered now."""
        for param in self.get_params(ctx):
            if words := getattr(param, "help", None):
                for placeholder, names in _registered().items():
                    words = words.replace(placeholder, names)
                param.help = words  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def _registered() -> dict[str, str]:
    from sfumato.datasets import dataset_names
    from sfumato.noise import NOISES as noise_classes
    from sfumato.plans import PLANS as plan_classes

    noises = (f"{name} ({kind.norm} radii)" for name, kind in noise_classes.items())
    rules = (f"{plan.usage}, {_summary(plan)}" for plan in plan_classes.values())
    return {DATA_SETS: ", ".join(dataset_names()), NOISES: ", ".join(noises), PLANS: "; ".join(rules)}


def _summary(kind: type) -> str:
    """Return the first line of a class's docstring, to stand within a sentence."""
    words = (inspect.getdoc(kind) or "").partition("\n")[0].rstrip(".").replace("`", "")
    return words[:1].lower() + words[1:]
