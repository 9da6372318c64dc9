"""The base classifier as a fixed function from an input to a class, the same in every batch.

Arithmetic libraries sum in an order that depends on the shape of the batch and on the memory layout. Two
logits that agree to rounding may change places, and one changed vote in a million makes a run irreproducible.
So the logits decide where the two best differ by more than rounding can move them. The other inputs, the near
ties, are decided by one computation that is always the same:

- float32: the arg-max of the network in float64 (about one vote in 10^4). A network that cannot run
  in float64 is evaluated one input at a time instead.
- bf16: the bfloat16 network in batches of 32, contiguous, filled up with zeros (about one vote in 200).

Ties of equal logits go to the smaller class index.

How much rounding can change is measured on noisy inputs before the first vote (``probe``, by ``engine``).

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
from dataclasses import replace
from functools import partial
from typing import Any, Self

import torch
from torch import nn

from sfumato.errors import ModelError, SfumatoError, first_line, is_lack_of_memory
from sfumato.noise import Span, Stream, Use
from sfumato.smoothing.answers import Asked, answer_of, require_form, said
from sfumato.smoothing.compiling import compiled_network
from sfumato.smoothing.configuration import Configuration, Network, require_precision
from sfumato.smoothing.engine import MARGINS, Engine, Subject, measured_engine, one_at_a_time
from sfumato.smoothing.full_precision import full_precision
from sfumato.smoothing.private_copy import Snapshot, private_copy, replica
from sfumato.smoothing.threads import interference
from sfumato.user_code import PASSED_ON

INVALID = -1
"""The class of an input for which the model's output is not a number."""

_CHANGED_BY_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
_USUAL_BATCH = 64
_LEAST_BATCH = 8
_LARGEST_BATCH = 1024
# A callable has no float64 twin, so it is asked for every row four times, and it may be a slow service.
_LARGEST_BATCH_OF_A_CALLABLE = 32
_ALONE = 4
_CHECKED_EVERY = 256
_CHECKED_INPUTS = 4
# Inputs this many times larger than those that rounding was measured on are measured again.
_FARTHER = 2.0


class BaseClassifier:
    """Wraps a model (or any callable from a batch to (batch, classes) logits) on one device.

    A ``torch.nn.Module`` is copied, and the copy votes in evaluation mode. ``probe`` checks it on real
    inputs.
    Batches of ``compiled_batch`` inputs go through a compiled twin, others do not; 0 compiles nothing.

    Raises:
        ModelError: bf16 asked of a callable that is no module, or parameters without values.
        SfumatoError: in all that asks the model, where it fails, as when a device or a service is lost.
    """

    def __init__(
        self,
        model: Network,
        device: torch.device,
        *,
        precision: str = "float32",
        channels_last: bool = False,
        compiled_batch: int = 0,
    ) -> None:
        self.device = device
        self.precision = require_precision(precision)
        # what the user has compiled is copied and checked as it was before, and compiled again if asked
        self._given: Network = getattr(model, "_orig_mod", model)
        self._lock = threading.RLock()
        self._channels_last = channels_last
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
        self.changes = 0
        self._take_copy()

    @classmethod
    def configured(cls, model: Network, device: torch.device, configuration: Configuration) -> Self:
        """Return the classifier that computes as ``configuration`` says."""
        return cls(
            model,
            device,
            precision=configuration.precision,
            channels_last=configuration.channels_last,
            compiled_batch=configuration.batch_size if configuration.compiled else 0,
        )

    def _take_copy(self) -> None:
        """Copy the model; results of ``probe`` for an earlier copy are forgotten."""
        network: Any = self._given
        copied, self._snapshot = False, None
        if isinstance(self._given, nn.Module):
            network, copied = private_copy(self._given, self.device)
            self._snapshot = Snapshot(self._given, network)
        self._subject = Subject(
            network,
            is_module=self._snapshot is not None,
            copied=copied,
            tensors=self._snapshot.tensors if self._snapshot else 0,
            device=self.device,
            precision=self.precision,
            channels_last=self._channels_last,
        )
        self._engine: Engine | None = None
        self._reach = 0.0
        self._threads: bool | None = None
        self._compiled: Network | None = None
        self._compiled_batch = self._asked_compiled_batch if copied else 0
        self._batches = itertools.count(1)

    def follow(self) -> bool:
        """Copy the user's module again if it has changed; return whether it has: ``probe`` is then due."""
        if self._snapshot is None or self._snapshot.matches(self._given):  # type: ignore[arg-type]
            return False
        self.changes += 1
        self._take_copy()
        return True

    def prepare(self, x: torch.Tensor, beta: float = 0.0, batch_size: int = _USUAL_BATCH) -> int:
        """Copy a changed module, ``probe`` if that or the inputs need it; return the number of classes.

        Raises:
            ModelError: as ``probe``.
        """
        if self.follow() or self._engine is None or _reach(x, beta) > _FARTHER * self._reach:
            return self.probe(x, beta, batch_size)
        return self._engine.classes

    def probe(self, x: torch.Tensor, beta: float = 0.0, batch_size: int = _USUAL_BATCH) -> int:
        """Return the number of classes after checking the model on noisy copies of the inputs ``x``.

        ``beta`` is the noise that votes are counted under, ``batch_size`` how many copies at a time. A
        callable that is no module is checked on a batch of at most 32.

        Raises:
            ModelError: an output that is not (batch, classes) for batches of several sizes, that is NaN
                without noise, that changes when it is computed again, or with the company of an input.
        """
        x = x.to(self.device, torch.float32)
        largest = _LARGEST_BATCH if self._subject.is_module else _LARGEST_BATCH_OF_A_CALLABLE
        size = min(max(_LEAST_BATCH, batch_size), largest)
        with full_precision(self.device), torch.inference_mode(), self._lock:
            clean = torch.stack([x[0], x[x.flatten(1).norm(dim=1).argmax()]])
            while True:
                rows = _noisy(clean, beta, size)
                try:
                    engine = measured_engine(self._subject, rows, len(clean))
                    break
                except torch.OutOfMemoryError:
                    if size <= _LEAST_BATCH:
                        raise
                    size = max(_LEAST_BATCH, size // 2)
            if self._engine is not None:  # of other inputs
                engine = replace(self._engine, margin=max(self._engine.margin, engine.margin))
            self._engine = engine
            self._rows = rows[-2 * _ALONE :]
            self._reach = max(self._reach, _reach(x, beta))
        return engine.classes

    def _probe_once(self, x: torch.Tensor) -> None:
        if self._engine is None:
            with self._lock:
                self.probe(x)

    @property
    def _ready(self) -> Engine:
        assert self._engine is not None
        return self._engine

    def runs_in_threads(self) -> bool:
        """Return whether several threads may compute classes at once; warn once if not.

        A callable that is no module, or a module that cannot be copied in full, is computed by one thread.
        """
        with self._lock:
            if self._threads is None:
                reason = self._why_one_thread()
                self._threads = reason is None
                if reason:
                    warnings.warn(f"votes are counted by one thread: {reason}", stacklevel=7)
        return self._threads

    def _why_one_thread(self) -> str | None:
        if not self._subject.copied:
            return "the model cannot be copied for each thread"
        forward, layout = self._ready.forward, self._ready.layout
        first, second = (Asked(replica(forward), self._subject.dtype, layout) for _ in range(2))
        with full_precision(self.device), torch.inference_mode():
            return interference(first, second, self._rows[:_ALONE], self._rows[_ALONE:])

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers of the model itself to the batch: (batch, classes), float32.

        Raises:
            SfumatoError: as ``clear_classes``.
        """
        with full_precision(self.device), torch.inference_mode():
            return self._run(partial(self._through, self._own_forward()), x.to(self.device))

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
        self._probe_once(x)
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
        """Refuse logits that differ from those that decide near ties by more than the margin allows for."""
        some = (torch.arange(min(_CHECKED_INPUTS, len(x)), device=x.device) * 13 + number) % len(x)
        found = logits[some].double()
        with self._lock:
            exact = self._run(self._ready.exact, x[some]).double()
            if not torch.equal(found.isnan(), exact.isnan()):  # float64 overflows later
                exact = self._run(partial(one_at_a_time, self._subject.network), x[some]).double()
        far = (found - exact).abs().nan_to_num(0.0, 0.0, 0.0)
        far = far.masked_fill(found.isnan() != exact.isnan(), torch.inf).amax(dim=1)
        if (far > margin[some].nan_to_num() / 2).any():
            raise ModelError(
                f"the model is not a fixed function: the logits of a noisy input in a batch of {len(x)} "
                f"and alone differ by {float(far.max()):.2g}, which is more than rounding"
            )

    @torch.inference_mode()
    def near_tie_classes(self, x: torch.Tensor) -> torch.Tensor:
        """Return the class of each input by the computation that does not depend on the batch.

        Raises:
            SfumatoError: as ``clear_classes``.
        """
        self._probe_once(x)
        engine = self._ready
        with self._lock:  # one network for all threads, which may keep values in itself
            logits = self._run(engine.exact, x)
        # argmax alone may return any of several equal maxima
        ties = logits >= logits.amax(dim=1, keepdim=True) - engine.tie
        return ties.to(torch.uint8).argmax(dim=1).masked_fill_(logits.isnan().any(dim=1), INVALID)

    def _run(self, forward: Network, x: torch.Tensor) -> torch.Tensor:
        try:
            return forward(x)
        except (torch.OutOfMemoryError, MemoryError, *PASSED_ON):
            raise
        except BaseException as error:  # whatever a user's forward pass may raise
            if is_lack_of_memory(error):
                raise torch.OutOfMemoryError(first_line(error)) from error
            raise SfumatoError(
                f"the model failed on {len(x)} noisy copies on {self.device} ({said(error)})"
            ) from error

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        if self._compiled_batch and len(x) == self._compiled_batch:
            if self._compiled is None:
                self._compile(x)
            if self._compiled is not None:
                return self._through(self._compiled, x)
        return self._through(self._own_forward(), x)

    def _own_forward(self) -> Network:
        """Return the calling thread's own copy of the fast form: a network may keep values in itself."""
        forward = self._ready.forward
        if not self._subject.copied:
            return forward
        made_of, own = getattr(self._local, "forward", (None, None))
        if made_of is not forward or own is None:
            with self._lock:
                own = replica(forward)
            self._local.forward = forward, own
        return own  # type: ignore[no-any-return]

    def _through(self, forward: Network, x: torch.Tensor) -> torch.Tensor:
        engine = self._ready
        given = x.clone() if engine.in_place else x
        version = None if given.is_inference() else given._version
        logits: torch.Tensor = answer_of(forward, self._laid_out(given))
        if not engine.in_place and version is not None and given._version != version:
            raise ModelError("the model changes its input at times; let it work on a copy (x.clone())")
        require_form(logits, len(x), engine.classes, engine.answers)
        return logits.to(dtype=torch.float32, device=x.device)

    def _laid_out(self, x: torch.Tensor) -> torch.Tensor:
        layout = self._ready.layout if x.dim() == 4 else torch.preserve_format
        return x.to(dtype=self._subject.dtype, memory_format=layout)

    @property
    def compiled(self) -> bool:
        """Whether full batches go through a compiled twin by now."""
        return self._compiled is not None

    def _compile(self, x: torch.Tensor) -> None:
        """Compile the network for batches like ``x`` and for the calling thread's number of threads.

        Where that cannot be, or gives other logits, it is said once and done without.
        """
        with self._lock:
            forward = self._ready.forward
            if self._compiled is None and self._compiled_batch and isinstance(forward, nn.Module):
                try:
                    compiled = compiled_network(forward, self._laid_out(x))
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


def _noisy(x: torch.Tensor, beta: float, size: int) -> torch.Tensor:
    """Return the inputs, followed by noisy copies of them: ``size`` rows in all.

    Without noise to come, noise of the inputs' own spread: company that differs.
    """
    copies = x[torch.arange(size - len(x)) % len(x)]
    noise = torch.empty(copies.shape)
    Stream(Use.PROBES, 0, Span(0)).normal(noise, beta or float(x.std()) or 1.0)
    return torch.cat([x, copies + noise.to(x.device)])


def _reach(x: torch.Tensor, beta: float) -> float:
    """Return the largest norm to be expected of a noisy copy of these inputs."""
    flat = x.flatten(1)
    return math.hypot(float(flat.norm(dim=1).max()), beta * math.sqrt(flat.shape[1]))
