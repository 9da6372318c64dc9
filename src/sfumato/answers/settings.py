"""The settings of an answer, besides the results: its confidence and its random draws."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import AfterValidator, Field

from sfumato.answers.smooth_risk import DEFAULT_DRAWS
from sfumato.errors import require_open_unit
from sfumato.settings import CheckedSettings, Count, Seed

Confidence = Annotated[float, AfterValidator(partial(require_open_unit, "confidence"))]


class AnswerSettings(CheckedSettings):
    """The confidence of an answer, and its random draws.

    >>> AnswerSettings(draws=500).draws
    500

    Raises:
        SettingError: a value outside its range.
    """

    confidence: Confidence = Field(
        default=0.95, description="confidence level of all intervals and sets, between 0 and 1"
    )
    draws: Count = Field(
        default=DEFAULT_DRAWS, description="number of random draws for the bands of the smoothed curves"
    )
    seed: Seed = Field(
        default=0, description="determines the random halves of the images and the bands of the curves"
    )
