"""A few test images as the certification tables of one or two models have them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sfumato.answers.gallery import Gallery, GalleryImage, View, require_images, sample_places, under_noise
from sfumato.certification.certificate import Certificate
from sfumato.datasets import Dataset
from sfumato.errors import DataError, SettingError
from sfumato.noise import Gaussian, Noise, noise_of
from sfumato.reporting.certified_sets import measure_of
from sfumato.reporting.sources import CertifiedSet


def named_data(tables: Sequence[CertifiedSet]) -> str | None:
    """Return the data set that the settings of the tables name; None if they name none, or several."""
    names = {str(table.settings["data"]) for table in tables if table.settings and "data" in table.settings}
    return names.pop() if len(names) == 1 else None


def sample_tables(
    tables: Sequence[CertifiedSet], data: Dataset, *, count: int, beta: float | None = None, seed: int = 0
) -> Gallery:
    """Return ``count`` of the test images that all tables certify.

    Of two tables one half is drawn at random and one half has the largest differences of the signed
    radii: negative where another class than the label is certified, 0 for an abstention; where neither
    table has radii, those that they give different classes. Of one table all are drawn. The noise shown is
    Gaussian of ``beta``, or if not given that of the tables' settings, where they agree on one.

    Raises:
        DataError: the data are no images, or other ones than were certified; the tables share no image, or
            have radii in different norms, scales or units.
    """
    require_images(data)
    norm = measure_of(tables).norm
    rows = [{row.idx: row for row in table.certificates} for table in tables]
    for table in tables:
        _require_same_data(table, data)
    examples = sorted(set(rows[0]).intersection(*rows[1:]))
    if not examples:
        raise DataError(f"{' and '.join(table.name for table in tables)}: they have no image in common")
    views = [tuple(_view(of[example]) for of in rows) for example in examples]
    labels = [int(data.test.y[example]) for example in examples]
    signed = np.array(
        [[one.signed_radius(label) for one in pair] for pair, label in zip(views, labels, strict=True)]
    )
    if len(tables) > 1:
        difference = np.abs(signed[:, 0] - signed[:, 1])
        if not signed.any():
            difference = np.array([float(one.predicted != other.predicted) for one, other in views])
        places, drawn = sample_places(difference, count, seed)
    else:
        difference = np.zeros(len(examples))
        # not keyed noise: which images are shown
        places = sorted(np.random.default_rng(seed).permutation(len(examples))[:count].tolist())
        drawn = set(places)
    noise = _common_noise(tables) if beta is None else Gaussian(beta)
    images = []
    for place in places:
        example, clean = examples[place], data.test.x[examples[place]]
        noisy = under_noise(clean, noise, seed, example) if noise else None
        images.append(
            GalleryImage(
                example,
                labels[place],
                clean,
                noisy,
                views[place],
                float(difference[place]),
                place in drawn,
            )
        )
    names = tuple(table.name for table in tables)
    differ = (
        ""
        if len(tables) == 1
        else " They disagree by the difference of their radii, that of a wrong class taken negative."
        if signed.any()
        else " They disagree by 1 where they give different classes."
    )
    return Gallery(
        noise.standard_deviation if noise else None,
        names,
        f"with what {' and '.join(names)} {'say' if len(names) > 1 else 'says'} of them",
        f"Classes{f' and {norm} radii' if signed.any() else ''} are those of the tables.{differ}",
        data.class_names,
        tuple(images),
    )


def _common_noise(tables: Sequence[CertifiedSet]) -> Noise | None:
    try:
        found = {noise_of(table.settings) for table in tables if table.settings}
    except SettingError:
        return None
    return found.pop() if len(found) == 1 else None


def _require_same_data(table: CertifiedSet, data: Dataset) -> None:
    for row in table.certificates:
        if row.idx >= len(data.test):
            raise DataError(
                f"{table.name}: certifies image {row.idx}, {data.name} has {len(data.test)} test images"
            )
        if row.label >= 0 and row.label != data.test.y[row.idx]:
            raise DataError(
                f"{table.name}: gives image {row.idx} the label {row.label}, {data.name} gives it "
                f"{data.test.y[row.idx]}; name the data set that was certified by --data"
            )
    wanted = (table.settings or {}).get("data_sha256")
    if wanted is not None and wanted != data.checksum():
        raise DataError(f"{table.name}: was computed on data that differ from the present {data.name}")


def _view(row: Certificate) -> View:
    return View(row.predict, 0, 0, None, row, 0.0)
