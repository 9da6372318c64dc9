"""How one network computes classes: the forms of it that count votes, and what rounding can do in them.

Rounding is measured on noisy inputs: the largest error of the network's logits, in several batches and in
the form that counts the votes, against the same network in the next wider format (float64 for float32,
float32 for bfloat16). A network without a float64 twin is compared with its answer to each input alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from sfumato.errors import ModelError, SfumatoError
from sfumato.smoothing.answers import Asked, answer_of, require_form
from sfumato.smoothing.configuration import Network
from sfumato.smoothing.fixed_function import (
    RELATIVE,
    apart,
    companies,
    dependence,
    layer_at_fault,
    require_fixed_function,
    rounding_of,
    scale_of,
)
from sfumato.smoothing.folding import with_folded_batch_norms
from sfumato.smoothing.pooling import slice_max_pools
from sfumato.smoothing.private_copy import in_precision

# Where nothing cancels, rounding moves float32 logits by about 1e-6 of the largest, bfloat16 logits by up to
# 0.0025 between layouts (measured); the margins leave a factor of 100 and of 6.
MARGINS = {"float32": RELATIVE, "bf16": 2.0**-6}
SAFETY = {"float32": 16.0, "bf16": 4.0}
"""The margin of near ties in units of the largest error seen. Each of two logits may move by half of it."""

_CANONICAL_BATCH = 32
_CALIBRATED = 16
_ALONE = 4
# A float64 twin serves where its logits are the network's to rounding, and where its own rounding is 2^-29 of
# float32's; that of a network which rounds to float32 inside is as large. The limits lie far from what either
# kind of network does, so that every run decides alike.
_SAME_FUNCTION = 1e-3
_FLOAT32_IN_FLOAT64 = 2.0**29  # a last bit of float32 in last bits of float64
_FLOAT64_SHARE = 2.0**-15
_FLOAT64_ROUNDING = 1e-9
# The error of a faster form may be at most this many times the error of the network itself.
_ALLOWED_ERRORS = 32.0
# Exact ties, as between two equal rows of weights, differ in float64 by rounding as well: 2^-29 of float32's.
_EXACT_TIE = 2.0**-26


@dataclass(frozen=True)
class Subject:
    """What is to be computed.

    Attributes:
        network: a private copy of a module, one that is lent, or a callable that is no module.
        is_module: whether it comes from a module.
        copied: whether it is a copy in full.
        tensors: how many parameters and buffers the user's module has.
        device, precision, channels_last: where and how.
    """

    network: Any
    is_module: bool
    copied: bool
    tensors: int
    device: torch.device
    precision: str
    channels_last: bool

    @property
    def dtype(self) -> torch.dtype:
        """The type of the network's weights and inputs."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32


@dataclass(frozen=True)
class Engine:
    """How the classes are computed.

    Attributes:
        classes: how many the network returns.
        answers: the type of its logits; None where it may be any.
        forward: the fast form of the network.
        layout: the memory layout that the fast form wants.
        exact: logits by the computation that does not depend on the batch.
        margin: logits nearer to the best one than this are near ties.
        tie: logits of ``exact`` nearer than this are equal.
        in_place: whether the model writes into its input.
    """

    classes: int
    answers: torch.dtype | None
    forward: Network
    layout: torch.memory_format
    exact: Network
    margin: float
    tie: float
    in_place: bool


def measured_engine(subject: Subject, rows: torch.Tensor, clean: int) -> Engine:
    """Return how classes of inputs like ``rows`` are computed; the first ``clean`` of them are without noise.

    Raises:
        ModelError: a model that does not take the rows or is no fixed function from one of them to logits.
    """
    plain = Asked(subject.network, torch.float32)
    together = plain(rows)
    if torch.isnan(together[:clean]).any():
        raise ModelError("the model returns NaN for an input without noise; its logits must be numbers")
    try:
        counts = {plain(rows[some]).shape[1] for some in companies(len(rows))} | {together.shape[1]}
    except ModelError as refusal:
        raise ModelError(f"{refusal}{layer_at_fault(subject.network)}") from refusal
    if len(counts) > 1:
        found = " or ".join(map(str, sorted(counts)))
        raise ModelError(f"the model returns {found} classes depending on the batch size")
    if subject.copied and subject.tensors < _count_tensors(subject.network):
        raise ModelError("the model makes parameters in its first forward pass; run it on a batch first")
    twin = _float64_twin(subject, plain, rows[:_CALIBRATED], together[:_CALIBRATED])
    if twin is None:
        require_fixed_function(plain, rows, together, subject.network)
    exact: Network = twin or partial(one_at_a_time, subject.network)
    expected = exact(rows[: _CALIBRATED if twin else _ALONE])
    error = _error(plain, rows, together, expected)
    allowed = max(RELATIVE * scale_of(expected), _ALLOWED_ERRORS * error)
    network, layout = subject.network, torch.contiguous_format
    if subject.copied and (folded := with_folded_batch_norms(network)) is not network:
        folded_error = _error_of(Asked(folded, torch.float32), rows, expected)
        if folded_error <= allowed:
            network, error = folded, max(error, folded_error)
    if subject.precision == "bf16":
        network = in_precision(network, subject.device, subject.dtype)
        exact = partial(_canonical, network)
        expected = _wider_than_bf16(subject, network, rows[:_CALIBRATED])
        error = _error_of(Asked(network, subject.dtype), rows, expected)
        allowed = max(MARGINS["bf16"] * scale_of(expected), _ALLOWED_ERRORS * error)
    forward = network
    if subject.copied and subject.channels_last and rows.dim() == 4:
        turned = in_precision(network, subject.device, subject.dtype).to(memory_format=torch.channels_last)
        if subject.device.type == "cpu":
            slice_max_pools(turned)
        turned_error = _error_of(Asked(turned, subject.dtype, torch.channels_last), rows, expected)
        if turned_error <= allowed:
            forward, layout, error = turned, torch.channels_last, max(error, turned_error)
    margin = SAFETY[subject.precision] * error
    tie = _EXACT_TIE * margin if twin and subject.precision == "float32" and math.isfinite(margin) else 0.0
    answers = plain.answers if subject.precision == "float32" else None
    return Engine(together.shape[1], answers, forward, layout, exact, margin, tie, plain.writes)


def _float64_twin(
    subject: Subject, plain: Asked, rows: torch.Tensor, expected: torch.Tensor
) -> Network | None:
    """Return the network in float64; None where it cannot run in that, or depends on the batch."""
    if not subject.is_module:
        return None
    try:
        network: Any = in_precision(subject.network, subject.device, torch.float64)
        ask = Asked(network, torch.float64)
        exact = ask(rows)
        error, scale = apart(exact, expected.double()), scale_of(exact)
        moved = dependence(ask, rows, exact)
        rounding = max(rounding_of(plain, rows), _ALLOWED_ERRORS * _FLOAT32_IN_FLOAT64 * moved)
        same = error <= max(_SAME_FUNCTION * scale, rounding)
        fixed = moved <= max(_FLOAT64_ROUNDING * scale, _FLOAT64_SHARE * error)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException:  # a model of the user's own may refuse float64 in any way
        return None
    if not (ask.answers == torch.float64 and same and fixed):
        return None

    def twin(x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = answer_of(network, x.double())
        return logits

    return twin


def one_at_a_time(network: Callable[[torch.Tensor], Any], x: torch.Tensor) -> torch.Tensor:
    """Return the float32 network's logits for each input by itself."""
    found = []
    for row in x:
        logits = answer_of(network, row.unsqueeze(0).clone())
        require_form(logits, 1, None, None)
        found.append(logits.to(dtype=torch.float32, device=x.device))
    return torch.cat(found)


def _canonical(network: Network, x: torch.Tensor) -> torch.Tensor:
    """Return the logits of the bfloat16 network, in batches that are all alike in shape and layout."""
    found = []
    for start in range(0, len(x), _CANONICAL_BATCH):
        part = x[start : start + _CANONICAL_BATCH]
        batch = torch.zeros((_CANONICAL_BATCH, *x.shape[1:]), dtype=torch.bfloat16, device=x.device)
        batch[: len(part)] = part
        found.append(answer_of(network, batch)[: len(part)].float())
    return torch.cat(found)


def _wider_than_bf16(subject: Subject, network: Any, rows: torch.Tensor) -> torch.Tensor:
    """Return the logits of the bfloat16 network computed in float32; where that cannot be, its own."""
    try:
        wider = in_precision(network, subject.device, torch.float32)
        return Asked(wider, torch.float32)(rows.to(torch.bfloat16))
    except SfumatoError:
        return _canonical(network, rows)


def _error(ask: Asked, rows: torch.Tensor, together: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest error of the logits of the first rows, among all of them and in other company."""
    exact = expected.double()
    among_all = apart(together[: len(exact)].double(), exact)
    return max(among_all, dependence(lambda x: ask(x).double(), rows[: len(exact)], exact))


def _error_of(ask: Asked, rows: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the same of a form that may not work: a model that reshapes with ``view`` takes one layout."""
    try:
        return _error(ask, rows, ask(rows), expected)
    except ModelError:
        return math.inf


def _count_tensors(network: Any) -> int:
    return sum(1 for _ in network.parameters()) + sum(1 for _ in network.buffers())
