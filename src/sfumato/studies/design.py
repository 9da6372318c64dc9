"""The study file: what is trained, smoothed, voted on and certified, strictly validated.

A study is a TOML file of five tables. Nothing is guessed: an unknown key, a list out of order or a
value out of range is an error that names the key, the value and what is accepted.
"""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sfumato.errors import SettingError
from sfumato.files import write_text
from sfumato.plans.base import Plan
from sfumato.plans.curve import Curve
from sfumato.plans.early_vote import MOST_VOTES, EarlyVote
from sfumato.plans.registry import parse_plan
from sfumato.plans.vote import Vote


def _as_tuple(value: object) -> object:
    """Let TOML's arrays be tuples, which strict validation would refuse."""
    return tuple(value) if isinstance(value, list) else value


def _increasing(values: tuple[float, ...]) -> tuple[float, ...]:
    if not values:
        raise ValueError("must hold at least one value")
    if not all(a < b for a, b in itertools.pairwise(values)):
        raise ValueError("must be strictly increasing, each value once")
    return values


def _noises(values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(math.isfinite(value) and value >= 0 for value in values):
        raise ValueError("must hold finite numbers of at least 0")
    return _increasing(values)


def _positives(values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError("must hold positive finite numbers")
    return _increasing(values)


def _seeds(values: tuple[int, ...]) -> tuple[int, ...]:
    if not all(0 <= value < 2**63 for value in values):
        raise ValueError("must hold whole numbers of at least 0")
    _increasing(values)
    return values


Noises = Annotated[tuple[float, ...], BeforeValidator(_as_tuple), AfterValidator(_noises)]
Positives = Annotated[tuple[float, ...], BeforeValidator(_as_tuple), AfterValidator(_positives)]
Seeds = Annotated[tuple[int, ...], BeforeValidator(_as_tuple), AfterValidator(_seeds)]
Count = Annotated[int, Field(ge=1)]
Precision = Literal["float32", "bf16"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataTable(_Table):
    """Which data. ``images``: the first so many test images; None for all."""

    name: str = Field("digits", description="digits, mnist, fashion-mnist, cifar10, a .npz, or a folder")
    data_dir: str | None = Field(None, description="where to look for the files first")
    images: Count | None = Field(None, description="only the first so many test images; left out: all")


class ModelTable(_Table):
    """How each base classifier is trained; see ``training.TrainingSettings``."""

    architecture: str = Field("mlp", description="mlp, cnn, resnet20, resnet110, or package.module:factory")
    epochs: Count | None = Field(None, description="left out: at least 10, and at least 1,500 steps")
    batch_size: Count = Field(128, description="images per step")
    draws: Count = Field(1, description="noisy copies of each image per step")
    learning_rate: float = Field(2e-3, gt=0, description="peak of the one-cycle schedule")
    weight_decay: float = Field(1e-2, ge=0, description="AdamW's")
    precision: Precision = Field("float32", description="float32 or bf16 (autocast; faster)")
    warm_start: Literal["none", "nearest"] = Field(
        "none", description="nearest: each alpha starts from the nearest one trained before it"
    )
    warm_epochs: Count = Field(2, description="epochs of a model with a warm start")


class GridTable(_Table):
    """Which noise levels (standard deviations, in the input's unit) and training seeds."""

    alpha: Noises = Field((0.0, 0.2, 0.4, 0.6), description="training noise, increasing; 0 is no noise")
    beta: Noises = Field((0.0, 0.2, 0.4, 0.6), description="smoothing noise; 0 is the plain classifier")
    seeds: Seeds = Field((0,), description="training seeds, increasing")


class VotesTable(_Table):
    """How a smoothed prediction is made."""

    n: Count = Field(100, description="votes whose majority is the prediction")
    rule: Literal["curtailed", "sequential", "all"] = Field(
        "curtailed",
        description="curtailed: stop once decided (same prediction as all); sequential: sooner; all: never",
    )
    error: float = Field(
        1e-3,
        gt=0,
        lt=1,
        description="sequential: how often at most an image's prediction is not that of all n votes",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(0, description="keys the noise, same for all models")
    precision: Precision = Field("float32", description="float32, or bf16: then that network is smoothed")

    def plan(self) -> Plan:
        """Return the stopping plan of the rules that stop; ``all`` counts every vote without one."""
        return EarlyVote(self.n, self.error) if self.rule == "sequential" else Vote(self.n)

    def identity(self) -> dict[str, Any]:
        """Return what determines the votes and predictions, besides the images and the model."""
        error = {"error": self.error} if self.rule == "sequential" else {}
        return {"n": self.n, "rule": self.rule, "seed": self.seed, "precision": self.precision} | error


class CertificationTable(_Table):
    """Which certificates are computed beside the risks."""

    beta: Positives = Field(description="smoothing noises to certify at")
    radii: Positives | None = Field(None, description="L2 radii; the plan is then curve(radii)")
    plan: str | None = Field(None, description="another stopping plan, as of sfumato certify --plan")
    confidence: float = Field(0.999, gt=0, lt=1, description="probability with which each one holds")
    images: Count = Field(500, description="the first so many test images")

    def stopping(self) -> Plan:
        """Return the stopping plan.

        Raises:
            SettingError: neither or both of radii and plan, or a plan that cannot be read.
        """
        if (self.radii is None) == (self.plan is None):
            raise SettingError("certification needs either radii or plan, and not both")
        return Curve(self.radii) if self.radii is not None else parse_plan(str(self.plan))


class Design(_Table):
    """A whole study.

    >>> Design().grid.alpha
    (0.0, 0.2, 0.4, 0.6)
    """

    data: DataTable = DataTable()  # type: ignore[call-arg]  # pydantic's defaults, unknown to mypy
    model: ModelTable = ModelTable()  # type: ignore[call-arg]
    grid: GridTable = GridTable()  # type: ignore[call-arg]
    votes: VotesTable = VotesTable()  # type: ignore[call-arg]
    certification: CertificationTable | None = None


def read_design(path: Path, changes: Mapping[str, Mapping[str, Any]] | None = None) -> Design:
    """Return the study of the file, with ``changes`` (table, key: value) in place of what it says.

    Raises:
        SettingError: no such file, no TOML, or a key or value that is not accepted.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
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
    try:
        design = Design.model_validate(merged)
    except ValidationError as error:
        raise SettingError(where + _explained(error)) from error
    try:
        _check_together(design)
    except SettingError as error:
        raise SettingError(f"{where}{error}") from error
    return design


def _check_together(design: Design) -> None:
    """Refuse what is wrong only together."""
    if design.votes.rule == "sequential" and design.votes.n > MOST_VOTES:
        raise SettingError(
            f'votes.n must be at most {MOST_VOTES} with the rule "sequential", got {design.votes.n}'
        )
    if design.certification is not None:
        design.certification.stopping()


def _explained(error: ValidationError) -> str:
    """Return the first mistake in one line: key, what is accepted, value."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
    if first["type"] == "extra_forbidden":
        table = _table_at(first["loc"][:-1])
        return f"unknown key {key}; accepted are {', '.join(table.model_fields)}"
    if first["type"] == "missing":
        return f"{key} is missing"
    words = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    words = words.replace("valid tuple", "list").replace("valid dictionary", "table")
    return f"{key} {words}, got {first['input']!r}"


def _table_at(location: Iterable[int | str]) -> type[BaseModel]:
    tables: dict[str, type[BaseModel]] = {
        "data": DataTable,
        "model": ModelTable,
        "grid": GridTable,
        "votes": VotesTable,
        "certification": CertificationTable,
    }
    return next((tables[part] for part in location if isinstance(part, str)), Design)


def render(design: Design) -> str:
    """Return the study as a commented TOML file; ``read_design`` gives it back.

    >>> make_design(tomllib.loads(render(Design()))) == Design()
    True
    """
    lines = [
        "# A study: one model per (alpha, seed), its risk at every beta. Noise levels are standard",
        "# deviations in the input's unit. Lines behind '#' are left out: their default holds.",
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
    return repr(value)


def write_design(design: Design, path: Path) -> None:
    """Write the study file, the whole of it or nothing.

    Raises:
        OutputError: it cannot be written.
    """
    write_text(path, render(design))


def extend_path(known: Mapping[float, float | None], alphas: Iterable[float]) -> dict[float, float | None]:
    """Return for each alpha which one it starts from, in order of training; ``known`` stays as it is.

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
