"""The study file: what is trained, smoothed, voted on and certified, strictly validated.

A study is a TOML file of five tables. Nothing is guessed: an unknown key, a list out of order or a
value out of range is an error that names the key, the value and what is accepted.
"""

from __future__ import annotations

import errno
import functools
import itertools
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, create_model

from sfumato.errors import SettingError
from sfumato.files import write_text
from sfumato.plans.base import Plan
from sfumato.plans.curve import Curve
from sfumato.plans.early_vote import MOST_VOTES, EarlyVote
from sfumato.plans.registry import parse_plan
from sfumato.plans.vote import Vote
from sfumato.settings import CONFIDENCE, Count, Seed, Settings, as_tuple
from sfumato.training.methods.base import Method
from sfumato.training.methods.gaussian import GaussianAugmentation
from sfumato.training.methods.registry import method_class
from sfumato.training.settings import TrainingSettings


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values:
        raise ValueError("must hold at least one value")
    if not all(a < b for a, b in itertools.pairwise(values)):
        raise ValueError("must be strictly increasing, each value once")
    return values


_AS_LIST = BeforeValidator(as_tuple), AfterValidator(_increasing)
Noises = Annotated[tuple[Annotated[float, Field(ge=0)], ...], *_AS_LIST]
Positives = Annotated[tuple[Annotated[float, Field(gt=0)], ...], *_AS_LIST]
Seeds = Annotated[tuple[Seed, ...], *_AS_LIST]
Precision = Literal["float32", "bf16"]


class DataTable(Settings):
    """The data of a study."""

    name: str = Field(
        default="digits", description="digits, mnist, ..., a .npz, an image folder, or package.module:factory"
    )
    data_dir: str | None = Field(default=None, description="folder in which to look for the data first")
    size: Count | None = Field(
        default=None,
        description="for a folder of images: resize the shorter side to it and crop the middle, in front of "
        "the noise",
    )
    images: Count | None = Field(
        default=None, description="number of test images to use, starting with the first (default: all)"
    )


class ModelTable(Settings):
    """How each base classifier is trained: these fields, those of ``TrainingSettings`` and of the method."""

    method: str = Field(default=GaussianAugmentation.name, description="training method")
    warm_start: Literal["none", "nearest"] = Field(
        default="none", description="nearest: each alpha starts from the nearest one trained before it"
    )
    warm_epochs: Count = Field(default=2, description="epochs of each model that starts from another one")

    @property
    def shared(self) -> TrainingSettings:
        """What all trainings of the study have in common, as the one without noise has it."""
        return self.training(alpha=0.0)

    def training(
        self, *, alpha: float, seed: int = 0, warm: bool = False, warm_start: Path | None = None
    ) -> TrainingSettings:
        """Return the settings that one base classifier is trained with.

        With ``warm`` it has the epochs of a warm start, from the checkpoint ``warm_start``.
        """
        values = {name: getattr(self, name) for name in type(self).model_fields if name not in _OF_A_STUDY}
        values |= {"alpha": alpha, "seed": seed, "warm_start": warm_start}
        return TrainingSettings.flat(values | ({"epochs": self.warm_epochs} if warm else {}))


_OF_A_STUDY = ("warm_start", "warm_epochs")
_OF_ONE_TRAINING = ("alpha", "seed", "method", "warm_start", "freeze")


@functools.cache
def model_table(method: type[Method]) -> type[ModelTable]:
    """Return the ``[model]`` table of a study of this method."""
    fields: dict[str, Any] = {
        name: (field.annotation, field)
        for name, field in (TrainingSettings.model_fields | method.model_fields).items()
        if name not in _OF_ONE_TRAINING
    }
    fields["method"] = (
        str,
        Field(default=method.name, description=ModelTable.model_fields["method"].description),
    )
    return create_model("ModelTable", __base__=ModelTable, **fields)


_GaussianTable = model_table(GaussianAugmentation)


class GridTable(Settings):
    """The noise levels (standard deviations, in the input's unit) and training seeds."""

    alpha: Noises = Field(
        default=(0.0, 0.2, 0.4, 0.6), description="training noise, increasing; 0 is no noise"
    )
    beta: Noises = Field(
        default=(0.0, 0.2, 0.4, 0.6), description="smoothing noise; 0 is the plain classifier"
    )
    seeds: Seeds = Field(default=(0,), description="training seeds, increasing")


class VotesTable(Settings):
    """The votes of a smoothed prediction."""

    n: Count = Field(default=100, description="number of votes; their majority is the prediction")
    rule: Literal["curtailed", "sequential", "all"] = Field(
        default="curtailed",
        description="curtailed: stop once the majority of all n is sure; sequential: earlier; all: after n",
    )
    error: float = Field(
        default=1e-3,
        gt=0,
        lt=1,
        description="sequential: largest probability that a prediction is not that of all n votes",
    )
    seed: Seed = Field(default=0, description="seed of the noise of the votes; all models see the same noise")
    precision: Precision = Field(
        default="float32", description="float32, or bf16 to smooth the network rounded to bfloat16"
    )
    normalization: Literal["trained", "at-beta"] = Field(
        default="trained",
        description="statistics of batch norms: trained, or at-beta: re-estimated under each beta",
    )

    def plan(self) -> Plan:
        """Return the stopping plan; that of ``all`` asks for all votes at once."""
        if self.rule == "sequential":
            return EarlyVote(self.n, self.error)
        return Vote(self.n, chunk=self.n if self.rule == "all" else 1)

    def identity(self) -> dict[str, Any]:
        """Return what determines the votes and predictions, besides the images and the model."""
        error = {"error": self.error} if self.rule == "sequential" else {}
        return {"n": self.n, "rule": self.rule, "seed": self.seed, "precision": self.precision} | error


class CertificationTable(Settings):
    """The certificates that are computed in addition to the risks."""

    beta: Positives = Field(description="smoothing noises to certify at")
    radii: Positives | None = Field(None, description="L2 radii to certify; the plan is then curve(radii)")
    plan: str | None = Field(default=None, description="stopping plan instead of radii, as in certify --plan")
    confidence: float = Field(
        default=CONFIDENCE, gt=0, lt=1, description="probability with which each certificate holds"
    )
    images: Count = Field(default=500, description="number of test images to certify")
    label_known: bool = Field(
        default=False,
        description="test only the true label, with fewer votes: for certified accuracy, not predictions",
    )

    def betas_of(self, alpha: float) -> tuple[float, ...]:
        """Return the betas at which models of this alpha are certified."""
        return self.beta

    def stopping(self) -> Plan:
        """Return the stopping plan.

        Raises:
            SettingError: neither or both of radii and plan, or a plan that cannot be read.
        """
        if (self.radii is None) == (self.plan is None):
            raise SettingError("certification needs either radii or plan, and not both")
        return Curve(self.radii) if self.radii is not None else parse_plan(str(self.plan))


class Design(Settings):
    """A whole study.

    >>> Design().grid.alpha
    (0.0, 0.2, 0.4, 0.6)
    """

    data: DataTable = DataTable()
    if TYPE_CHECKING:
        model: ModelTable
    else:
        model: _GaussianTable = _GaussianTable()
    grid: GridTable = GridTable()
    votes: VotesTable = VotesTable()
    certification: CertificationTable | None = None


@functools.cache
def design_class(method: type[Method]) -> type[Design]:
    """Return the study whose ``[model]`` table has the fields of this method."""
    if method is GaussianAugmentation:
        return Design
    table = model_table(method)
    return create_model("Design", __base__=Design, model=(table, table()))


def read_design(path: Path | str, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Design:
    """Return the study of the file; ``changes`` (table, key: value) replace its settings.

    Raises:
        SettingError: no such file, no TOML, or a key or value that is not accepted.
    """
    try:
        if Path(path).is_char_device():
            raise OSError(errno.EINVAL, "a device may have no end")
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingError(f"{path}: cannot be read ({reason}); give an existing study file") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is no TOMLDecodeError
        raise SettingError(f"{path}: is not TOML ({error})") from error
    return make_design(tables, changes, where=f"{path}: ")


def make_design(
    tables: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]] | None = None, *, where: str = ""
) -> Design:
    """Return the study of these tables; ``where`` begins every error.

    >>> make_design({"grid": {"alpha": [0.4, 0.2]}})
    Traceback (most recent call last):
    sfumato.errors.SettingError: grid.alpha must be strictly increasing, each value once, got [0.4, 0.2]

    Raises:
        SettingError: a key or value that is not accepted.
    """
    merged = dict(tables)
    for table, values in (changes or {}).items():
        old = merged.get(table, {})
        merged[table] = {**old, **values} if isinstance(old, Mapping) else old
    model = merged.get("model", {})
    try:
        method = method_class(
            model.get("method", GaussianAugmentation.name) if isinstance(model, Mapping) else ""
        )
    except SettingError as error:
        raise SettingError(f"{where}model.{error}") from error
    design = design_class(method).read(merged, where=where)
    votes = design.votes
    if votes.rule == "sequential" and votes.n > MOST_VOTES:
        raise SettingError(
            f'{where}votes.n must be at most {MOST_VOTES} with the rule "sequential", got {votes.n}'
        )
    if design.certification is not None:
        try:
            design.certification.stopping()
        except SettingError as error:
            raise SettingError(f"{where}{error}") from error
    return design


def render(design: Design) -> str:
    """Return the study as a commented TOML file; ``read_design`` gives it back.

    >>> make_design(tomllib.loads(render(Design()))) == Design()
    True
    """
    lines = [
        "# A study: one model per (alpha, seed), its risk at every beta. Noise levels are standard",
        "# deviations in the input's unit. Settings in lines that begin with '#' have their default.",
    ]
    for name in ("data", "model", "grid", "votes"):
        lines += ["", f"[{name}]", *_lines(getattr(design, name))]
    if design.certification is not None:
        lines += ["", "[certification]", *_lines(design.certification)]
    else:
        example = CertificationTable.model_validate({"beta": (0.4,), "radii": (0.25, 0.5)})
        lines += ["", "# [certification]", *(f"# {line}" for line in _lines(example))]
    return "\n".join(lines) + "\n"


def _lines(table: BaseModel) -> list[str]:
    shown = []
    for name, field in type(table).model_fields.items():
        value = getattr(table, name)
        setting = f"# {name} =" if value is None else f"{name} = {_toml(value)}"
        shown.append(f"{setting}  # {field.description}")
    return shown


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else repr(value)


def write_design(design: Design, path: Path) -> None:
    """Write the study file, the whole of it or nothing.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, render(design))


def extend_path(known: Mapping[float, float | None], alphas: Iterable[float]) -> dict[float, float | None]:
    """Return for each alpha which one it starts from, in order of training; ``known`` is kept.

    Alphas that are not known are appended from the smallest up, each from the nearest one before it in
    the order (the smaller of two as near); the very first starts from random weights (None). In a new
    study each alpha so starts from its predecessor. One that is added later starts from its nearest
    neighbour, and what was trained before is not trained again: a study grown so has other weights than
    one begun with the whole list.

    >>> extend_path({}, [0.2, 0.4])
    {0.2: None, 0.4: 0.2}
    >>> extend_path({0.2: None, 0.4: 0.2}, [0.1, 0.2, 0.35, 0.4])
    {0.2: None, 0.4: 0.2, 0.1: 0.2, 0.35: 0.4}
    """
    path = dict(known)
    for alpha in sorted(set(alphas) - set(path)):
        path[alpha] = min(path, key=lambda other: (abs(other - alpha), other)) if path else None
    return path
