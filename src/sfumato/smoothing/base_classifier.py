"""The base classifier as a fixed function from an input to a class, whatever the batch it comes in.

Arithmetic libraries sum in an order that depends on the shape of the batch and on the memory layout, so
that two logits which agree to rounding may change places; one such vote in a million is enough to make a
run irreproducible. So the logits decide wherever their two best differ by more than rounding can move
them, and the rest, the near ties, are decided by one computation that is always the same:

- float32: the arg-max of the network in float64 (about one vote in 10^4). A network that cannot run
  in float64 is evaluated one input at a time instead.
- bf16: the bfloat16 network in batches of 32, contiguous, filled up with zeros (about one vote in 200).

Ties of equal logits go to the smaller class index.

What rounding can do is measured on noisy inputs before the first vote (``probe``): the largest error of the
network's logits, in several batches and in the form that counts the votes, against the same network in the
next wider format. Logits near each other by less than ``SAFETY`` times that error are a near tie.

What makes the network faster must not change it: batch norms are folded into the convolutions before
them, full batches may go through a compiled twin, and either is used only where its logits agree with the
network's own. In bf16 the network is rounded after folding, so that the same one is certified everywhere.
Now and then some inputs of a batch are computed again as near ties are, and a run in which they differ ends.

Votes are counted by a private copy of the user's module in evaluation mode. The module itself is not
changed, and what changes in it is followed: ``follow``.
"""

from __future__ import annotations

import itertools
import math
import threading
import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from sfumato.errors import ModelError, SfumatoError
from sfumato.smoothing.configuration import Classifier, require_precision
from sfumato.smoothing.fixed_function import (
    RELATIVE,
    apart,
    companies,
    dependence,
    require_fixed_function,
    scale_of,
)
from sfumato.smoothing.folding import with_folded_batch_norms
from sfumato.smoothing.full_precision import full_precision
from sfumato.smoothing.private_copy import Snapshot, in_precision, private_copy, replica
from sfumato.smoothing.threads import interference

INVALID = -1
"""The class of an input for which the model's output is not a number."""

# Where nothing cancels, rounding moves float32 logits by about 1e-6 of the largest, bfloat16 logits by up to
# 0.0025 between layouts (measured); the margins leave a factor of 100 and of 6.
MARGINS = {"float32": RELATIVE, "bf16": 2.0**-6}
SAFETY = {"float32": 16.0, "bf16": 4.0}
"""The margin of near ties in units of the largest error seen. Each of two logits may move by half of it."""

_CANONICAL_BATCH = 32
_CHANGED_BY_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
_USUAL_BATCH = 64
_LEAST_BATCH = 8
_CALIBRATED = 16
_ALONE = 4
# A float64 twin that is another function than the network (it rounds to float32 inside, say) is of no use.
_SAME_FUNCTION = 1e-3
# A faster form may err so many times as much as the network itself.
_ALLOWED_ERRORS = 32.0
_FLOAT64_ROUNDING = 1e-9
# Exact ties, as between two equal rows of weights, differ in float64 by rounding as well: 2^-29 of float32's.
_EXACT_TIE = 2.0**-26
_CHECKED_EVERY = 256
_CHECKED_INPUTS = 4
# Inputs this many times larger than those that rounding was measured on are measured again.
_FARTHER = 2.0


@dataclass(frozen=True)
class _Engine:
    """How one network computes classes, as ``probe`` has found it.

    Attributes:
        classes: how many it returns.
        dtype: of what it returns, where that is held to.
        forward: the fast form of the network.
        layout: the memory layout that the fast form wants.
        exact: logits by the computation that does not depend on the batch.
        margin: logits nearer to the best one than this are near ties.
        tie: logits of ``exact`` nearer than this are equal.
        in_place: whether the model writes into its input.
    """

    classes: int
    dtype: torch.dtype | None
    forward: Classifier
    layout: torch.memory_format
    exact: Classifier
    margin: float
    tie: float
    in_place: bool


class BaseClassifier:
    """Wraps a model (or any callable from a batch to (batch, classes) logits) on one device.

    Of a ``torch.nn.Module`` a private copy in evaluation mode is used. ``probe`` checks it on real inputs.
    Batches of ``compiled_batch`` inputs go through a compiled twin, others do not; 0 compiles nothing.

    Raises:
        ModelError: bf16 asked of a callable that is no module, or parameters without values.
        SfumatoError: in all that asks the model, where it fails, as when a device or a service is lost.
    """

    def __init__(
        self,
        model: Classifier,
        device: torch.device,
        *,
        precision: str = "float32",
        channels_last: bool = False,
        compiled_batch: int = 0,
    ) -> None:
        self.device = device
        self.precision = require_precision(precision)
        # what the user has compiled is copied and checked as it was before, and compiled again if asked
        self._given: Classifier = getattr(model, "_orig_mod", model)
        self._lock = threading.RLock()
        self._channels_last = channels_last
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._asked_compiled_batch = compiled_batch
        self._local = threading.local()
        if precision != "float32" and not isinstance(self._given, nn.Module):
            raise ModelError(f"precision {precision} needs a torch.nn.Module, got {type(model).__name__}")
        if isinstance(self._given, nn.Module) and any(
            module.training and isinstance(module, _CHANGED_BY_TRAINING) for module in self._given.modules()
        ):
            warnings.warn(
                "the model is in training mode; votes are counted by a copy switched to evaluation mode",
                stacklevel=3,
            )
        self._take_copy()

    def _take_copy(self) -> None:
        """Copy the model, and forget what was found out about the copy before."""
        self._plain: Any = self._given
        self._copied = False
        self._snapshot: Snapshot | None = None
        self._engine: _Engine | None = None
        self._compiled: Classifier | None = None
        self._compiled_batch = 0
        self._threads: bool | None = None
        self._reach = 0.0
        self._batches = itertools.count(1)
        if isinstance(self._given, nn.Module):
            self._plain, self._copied = private_copy(self._given, self.device)
            self._snapshot = Snapshot(self._given, self._plain)
            self._compiled_batch = self._asked_compiled_batch if self._copied else 0

    def follow(self) -> bool:
        """Copy the user's module again if it has changed; return whether it has. ``probe`` is due then."""
        if self._snapshot is None or self._snapshot.matches(self._given):  # type: ignore[arg-type]
            return False
        self._take_copy()
        return True

    def covers(self, x: torch.Tensor, beta: float) -> bool:
        """Return whether what ``probe`` has measured of rounding holds for noisy copies of these inputs."""
        return self._engine is not None and _reach(x, beta) <= _FARTHER * self._reach

    def probe(self, x: torch.Tensor, beta: float = 0.0, batch_size: int = _USUAL_BATCH) -> int:
        """Return the number of classes after checking the model on noisy copies of the inputs ``x``.

        ``beta`` is the noise that votes are counted under, ``batch_size`` how many copies at a time.

        Raises:
            ModelError: an output that is not (batch, classes) for batches of several sizes, that is NaN
                without noise, that changes when it is computed again, or with the company of an input.
        """
        self.follow()
        x = x.to(self.device, torch.float32)
        size = max(_LEAST_BATCH, batch_size)
        with full_precision(self.device), torch.inference_mode(), self._lock:
            largest = x.flatten(1).norm(dim=1).argsort(descending=True)[:2]
            clean = torch.cat([x[:2], x[largest]])
            while True:
                try:
                    self._measure(_noisy(clean, beta, size), len(clean))
                    break
                except torch.OutOfMemoryError:
                    if size <= _LEAST_BATCH:
                        raise
                    size = max(_LEAST_BATCH, size // 2)
            self._reach = max(self._reach, _reach(x, beta))
        return self._ready.classes

    @property
    def _ready(self) -> _Engine:
        assert self._engine is not None
        return self._engine

    def _measure(self, rows: torch.Tensor, clean: int) -> None:
        """Find out how the classes of such inputs are computed; the first ``clean`` are without noise."""
        plain = _Asked(self._plain, torch.float32)
        together = plain(rows)
        if torch.isnan(together[:clean]).any():
            raise ModelError("the model returns NaN for an input without noise; its logits must be numbers")
        counts = {plain(rows[some]).shape[1] for some in companies(len(rows))} | {together.shape[1]}
        if len(counts) > 1:
            found = " or ".join(map(str, sorted(counts)))
            raise ModelError(f"the model returns {found} classes depending on the batch size")
        if self._snapshot is not None and self._copied and self._snapshot.lacks_tensors_of(self._plain):
            raise ModelError("the model makes parameters in its first forward pass; run it on a batch first")
        twin = self._float64_twin(rows[:_CALIBRATED], together[:_CALIBRATED])
        if twin is None:
            require_fixed_function(plain, rows, together, self._plain)
        exact: Classifier = self._one_at_a_time if twin is None else twin
        expected = exact(rows[: _ALONE if twin is None else _CALIBRATED])
        error = _error(plain, rows, expected)
        allowed = max(RELATIVE * scale_of(expected), _ALLOWED_ERRORS * error)
        network, layout = self._plain, torch.contiguous_format
        if self._copied:
            folded = with_folded_batch_norms(network)
            if self._agrees(_Asked(folded, torch.float32), rows, expected, allowed):
                network = folded
        if self.precision == "bf16":
            network = in_precision(network, self.device, self._dtype)
            exact = partial(self._canonical, network)
            expected = self._wider_than_bf16(network, rows[:_CALIBRATED])
            error = _error(_Asked(network, self._dtype), rows, expected)
            allowed = max(MARGINS["bf16"] * scale_of(expected), _ALLOWED_ERRORS * error)
        forward = network
        if self._channels_last and self._copied:
            # the call is there for its effect on every module; mypy's stubs lack this form
            turned = in_precision(network, self.device, self._dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload,union-attr]
            if self._agrees(_Asked(turned, self._dtype, torch.channels_last), rows, expected, allowed):
                forward, layout = turned, torch.channels_last
        if forward is not self._plain:
            error = max(error, _error(_Asked(forward, self._dtype, layout), rows, expected))
        margin = max(SAFETY[self.precision] * error, self._engine.margin if self._engine else 0.0)
        tie = _EXACT_TIE * margin if twin is not None and self.precision == "float32" else 0.0
        self._engine = _Engine(
            classes=together.shape[1],
            dtype=plain.dtype if self.precision == "float32" else None,
            forward=forward,
            layout=layout,
            exact=exact,
            margin=margin,
            tie=tie if math.isfinite(tie) else 0.0,
            in_place=plain.writes,
        )
        self._rows = rows[-2 * _ALONE :].clone()

    def _float64_twin(self, rows: torch.Tensor, expected: torch.Tensor) -> Classifier | None:
        """Return the network in float64; None if it has no such twin, or one that depends on the batch."""
        if not isinstance(self._given, nn.Module):
            return None
        try:
            network = in_precision(self._plain, self.device, torch.float64)
            ask = _Asked(network, torch.float64)
            exact = ask(rows)
            same = apart(exact, expected.double()) <= _SAME_FUNCTION * (1.0 + scale_of(expected))
            fixed = dependence(ask, rows, exact) <= _FLOAT64_ROUNDING * scale_of(exact)
        except Exception:  # a model of the user's own may refuse float64 in any way
            return None
        return (lambda x: network(x.double())) if ask.dtype == torch.float64 and same and fixed else None

    def _wider_than_bf16(self, network: Any, rows: torch.Tensor) -> torch.Tensor:
        """Return the logits of the bfloat16 network computed in float32; where that cannot be, its own."""
        try:
            wider = in_precision(network, self.device, torch.float32)
            return _Asked(wider, torch.float32)(rows.to(self._dtype))
        except SfumatoError:
            return self._canonical(network, rows)

    def _agrees(self, ask: _Asked, rows: torch.Tensor, expected: torch.Tensor, allowed: float) -> bool:
        """Return whether the faster form of the network gives the same logits.

        A model that reshapes with ``view``, say, cannot use another memory layout.
        """
        try:
            return _error(ask, rows, expected) <= allowed
        except SfumatoError:
            return False

    def runs_in_threads(self) -> bool:
        """Return whether several threads may compute classes at once; where not, it is said once.

        A callable that is no module, or a module that cannot be copied in full, is computed by one thread.
        """
        with self._lock:
            if self._threads is None:
                reason = self._why_one_thread()
                self._threads = reason is None
                if reason:
                    warnings.warn(f"votes are counted by one thread: {reason}", stacklevel=4)
        return self._threads

    def _why_one_thread(self) -> str | None:
        if not self._copied:
            return "the model cannot be copied for each thread"
        forward, layout = self._ready.forward, self._ready.layout
        first, second = (_Asked(replica(forward), self._dtype, layout) for _ in range(2))
        with full_precision(self.device), torch.inference_mode():
            return interference(first, second, self._rows[:_ALONE], self._rows[_ALONE:])

    def classes(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class of each input of the batch (int64), ``INVALID`` where a logit is NaN."""
        with full_precision(self.device), torch.inference_mode():
            winners, close = self.clear_classes(x.clone())
            if close.any():
                winners[close] = self.near_tie_classes(x[close])
            return winners

    @torch.inference_mode()
    def clear_classes(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the class of each input and which of them are near ties, still to be decided.

        Raises:
            ModelError: an output of another form than before, or logits that are not those of an input alone.
            SfumatoError: the forward pass failed, as where a device is lost.
            torch.OutOfMemoryError: as PyTorch does.
        """
        if self._engine is None:
            with self._lock:
                self.probe(x)
        logits = self._run(self._logits, x)
        best, winners = logits.max(dim=1)
        margin = self._margin(logits, best)
        number = next(self._batches)
        if number & (number - 1) == 0 or number % _CHECKED_EVERY == 0:
            self._check_alone(x, logits, margin, number)
        close = (logits >= (best - margin).unsqueeze(1)).sum(dim=1) > 1
        return winners.masked_fill_(torch.isnan(best), INVALID), close

    def _margin(self, logits: torch.Tensor, best: torch.Tensor) -> torch.Tensor:
        """Return for each row how near to its best logit another one is a near tie."""
        scale = logits.abs().amax(dim=1)
        scale = torch.where(torch.isfinite(scale), scale, best.abs())
        return (MARGINS[self.precision] * scale).clamp_min(self._ready.margin)

    def _check_alone(self, x: torch.Tensor, logits: torch.Tensor, margin: torch.Tensor, number: int) -> None:
        """Compare some logits of the batch with those that decide near ties.

        Raises:
            ModelError: they differ by more than the margin allows for.
        """
        some = (torch.arange(min(_CHECKED_INPUTS, len(x)), device=x.device) * 13 + number) % len(x)
        with self._lock:
            exact = self._run(self._ready.exact, x[some]).double()
        found = logits[some].double()
        far = torch.where(found.isfinite() & exact.isfinite(), (found - exact).abs(), 0.0).amax(dim=1)
        if (far > margin[some] / 2).any():
            raise ModelError(
                f"the model is no fixed function: in a batch of {len(x)} the logits of a noisy input are "
                f"{float(far.max()):.2g} away from those it has by itself; rounding explains "
                f"{float(margin[some].min()) / 2:.2g}"
            )

    @torch.inference_mode()
    def near_tie_classes(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class of each input by the computation that does not depend on the batch.

        Raises:
            SfumatoError: as ``clear_classes``.
        """
        if self._engine is None:
            with self._lock:
                self.probe(x)
        engine = self._ready
        with self._lock:  # one network for all threads, which may keep values in itself
            logits = self._run(engine.exact, x)
        # argmax alone may return any of several equal maxima
        ties = logits >= logits.amax(dim=1, keepdim=True) - engine.tie
        return ties.to(torch.uint8).argmax(dim=1).masked_fill_(logits.isnan().any(dim=1), INVALID)

    def _run(self, forward: Classifier, x: torch.Tensor) -> torch.Tensor:
        try:
            return forward(x)
        except (torch.OutOfMemoryError, MemoryError, SfumatoError):
            raise
        except Exception as error:  # whatever a user's forward pass may raise
            raise SfumatoError(
                f"the model failed on {len(x)} noisy copies on {self.device} ({_said(error)})"
            ) from error

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        if self._compiled_batch and len(x) == self._compiled_batch:
            if self._compiled is None:
                self._compile(x)
            if self._compiled is not None:
                return self._through(self._compiled, x)
        return self._through(self._own_forward(), x)

    def _own_forward(self) -> Classifier:
        """Return the calling thread's own copy of the fast form: a network may keep values in itself."""
        forward = self._ready.forward
        if not self._copied:
            return forward
        made_of, own = getattr(self._local, "forward", (None, None))
        if made_of is not forward or own is None:
            with self._lock:
                own = replica(forward)
            self._local.forward = forward, own
        return own  # type: ignore[no-any-return]

    def _through(self, forward: Classifier, x: torch.Tensor) -> torch.Tensor:
        engine = self._ready
        given = x.clone() if engine.in_place else x
        version = None if given.is_inference() else given._version
        layout = engine.layout if x.dim() == 4 else torch.preserve_format
        logits = forward(given.to(dtype=self._dtype, memory_format=layout))
        if not engine.in_place and version is not None and given._version != version:
            raise ModelError("the model changes its input at times; let it work on a copy (x.clone())")
        _require_form(logits, len(x), engine.classes, engine.dtype)
        return logits.to(dtype=torch.float32, device=x.device)

    @property
    def compiled(self) -> bool:
        """Whether full batches go through a compiled twin by now."""
        return self._compiled is not None

    def _compile(self, x: torch.Tensor) -> None:
        """Compile the network for batches like ``x`` and for the calling thread's number of threads.

        Where that cannot be, or gives other logits, it is said once and done without.
        """
        with self._lock:
            if self._compiled is None and self._compiled_batch:
                forward = self._ready.forward
                # frozen weights are laid out for the processor beforehand, and activations fused
                compiled = torch.compile(
                    forward,
                    dynamic=False,
                    options={"freezing": True, "cpp.threads": torch.get_num_threads()},
                )
                try:
                    found, expected = self._through(compiled, x), self._through(forward, x)
                    margin = self._margin(expected, expected.amax(dim=1)).unsqueeze(1)
                    agrees = bool(((found - expected).abs() <= margin / 2).all())
                    reason = "its logits differ from the network's own"
                except Exception as error:  # a missing C++ compiler, or anything inside the compiler
                    agrees, reason = False, first_line(error)
                if agrees:
                    self._compiled = compiled
                else:
                    self._compiled_batch = 0
                    warnings.warn(f"the model is not compiled: {reason}", stacklevel=2)

    def _canonical(self, network: Classifier, x: torch.Tensor) -> torch.Tensor:
        found = []
        for start in range(0, len(x), _CANONICAL_BATCH):
            part = x[start : start + _CANONICAL_BATCH]
            batch = torch.zeros((_CANONICAL_BATCH, *x.shape[1:]), dtype=self._dtype, device=x.device)
            batch[: len(part)] = part
            found.append(network(batch)[: len(part)].float())
        return torch.cat(found)

    def _one_at_a_time(self, x: torch.Tensor) -> torch.Tensor:
        classes = self._engine.classes if self._engine else None
        found = []
        for row in x:
            logits = self._plain(row.unsqueeze(0).clone())
            _require_form(logits, 1, classes, None)
            found.append(logits.to(dtype=torch.float32, device=x.device))
        return torch.cat(found)


class _Asked:
    """A network asked before any vote: what it answers is checked, and what it was given is kept from it.

    Attributes:
        dtype: of its answers, None before the first.
        writes: whether it wrote into its input.
    """

    def __init__(
        self,
        network: Classifier,
        dtype: torch.dtype,
        layout: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self._network, self._dtype, self._layout = network, dtype, layout
        self.dtype: torch.dtype | None = None
        self.writes = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, classes), float64 if they are asked for in that, else float32.

        Raises:
            ModelError: the model does not take the inputs, or answers in another form.
            SfumatoError: the model could not be asked.
        """
        layout = self._layout if x.dim() == 4 else torch.preserve_format
        given = x.to(dtype=self._dtype, memory_format=layout, copy=True)
        before = given.clone()
        try:
            logits = self._network(given)
        except (MemoryError, torch.OutOfMemoryError, SfumatoError):
            raise
        except OSError as error:  # a model that asks a service
            raise SfumatoError(f"the model does not answer ({first_line(error)})") from error
        except Exception as error:  # whatever a user's forward pass may raise
            batch = f"a batch of {len(x)} inputs of shape {tuple(x.shape[1:])}"
            raise ModelError(f"the model does not accept {batch} ({_said(error)})") from error
        _require_form(logits, len(x), None, self.dtype)
        self.dtype = logits.dtype
        self.writes = self.writes or not torch.equal(given, before)
        wanted = torch.float64 if self._dtype == torch.float64 else torch.float32
        return logits.to(dtype=wanted, device=x.device)


def _require_form(logits: Any, rows: int, classes: int | None, dtype: torch.dtype | None) -> None:
    """Refuse what is no tensor of logits (rows, classes), or of another type than before.

    Raises:
        ModelError: it is.
    """
    if (
        not isinstance(logits, torch.Tensor)
        or logits.dim() != 2
        or len(logits) != rows
        or classes not in (None, logits.shape[1])
    ):
        shape = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise ModelError(
            f"the model must return (batch, classes) = ({rows}, {classes or 'classes'}), got {shape}"
        )
    if logits.shape[1] < 2:
        raise ModelError(f"the model must return at least 2 classes, got {logits.shape[1]}")
    if logits.dtype != dtype and (dtype is not None or logits.dtype == torch.bool or logits.is_complex()):
        raise ModelError(f"the model must return {dtype or 'floating point logits'}, got {logits.dtype}")


def _error(ask: _Asked, rows: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the largest error of the logits of the first rows, among all of them and in other company."""
    exact = expected.double()
    few = rows[: len(exact)]
    among_all = apart(ask(rows)[: len(exact)].double(), exact)
    return max(among_all, dependence(lambda x: ask(x).double(), few, exact))


def _noisy(x: torch.Tensor, beta: float, size: int) -> torch.Tensor:
    """Return the inputs, and behind them so many noisy copies of them that there are ``size`` rows.

    Without noise to come, noise of the inputs' own spread: company that differs. It is no vote's noise.
    """
    copies = x[torch.arange(max(0, size - len(x))) % len(x)]
    noise = torch.randn(copies.shape, generator=torch.Generator().manual_seed(0)).to(x.device)
    spread = beta or float(x.std()) or 1.0
    return torch.cat([x, copies + spread * noise])


def _reach(x: torch.Tensor, beta: float) -> float:
    """Return the largest norm to be expected of a noisy copy of these inputs."""
    flat = x.flatten(1)
    return math.hypot(float(flat.norm(dim=1).max()), beta * math.sqrt(flat.shape[1]))


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, its type where it says nothing."""
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__


def _said(error: BaseException) -> str:
    """Return ``Type: first line``; the type is left out where it says no more than that something failed."""
    name, line = type(error).__name__, first_line(error)
    return (
        line
        if type(error) is RuntimeError or isinstance(error, OSError) or line == name
        else f"{name}: {line}"
    )
