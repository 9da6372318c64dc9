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

import numpy as np
import torch

from sfumato.datasets import Dataset
from sfumato.noise.keyed import CHUNK, NOISE_VERSION
from sfumato.studies.design import Design, extend_path
from sfumato.studies.store import Member
from sfumato.training.settings import TrainingSettings

_FORMAT = 2
_NOISE = {"noise_version": NOISE_VERSION}
_SHOWN = 12  # hexadecimal digits of the key in a model's file name


def content_key(parts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the parts, whatever their order.

    >>> content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1}) != content_key({"a": 1, "b": 3})
    True
    """
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Keys:
    """The names of everything in a study of one design on one data set.

    Attributes:
        design: the study.
        data_sha256, test_sha256: checksums of all the data, and of the test images and labels.
        device: its type; CPUs and CUDA devices draw other noise from the same key.
        examples: number of training examples.
        path: which alpha each alpha starts from, in order of training (None: random weights).
    """

    design: Design
    data_sha256: str
    test_sha256: str
    device: str
    examples: int
    path: Mapping[float, float | None]

    @staticmethod
    def of(design: Design, data: Dataset, device: torch.device) -> Keys:
        """Return the names in a study that nothing was trained for before."""
        digest = hashlib.sha256()
        for array in (data.test.x, data.test.y):
            digest.update(str((array.shape, array.dtype.str)).encode())
            digest.update(np.ascontiguousarray(array).data)
        fresh = Keys(design, data.checksum(), digest.hexdigest(), device.type, len(data.train), {})
        return fresh.after({})

    def after(self, known: Mapping[float, float | None]) -> Keys:
        """Return the names where trainings of these settings went along the path ``known`` before."""
        alphas = self.design.grid.alpha
        if self.design.model.warm_start == "nearest":
            return replace(self, path=extend_path(known, alphas))
        return replace(self, path=dict.fromkeys(alphas))

    def training(self, alpha: float, seed: int, warm_start: Path | None = None) -> TrainingSettings:
        """Return the settings that the model is trained with."""
        warm = self.path[alpha] is not None
        return self.design.model.training(alpha=alpha, seed=seed, warm=warm, warm_start=warm_start)

    def epochs(self, alpha: float, seed: int) -> int:
        """Return how many epochs the model is trained for."""
        return self.training(alpha, seed).epochs_for(self.examples)

    @property
    def chain(self) -> str:
        """Name of the settings that all models of the study share."""
        return content_key(self._shared() | _NOISE)

    @property
    def earlier_chain(self) -> str:
        """Name that versions gave to the same settings whose noise was another."""
        return content_key(self._shared())

    def _shared(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "model": self.design.model.model_dump(mode="json"),
            "data_sha256": self.data_sha256,
            "device": self.device,
        }

    @property
    def settings(self) -> str:
        """Name of all settings but the grid, the seeds and the number of images."""
        return content_key({"chain": self.chain, "votes": self.design.votes.identity(), "chunk": CHUNK})

    @property
    def certification(self) -> str:
        """Name of all settings and those of certification; empty where nothing is certified."""
        table = self.design.certification
        if table is None:
            return ""
        known = {"label_known": True} if table.label_known else {}
        return content_key(
            {"settings": self.settings, "plan": table.stopping().name, "confidence": table.confidence} | known
        )

    def model(self, alpha: float, seed: int) -> str:
        """Return the key of a model: a hash of all that determines its weights."""
        parent = self.path[alpha]
        identity = self.training(alpha, seed).identity(
            examples=self.examples,
            data_sha256=self.data_sha256,
            device=self.device,
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
            "device": self.device,
            "precision": votes.precision,
        }
        if member.kind == "certificates" and table is not None:
            plan = {"plan": table.stopping().name, "confidence": table.confidence, "seed": votes.seed}
            return content_key(parts | plan | {"chunk": CHUNK})
        # without noise there is one vote, whatever the rule
        return content_key(parts | (votes.identity() | {"chunk": CHUNK} if member.beta > 0 else {}))
