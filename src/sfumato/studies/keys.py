"""Names by content: what determines a model's weights, a cell's rows, and a study's settings.

The alphas, betas, seeds and numbers of images of a study are in no settings' name: they can be added
to. Everything else is, so that a changed setting gives other names and never meets old rows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sfumato.datasets import Dataset
from sfumato.errors import SettingError
from sfumato.noise.keyed import CHUNK, NOISE_VERSION
from sfumato.smoothing.batch_norms import IMAGES
from sfumato.studies.design import CertificationTable, Design, extend_path
from sfumato.studies.store import Current, Member
from sfumato.training.settings import TrainingSettings, named

_FORMAT = 2
_NOISE = {"noise_version": NOISE_VERSION}
_SHOWN = 12  # hexadecimal digits of the key in a model's file name


def content_key(parts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the parts, whatever their order.

    >>> content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1}) != content_key({"a": 1, "b": 3})
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def image_counts(design: Design, data: Dataset) -> dict[str, int]:
    """Return how many test images each cell has, by its kind; 0 where nothing is certified.

    Raises:
        SettingError: more are asked for than there are.
    """
    asked, table = design.data.images or len(data.test), design.certification
    counts = {"risk": asked, "certificates": table.images if table else 0}
    for name, count in zip(("data.images", "certification.images"), counts.values(), strict=True):
        if count > len(data.test):
            raise SettingError(
                f"{name} must be at most the {len(data.test)} test images of {data.name}, got {count}"
            )
    return counts


@dataclass(frozen=True)
class Keys:
    """The names of everything in a study of one design on one data set.

    Attributes:
        design, data: the study.
        device: CPUs and CUDA devices draw other noise from the same key.
        data_sha256, test_sha256: checksums of all the data, and of the test images and labels.
        images: how many test images each cell has, by its kind.
        path: which alpha each alpha starts from, in order of training (None: random weights).
    """

    design: Design
    data: Dataset
    device: torch.device
    data_sha256: str
    test_sha256: str
    images: Mapping[str, int]
    path: Mapping[float, float | None]

    @staticmethod
    def of(design: Design, data: Dataset, device: torch.device) -> Keys:
        """Return the names in a study that nothing was trained for before.

        Raises:
            SettingError: more test images are asked for than there are.
        """
        digest = hashlib.sha256()
        data.test.add_to(digest)
        counts = image_counts(design, data)
        return Keys(design, data, device, data.checksum(), digest.hexdigest(), counts, {}).after({})

    def after(self, known: Mapping[float, float | None]) -> Keys:
        """Return the names where trainings of these settings went along the path ``known`` before."""
        alphas = self.design.grid.alpha
        if self.design.model.warm_start == "nearest":
            return replace(self, path=extend_path(known, alphas))
        return replace(self, path=dict.fromkeys(alphas))

    def training(self, alpha: float, seed: int, warm_start: Path | None = None) -> TrainingSettings:
        """Return the settings that the model is trained with."""
        warm = self.path[alpha] is not None
        asked = self.design.model.training(alpha=alpha, seed=seed, warm=warm, warm_start=warm_start)
        return asked.settled(self.data, self.device)

    def epochs(self, alpha: float, seed: int) -> int:
        """Return how many epochs the model is trained for."""
        return self.training(alpha, seed).epochs_for(len(self.data.train))

    def members(self, alpha: float, seed: int) -> list[Member]:
        """Return the cells of one model."""
        table = self.design.certification
        betas = {"risk": self.design.grid.beta, "certificates": table.betas_of(alpha) if table else ()}
        return [Member(kind, alpha, beta, seed) for kind, found in betas.items() for beta in found]

    @property
    def models(self) -> list[tuple[float, int]]:
        """The (alpha, seed) of the models whose cells are asked for, in order of work."""
        grid = self.design.grid
        return [(alpha, seed) for seed in grid.seeds for alpha in self.path if alpha in grid.alpha]

    @property
    def chain(self) -> str:
        """Name of the settings that all models of the study share."""
        return content_key(self._shared() | _NOISE)

    @property
    def earlier_chain(self) -> str:
        """Name that versions gave to the same settings whose noise was another."""
        return content_key(self._shared())

    def _shared(self) -> dict[str, Any]:
        settled = self.design.model.shared.settled(self.data, self.device)
        decided = {"augmentation": settled.augmentation, "precision": settled.precision}
        return {
            "format": _FORMAT,
            "model": named(self.design.model.model_dump(mode="json") | decided),
            "data_sha256": self.data_sha256,
            "device": self.device.type,
        }

    @property
    def settings(self) -> str:
        """Name of all settings but the grid, the seeds and the number of images."""
        votes = self.design.votes.identity() | self._normalizing
        return content_key({"chain": self.chain, "votes": votes, "chunk": CHUNK})

    @property
    def _normalizing(self) -> dict[str, Any]:
        """What determines the statistics of batch norms, besides the trained model and beta."""
        if self.design.votes.normalization == "trained":
            # names given before there was a choice say nothing of it
            return {}
        alpha, seed = self.models[0]
        of_training = named(self.training(alpha, seed).values())
        augmented = {name: of_training[name] for name in ("augmentation",) if name in of_training}
        return {"normalization": {"images": IMAGES, "seed": self.design.votes.seed} | augmented}

    @property
    def certification(self) -> str:
        """Name of all settings, those of certification included; empty where nothing is certified."""
        table = self.design.certification
        if table is None:
            return ""
        return content_key({"settings": self.settings} | _certifying(table))

    @property
    def current(self) -> Current:
        """What a reader of the results needs to know."""
        return Current(
            self.settings,
            self.data.name,
            self.data.unit,
            self.design.votes.n,
            self.images["risk"],
            self.certification,
            self.images["certificates"],
        )

    def model(self, alpha: float, seed: int) -> str:
        """Return the key of a model: a hash of all that determines its weights."""
        parent = self.path[alpha]
        identity = self.training(alpha, seed).identity(
            data_sha256=self.data_sha256,
            device=self.device.type,
            warm_start=None if parent is None else self.model(parent, seed),
        )
        return content_key(identity | {"format": _FORMAT})

    def model_path(self, folder: Path, alpha: float, seed: int) -> Path:
        """Return the file of a model in the study's folder."""
        key = self.model(alpha, seed)[:_SHOWN]
        return folder / "models" / f"alpha-{alpha:g}-seed-{seed}-{key}.safetensors"

    def cell(self, member: Member, weights_sha256: str) -> str:
        """Return the key of a cell: a hash of all that determines its rows."""
        votes, table = self.design.votes, self.design.certification
        parts: dict[str, Any] = {
            **_NOISE,
            "format": _FORMAT,
            "kind": member.kind,
            "weights_sha256": weights_sha256,
            "test_sha256": self.test_sha256,
            "beta": member.beta,
            "device": self.device.type,
            "precision": votes.precision,
            **self._normalizing,
        }
        if member.kind == "certificates" and table is not None:
            return content_key(parts | _certifying(table) | {"seed": votes.seed, "chunk": CHUNK})
        # without noise there is one vote, whatever the rule
        return content_key(parts | (votes.identity() | {"chunk": CHUNK} if member.beta > 0 else {}))


def _certifying(table: CertificationTable) -> dict[str, Any]:
    # only where it is so, as names given before there was a choice say nothing of it
    known = {"label_known": True} if table.label_known else {}
    return {"plan": table.stopping().name, "confidence": table.confidence} | known
