"""From sources to the report: which sections there are and in which order."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from sfumato.answers.best import StudyAnswer, answer_study
from sfumato.answers.gallery import Gallery, sample_gallery, usual_pair
from sfumato.answers.published import tables_as_study
from sfumato.answers.settings import AnswerSettings
from sfumato.datasets import load_dataset
from sfumato.errors import DataError, SettingError, SfumatoError
from sfumato.reporting.attacked_sets import read_attacks, told_of
from sfumato.reporting.certified_sets import differences, usual_radii
from sfumato.reporting.report.certificate_panels import certified_lead, certified_panels
from sfumato.reporting.report.gallery_panels import gallery_panel
from sfumato.reporting.report.page import Panel, Section, listing, render
from sfumato.reporting.report.pair_panels import pair_panels
from sfumato.reporting.report.provenance_panel import study_panel, table_panel
from sfumato.reporting.report.study_panels import published_panels, study_lead, study_panels
from sfumato.reporting.source_checksums import source_checksums
from sfumato.reporting.sources import CertifiedSet, Sources, StudySource, study_sets
from sfumato.reporting.table_gallery import named_data, sample_tables
from sfumato.settings import Count, Seed
from sfumato.studies.design import Design
from sfumato.studies.provenance import study_progress, study_provenance
from sfumato.studies.results import StudyResults
from sfumato.version import __version__


def _two(given: object) -> object:
    if isinstance(given, tuple) and len(given) != 2:
        raise SettingError(f"compare must be two training noises, as 0.3,0.5, got {given}")
    return given


Nonnegatives = tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...]


class ReportSettings(AnswerSettings):
    """What the user chose.

    >>> ReportSettings(gallery=12, compare=(0.3, 0.5)).compare
    (0.3, 0.5)

    Raises:
        SettingError: a value outside its range.
    """

    title: str = Field(default="", description="title of the page (default: the names of what it shows)")
    gallery: Annotated[int, Field(ge=0)] = Field(
        default=24, description="number of test images shown; 0 for none"
    )
    radii: Nonnegatives | None = Field(
        default=None,
        description="of certified accuracy and of the best pairs; left out: those certified, or round ones",
    )
    beta: float | None = Field(
        default=None,
        description="smoothing noise of the images shown (default: a study's largest, or that of the tables)",
    )
    compare: Annotated[tuple[float, float], BeforeValidator(_two)] | None = Field(
        default=None,
        description="the two alphas to compare on images (default: alpha* and the alpha nearest to beta)",
    )
    seed: Seed = Field(
        default=0, description="determines halves of the images, bands of the curves and the images shown"
    )
    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    model_factory: str | None = Field(
        default=None,
        description="package.module:factory that builds a study's networks, if they are not built in",
    )
    data: str | None = Field(
        default=None,
        description="data set of the tables, to show images (default: the one they name, if present)",
    )
    data_dir: Path | None = Field(
        default=None, description="where to look for the data first (then SFUMATO_DATA, then the user cache)"
    )
    size: Count | None = Field(
        default=None, description="side that the images of a folder were resized and cropped to"
    )
    command: str = ""


@dataclass
class ReportMaker:
    """Makes the report of some sources, again and again as they grow.

    Attributes:
        settings: what the user chose.
        on_start: called with the number of images to vote on. on_step: called after each.
        on_warning: called with what was left out, and why.
    """

    settings: ReportSettings
    on_start: Callable[[int], None] = lambda steps: None
    on_step: Callable[[], None] = lambda: None
    on_warning: Callable[[str], None] = lambda message: None
    _galleries: dict[tuple[object, ...], Gallery] = field(default_factory=dict)
    _no_table_images: str = ""
    _told: set[str] = field(default_factory=set)

    def html(
        self, sources: Sources, *, attacks: Sequence[Path] = (), reload_seconds: int | None = None
    ) -> str:
        """Return the whole document; with ``reload_seconds`` the page reloads itself after that time.

        ``attacks`` are files of ``sfumato attack`` on classifiers that are certified in the sources.

        Raises:
            DataError, SettingError: what ``answer_study`` and ``read_attacks`` refuse.
        """
        confidence = self.settings.confidence
        sections: list[Section] = []
        leads: list[str] = []
        sets = sources.certified_sets()
        attacked = read_attacks(attacks, sets)
        if sets:
            panels = certified_panels(sets, confidence, self.settings.radii or (), attacked)
            sections.append(Section("certificates", "Certificates", panels))
            leads.append(certified_lead(sets, self.settings.radii or ()))
            self._tell(differences({one.name: one.certificates for one in sets}))
            self._tell(line for line, wrong in told_of(sets, attacked) if wrong)
        if pairs := self._pairs(sources):
            sections.append(Section("pairs", "Noises for a radius", pairs))
        provenance: list[Panel] = []
        for index, study in enumerate(sources.studies):
            found, key = study_provenance(study.folder), f"study-{index}"
            done, total = study_progress(found.design, study.results)
            provenance.append(study_panel(study.name, found, f"{key}-provenance"))
            if study.results is None:
                leads.append(f"{study.name}: none of its {total} cells is finished yet.")
                continue
            answer = answer_study(
                study.results, confidence=confidence, draws=self.settings.draws, seed=self.settings.seed
            )
            progress = f" {done} of {total} cells are finished so far." if done < total else ""
            leads.append(f"{study.name}: {study_lead(answer)}{progress}")
            about = f": {study.name}" if len(sources.studies) > 1 else ""
            sections.append(Section(key, f"Risk{about}", study_panels(study.results, answer, key)))
            if self.settings.gallery:
                panel = self._gallery(study, study.results, found.design, answer, f"{key}-gallery")
                sections.append(Section(f"{key}-images", f"Images{about}", (panel,)))
        for index, published in enumerate(sources.published):
            key = f"published-{index}"
            panels = published_panels(published, key, confidence)
            sections.append(Section(key, f"Published: {published.name}", panels))
            leads.append(f"{published.name}: published risks of {published.images:,} test images.")
        if images := self._table_gallery(sources.tables):
            sections.append(Section("certified-images", "Images of the tables", (images,)))
        provenance += [table_panel(one, f"table-{i}-provenance") for i, one in enumerate(sources.tables)]
        sections.append(Section("provenance", "Provenance", (*provenance, self._own_panel())))
        title = self.settings.title or _usual_title(sources)
        made_from = source_checksums(sources)
        return render(title, " ".join(leads), sections, reload_seconds=reload_seconds, sources=made_from)

    def _tell(self, messages: Iterable[str]) -> None:
        """Warn of each once: a report that is followed is made again and again."""
        for message in messages:
            if message not in self._told:
                self._told.add(message)
                self.on_warning(message)

    def _pairs(self, sources: Sources) -> tuple[Panel, ...]:
        """Return the panels of the pairs of each study, and of tables that say their two noises."""
        found = [
            (f"study-{index}", study.results, study_sets(study))
            for index, study in enumerate(sources.studies)
            if study.results is not None and study.results.certificates
        ]
        if len(sources.tables) > 1:
            named = [(one.name, one.origin, one.settings or {}, one.certificates) for one in sources.tables]
            with contextlib.suppress(DataError):
                found.append(("tables", tables_as_study(named), list(sources.tables)))
        panels: list[Panel] = []
        for key, results, sets in found:
            radii = self.settings.radii or usual_radii(sets)
            panels += pair_panels(
                results, radii, key, confidence=self.settings.confidence, seed=self.settings.seed
            )
        return tuple(panels)

    def _gallery(
        self, study: StudySource, results: StudyResults, design: Design, answer: StudyAnswer, key: str
    ) -> Panel:
        try:
            gallery = self._sampled(study.folder, results, design, answer)
        except SfumatoError as error:
            self.on_warning(f"{study.name}: no test images are shown: {error}")
            return Panel(key, "Test images", f"No test images are shown: {error}")
        return gallery_panel(gallery, key)

    def _sampled(self, folder: Path, results: StudyResults, design: Design, answer: StudyAnswer) -> Gallery:
        wanted = self.settings
        beta, best, other = usual_pair(
            [found for found in answer.betas if wanted.beta is None or found.beta == wanted.beta]
        )
        pair = wanted.compare or (best, other)
        # while a study is followed, the same images are not voted on again and again
        name = (folder, beta, pair, len(results.certificates))
        if name not in self._galleries:
            self.on_start(2 * wanted.gallery)
            self._galleries[name] = sample_gallery(
                folder,
                design,
                results,
                beta=beta,
                alphas=pair,
                count=wanted.gallery,
                seed=wanted.seed,
                device=wanted.device,
                factory=wanted.model_factory,
                on_image=self.on_step,
            )
        return self._galleries[name]

    def _table_gallery(self, tables: Sequence[CertifiedSet]) -> Panel | None:
        shown, wanted = tables[:2], self.settings
        name = wanted.data or named_data(shown)
        if not (name and shown and wanted.gallery):
            return None
        key = "table-gallery"
        if self._no_table_images:
            return Panel(key, "Test images", self._no_table_images) if wanted.data else None
        try:
            sizes = tuple(len(table.certificates) for table in shown)
            if (key, sizes) not in self._galleries:
                # what nobody asked for by name is not worth a download
                data = load_dataset(
                    name,
                    wanted.data_dir,
                    size=wanted.size,
                    fetch=wanted.data is not None,
                    run_code=wanted.data is not None,
                )
                self._galleries[key, sizes] = sample_tables(
                    shown, data, count=wanted.gallery, beta=wanted.beta, seed=wanted.seed
                )
            return gallery_panel(self._galleries[key, sizes], key)
        except SfumatoError as error:
            self.on_warning(f"no test images are shown for the tables: {error}")
            # said, and tried, once: a report that is followed is made again and again
            self._no_table_images = f"No test images are shown: {error}"
            return self._table_gallery(tables)

    def _own_panel(self) -> Panel:
        pairs = [
            ("command", self.settings.command),
            ("made", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
            ("with", f"Sfumato {__version__}, Plotly {version('plotly')}"),
            ("Python", sys.version.split()[0]),
            ("bands", f"{self.settings.draws} draws, seed {self.settings.seed}"),
        ]
        return Panel(
            "report-provenance",
            "This report",
            "How this file was made.",
            body=listing([pair for pair in pairs if pair[1]]),
        )


def _usual_title(sources: Sources) -> str:
    names = [
        *(study.name for study in sources.studies),
        *(found.name for found in sources.published),
        *(found.name for found in sources.tables),
    ]
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"Sfumato: {shown}"
