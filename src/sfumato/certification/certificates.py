"""The certificates of a set of examples, as ``SmoothedClassifier.certify`` returns them."""

from __future__ import annotations

import json
import math
import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

import numpy as np

from sfumato.certification.accuracy import NO_GUARANTEE, CurvePoint, certified_accuracy, require_asked
from sfumato.certification.certificate import Certificate, certificate_columns
from sfumato.certification.file import note_of_change, settings_beside, settings_path
from sfumato.certification.measure import Measure, common_measure
from sfumato.certification.table import read_rows, written_table
from sfumato.errors import DataError, OutputError, require_nonnegative
from sfumato.files import require_writable, write_text
from sfumato.frames import columns_of, data_frame
from sfumato.notebooks import html_list, html_table
from sfumato.plans import ABSTAIN, asked_radii


class CertifiedAccuracy(tuple[CurvePoint, ...]):
    """One ``CurvePoint`` per radius; printed as a line each, its share with the bounds."""

    __slots__ = ()

    @property
    def shares(self) -> tuple[float, ...]:
        """The certified accuracies themselves, without their bounds."""
        return tuple(point.share for point in self)

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per radius: the share, its bounds, and the counts.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        names = ("radius", "share", "low", "high", "certified", "examples")
        return data_frame(columns_of(self, names), index="radius")

    def __repr__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        rows = [
            [f"{p.radius:g}", f"{p.share:.4f}", f"{p.low:.4f}", f"{p.high:.4f}", f"{p.examples:,}"]
            for p in self
        ]
        sure = all(point.certificate_confidence for point in self)
        caption = "Certified accuracy" + ("" if sure else f"; {NO_GUARANTEE}")
        return html_table(caption, ["radius", "share", "low", "high", "examples"], rows)


class Certificates(Sequence[Certificate]):
    """Certificates in the order of their examples; those of several calls are added with ``+``.

    ``measure`` says in what the radii are measured; it is None where nothing says it. Certificates whose
    radii cannot be compared are not added.

    >>> found = Certificates([Certificate(0, 3, 3, 0.4, 1.0), Certificate(1, 5, -1, 0.0, 1.0)])
    >>> found
    Certificates(2 examples, 1 abstained, median radius 0.2)
    >>> found.accuracy([0.25])
    radius 0.25: 0.5000 (0.0116 to 0.9874)
    """

    def __init__(self, certificates: Iterable[Certificate] = (), *, measure: Measure | None = None) -> None:
        self._found = tuple(certificates)
        self.measure = measure

    @overload
    def __getitem__(self, index: int) -> Certificate: ...
    @overload
    def __getitem__(self, index: slice) -> Certificates: ...
    def __getitem__(self, index: int | slice) -> Certificate | Certificates:
        found = self._found[index]
        return found if isinstance(found, Certificate) else Certificates(found, measure=self.measure)

    def __len__(self) -> int:
        return len(self._found)

    def __eq__(self, other: object) -> bool:
        return (
            tuple(other) == self._found if isinstance(other, Certificates | list | tuple) else NotImplemented
        )

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Iterable[Certificate]) -> Certificates:
        """Return these certificates and then the others.

        Raises:
            DataError: their radii are in different norms, scales or units.
        """
        others = other.measure if isinstance(other, Certificates) else None
        sides = (("the left side of +", self.measure), ("the right side", others))
        said = [(name, measure) for name, measure in sides if measure is not None]
        return Certificates((*self._found, *other), measure=common_measure(said) if said else None)

    def __repr__(self) -> str:
        parts = [f"{len(self)} examples", f"{sum(found.predict == ABSTAIN for found in self)} abstained"]
        if self._found:
            parts.append(f"median radius {statistics.median(found.radius for found in self):.4g}")
        plans = dict.fromkeys(found.plan for found in self if found.plan)
        return f"Certificates({', '.join([*parts, *plans])})"

    def _repr_html_(self) -> str:
        columns = ["idx", "label", "predict", "correct", "radius", "votes", "stopped by"]
        rows = [
            [
                *(one.idx, one.label, one.predict, "yes" if one.correct else "no", f"{one.radius:.4f}"),
                *("" if one.votes is None else f"{one.votes:,}", one.stopped_by),
            ]
            for one in self._found
        ]
        return html_list(repr(self), columns, rows)

    def accuracy(
        self, radii: float | Iterable[float] | None = None, *, confidence: float = 0.95
    ) -> CertifiedAccuracy:
        """Return the share of examples that are correct and certified at each radius, with bounds.

        Without ``radii``, at those that the plan was asked about, or at 0 where it finds radii itself.

        The bounds hold for the population, at ``confidence`` for each radius by itself, and cover the
        certificates' own error (``certified_accuracy``). By a plan that guarantees nothing, as ``vote``, the
        lower bound is 0.

        Raises:
            DataError: no certificates, an example without a label, or a radius that the plan was not asked
                about (``at_radii`` asks the same votes for others).
            SettingError: a radius below 0.
        """
        if (unknown := sum(found.label < 0 for found in self)) > 0:
            raise DataError(
                f"{unknown} of {len(self)} examples have no label; give certify labels=, or data with labels"
            )
        if radii is None:
            radii = sorted({r for plan in {found.plan for found in self} for r in asked_radii(plan)}) or 0.0
        wanted: list[Any] = [radii] if np.ndim(radii) == 0 else list(radii)  # type: ignore[arg-type]
        grid = [require_nonnegative("radius", radius) for radius in wanted]
        for radius in grid:
            require_asked(radius, self)
        return CertifiedAccuracy(certified_accuracy(self, grid, confidence=confidence))

    def to_tsv(self, path: Path | str) -> None:
        """Write the field's table, which ``from_tsv`` reads back: radii rounded down (``written_radius``).

        Raises:
            DataError: several certificates of one number, of which a reader would take the first alone.
            OutputError: the path cannot be written, or the settings of a run stand beside it.
        """
        repeated = [idx for idx, times in Counter(found.idx for found in self).items() if times > 1]
        if repeated:
            raise DataError(
                f"{path}: a table has one row per image, but {len(repeated)} of the numbers are those of "
                f"several certificates (the first is {repeated[0]}); certify with other numbers (examples=) "
                "or write several tables"
            )
        require_writable(Path(path))
        if (record := settings_path(Path(path))).exists():
            raise OutputError(
                f"{path}: {record.name} beside it holds the settings of another run, which a reader would "
                "take for those of this table; choose another output"
            )
        write_text(Path(path), written_table(self))

    @staticmethod
    def from_tsv(path: Path | str) -> Certificates:
        """Return the certificates of a table written by Sfumato or by another tool of the field.

        Raises:
            DataError: as ``read_certificates``.
        """
        return read_certificates(path)

    def to_json(self) -> str:
        """Return a JSON list with one object per certificate; null for a missing number."""
        rows = [
            {n: None if isinstance(v, float) and math.isnan(v) else v for n, v in row.items()}
            for row in self._rows()
        ]
        return json.dumps(rows, indent=2)

    def to_frame(self) -> Any:
        """Return a pandas data frame with one row per certificate.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame(certificate_columns(self), index="idx")

    def _rows(self) -> list[dict[str, Any]]:
        return [asdict(found) | {"correct": found.correct} for found in self]


def read_certificates(path: Path | str, on_note: Callable[[str], None] = warnings.warn) -> Certificates:
    """Return the certificates of a table written by Sfumato or by another tool of the field.

    Tables that were changed by other programs are read too: with a byte-order mark, blanks around cells,
    empty lines, line endings of other systems, or several runs with their headers. If several rows are about
    one image, the first one counts; where the cell ``correct`` contradicts label and prediction, these two
    count. ``on_note`` is called with a message of each.

    In what the radii are measured is read from the settings of the run, where they stand beside the table;
    a table that is not the one that this run has written is noted.

    Published tables state no confidence. Theirs is taken as 0.999, or as 0.99 if the largest radius needs
    that: under the noise of a path as Cohen et al. 2019 name theirs, ``noise_0.25_test_sigma_0.50``. Other
    paths do not tell the noise; then ``accuracy`` takes 0.999.

    Raises:
        DataError: a missing file, another header, a damaged line, or damaged settings beside it.
    """
    rows, settings = read_rows(path, on_note), settings_beside(Path(path))
    if settings is None:
        return Certificates(rows)
    note_of_change(Path(path), settings, on_note)
    return Certificates(rows, measure=Measure.of(settings))
