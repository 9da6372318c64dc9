"""A study as one object: data and noise levels in, a finished folder and its answers out.

It is only a convenient form of ``studies``: it uses the same study file and folder as the command line, so
you can continue with ``sfumato study best FOLDER``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sfumato.answers.best import StudyAnswer, answer_study
from sfumato.datasets import Dataset, load_dataset
from sfumato.datasets.given import Given, read_given, tell_notes, without_loader
from sfumato.datasets.items import has_items
from sfumato.datasets.on_demand import OnDemand
from sfumato.errors import DataError, OutputError, SettingError, require_count, require_nonnegative
from sfumato.execution.base import Executor
from sfumato.files import require_writable, write_bytes
from sfumato.progress import shown_progress
from sfumato.studies.design import Design, make_design
from sfumato.studies.results import StudyResults
from sfumato.studies.run import Watch, run_study

_ARRAYS = ("x", "y", "x_test", "y_test")
_SAVED = "data.npz"


class Study:
    """Train at each alpha, smooth at each beta, and compare on the same test images.

    Args:
        data: the name or path of a data set, a ``Dataset``, arrays (x, y) or (x, y, x_test, y_test), or
            whatever else ``dataset_of`` takes. What has no name and fits into a gigabyte is kept in the
            study's folder; what is larger has to be given again to go on.
        alphas: training noises, standard deviations in the input's unit; increasing, 0 is no noise.
        betas: smoothing noises, likewise.
        seeds: of the trainings, increasing.
        images: number of test images to use, starting with the first; all if not given.
        votes: noisy copies whose majority is the prediction.
        settings: of the trainings, as of ``TrainingSettings``: ``architecture="cnn"``, ``epochs=20``.

    Raises:
        SettingError: a name or value that is not accepted.
    """

    def __init__(
        self,
        data: Dataset | Given,
        alphas: Iterable[float],
        betas: Iterable[float],
        *,
        seeds: Iterable[int] = (0,),
        images: int | None = None,
        votes: int = 100,
        **settings: Any,
    ) -> None:
        self._data = data
        name = str(data) if isinstance(data, str | Path) else _SAVED
        self.design: Design = make_design(
            {
                "data": {"name": name, "images": images},
                "grid": {
                    "alpha": [require_nonnegative("alphas", alpha) for alpha in _listed("alphas", alphas)],
                    "beta": [require_nonnegative("betas", beta) for beta in _listed("betas", betas)],
                    "seeds": [require_count("seeds", seed, 0) for seed in _listed("seeds", seeds)],
                },
                "votes": {"n": votes},
                "model": settings,
            }
        )
        self._results: StudyResults | None = None

    def __repr__(self) -> str:
        grid = self.design.grid
        state = "finished" if self._results else "not run yet"
        return f"Study({self.design.data.name!r}, alphas={grid.alpha}, betas={grid.beta}; {state})"

    def run(
        self,
        folder: str | Path,
        *,
        device: str = "auto",
        executor: Executor | None = None,
        progress: bool | None = None,
    ) -> Study:
        """Compute what is missing in ``folder`` and return the finished study; continues after a kill.

        ``progress`` draws a progress bar on standard error; in notebooks only if not given.

        Raises:
            as ``run_study``; OutputError: the folder holds the study of other data.
        """
        folder, data = Path(folder), None
        if not isinstance(self._data, str | Path):
            given = self._data if _are_arrays(self._data) else read_given(self._data)
            if isinstance(given, Dataset) and isinstance(given.test.x, OnDemand) and not _is_known(given):
                name, data = given.name, given
                tell_notes(given)  # those of a file are told where it is read
            else:
                name = str(_kept(given, folder))
            tables = self.design.model_dump(mode="python", exclude_none=True)
            tables["data"]["name"] = name
            self.design = make_design(tables)
        with shown_progress(progress, "study", None) as bar:
            watch = Watch(on_start=lambda work: bar.restart("study", work), on_work=bar.advance)
            self._results = run_study(
                self.design, folder, device=device, watch=watch, executor=executor, data=data
            )
        return self

    @property
    def results(self) -> StudyResults:
        """The results per image.

        Raises:
            SettingError: the study has not been run.
        """
        if self._results is None:
            raise SettingError("the study has no results yet; call run(folder) first")
        return self._results

    def best(self, *, confidence: float = 0.95) -> StudyAnswer:
        """Return for each beta the best alpha, its confidence set and its gain.

        Raises:
            SettingError: the study has not been run, or a confidence outside (0, 1).
        """
        return answer_study(self.results, confidence=confidence)


def _are_arrays(data: Given) -> bool:
    """Return whether the data are arrays, which are kept as they are."""
    return isinstance(data, tuple | list) and not any(map(has_items, map(without_loader, data)))


def _kept(data: Dataset | Sequence[Any], folder: Path) -> Path | str:
    """Return the name under which the data are found again: their own, or a file in the study's folder.

    Raises:
        DataError: arrays that are no data set.
        OutputError: the file cannot be written, or holds other data.
    """
    if isinstance(data, Dataset):
        if _is_known(data):
            return data.name
        arrays = (data.train.x, data.train.y, data.test.x, data.test.y)
        named: dict[str, Any] = dict(zip(_ARRAYS, arrays, strict=True))
        named["class_names"] = np.asarray(data.class_names)
    else:
        if len(data) not in (2, 4):
            raise DataError(f"data must be (x, y) or (x, y, x_test, y_test), got {len(data)} arrays")
        named = {name: np.asarray(array) for name, array in zip(_ARRAYS, data, strict=False)}
    place = (folder / _SAVED).resolve()
    require_writable(place)
    written = io.BytesIO()
    np.savez(written, **named)
    if place.exists():
        with np.load(place) as before:
            same = set(before) == set(named) and all(
                before[name].dtype == named[name].dtype and np.array_equal(before[name], named[name])
                for name in named
            )
        if not same:
            raise OutputError(f"{folder}: holds the study of other data; choose another folder")
    else:
        write_bytes(place, written.getvalue())
    return place


def _is_known(data: Dataset) -> bool:
    """Return whether the data are found under their name, unchanged."""
    try:
        return load_dataset(data.name, fetch=False).checksum() == data.checksum()
    except DataError:
        return False


def _listed(name: str, given: Any) -> list[Any]:
    """Return a list of numbers, which one number or a text is not."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0:
        raise SettingError(f"{name} must be a list of numbers, got {given!r:.40}")
    return list(given)
