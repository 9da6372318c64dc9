"""The data set that a command is given, loaded the same way for all commands."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sfumato.cli.terminal import ERR, LEVEL

if TYPE_CHECKING:
    from sfumato.datasets import Dataset


@dataclass(frozen=True)
class Given:
    """Data and network as a command was given them, to be repeated in a command that is advised."""

    data: str
    data_dir: Path | None = None
    size: int | None = None
    network: str | None = None

    def words(self) -> list[str]:
        """Return the options that give another command the same.

        >>> Given("photos", size=32).words()
        ['--data', 'photos', '--size', '32']
        """
        options = {
            "--data": self.data,
            "--data-dir": self.data_dir,
            "--size": self.size,
            "--network": self.network,
        }
        return [word for name, value in options.items() if value is not None for word in (name, str(value))]


def load_data(
    name: str,
    data_dir: Path | None,
    size: int | None = None,
    *,
    labelled_for: str = "",
    training_for: str = "",
) -> Dataset:
    """Return the data set named by ``--data``.

    ``labelled_for`` and ``training_for`` name what needs labels, or training images, if anything does.

    Raises:
        DataError: as ``load_dataset``; labels or training images that are needed and not there.
    """
    from sfumato.datasets import load_dataset

    shown = ERR.is_terminal and not LEVEL.quiet
    with ERR.status(f"reading {name}") if shown else nullcontext():
        dataset = load_dataset(name, data_dir, size=size)
    if labelled_for:
        dataset.require_labels(labelled_for)
    if training_for:
        dataset.require_training(training_for)
    return dataset
