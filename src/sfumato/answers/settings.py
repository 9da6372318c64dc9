"""What an answer depends on besides the results: its confidence, and the bootstrap behind it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import AfterValidator, Field

from sfumato.errors import require_open_unit
from sfumato.settings import CheckedSettings, Count, Seed
from sfumato.statistics.compare import DEFAULT_DRAWS

Confidence = Annotated[float, AfterValidator(partial(require_open_unit, "confidence"))]


class AnswerSettings(CheckedSettings):
    """The confidence and the bootstrap of an answer.

    >>> AnswerSettings(draws=500).draws
    500

    Raises:
        SettingError: a value outside its range.
    """

    confidence: Confidence = Field(
        default=0.95, description="confidence level of all intervals and sets, between 0 and 1"
    )
    draws: Count = Field(default=DEFAULT_DRAWS, description="draws of the bootstrap")
    seed: Seed = Field(default=0, description="seed of the bootstrap, and of the sample of images")
