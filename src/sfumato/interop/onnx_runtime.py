"""ONNX models, computed by ONNX Runtime.

The fingerprint is the checksum of the file and of the files that its weights are kept in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sfumato.errors import MissingPackageError, ModelError
from sfumato.interop.fixed_batches import in_batches
from sfumato.models.classifier import Classifier
from sfumato.models.outputs import understood
from sfumato.user_code import failure_line

if TYPE_CHECKING:
    import onnxruntime

_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
}
# How protobuf writes the entry that names a file of weights beside the model: {key: "location", value: NAME}.
_BESIDE = re.compile(rb"\n\x08location\x12([\x01-\x7f])", re.DOTALL)


def from_onnx(
    model: Path | str | bytes | onnxruntime.InferenceSession,
    *,
    input: str | None = None,
    output: str | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> Classifier:
    """Return the classifier of an ONNX model: a file, its content, or a session.

    It takes one input of floating point numbers. A fixed batch size is kept to. Its fingerprint is the
    checksum of the model; a session has none.

    Args:
        model: the model; a session keeps its own providers.
        input: the name of the input, where there are several and the others have initial values.
        output: the name of the output that has the logits. Not needed where there is one output, or one
            with two axes (batch, classes) of floating point numbers.
        providers: what computes, as ONNX Runtime names them.

    Raises:
        ModelError: no such file, not an ONNX model, or inputs and outputs that leave a choice.
        MissingPackageError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise MissingPackageError(
            "ONNX models need ONNX Runtime: pip install onnxruntime (onnxruntime-gpu for CUDA)"
        ) from None
    if isinstance(model, onnxruntime.InferenceSession):
        return Classifier("ONNX session", _OnnxModel(model, input, output))
    if isinstance(model, bytes):
        name, fingerprint = "ONNX model", hashlib.sha256(model).hexdigest()
    else:
        name, fingerprint = str(model), _checksum(Path(model))
    try:
        source = model if isinstance(model, bytes) else str(model)
        session = onnxruntime.InferenceSession(source, providers=list(providers))
    except Exception as error:  # ONNX Runtime has its own exceptions for every kind of damage
        raise ModelError(f"{name}: not an ONNX model that can be run ({failure_line(error)})") from error
    return Classifier(name, _OnnxModel(session, input, output), fingerprint=fingerprint)


class _OnnxModel:
    """From a batch to the logits; in another process the session is opened anew from the same model."""

    def __init__(self, session: Any, input: str | None, output: str | None) -> None:
        self._session = session
        inputs = [one for one in session.get_inputs() if input in (None, one.name)]
        if len(inputs) != 1:
            names = ", ".join(one.name for one in session.get_inputs())
            raise ModelError(f"an ONNX model must have one input, got {names}; name it with input=")
        if inputs[0].type not in _TYPES:
            raise ModelError(f"an ONNX model must take floating point numbers, got {inputs[0].type}")
        self._input, self._dtype = inputs[0].name, _TYPES[inputs[0].type]
        batch = inputs[0].shape[0] if inputs[0].shape else None
        self._batch = batch if isinstance(batch, int) and batch > 0 else None
        self._output = _output(session.get_outputs(), output)

    def __call__(self, x: torch.Tensor) -> Any:
        return in_batches(self._ask, x.to("cpu", self._dtype), self._batch or 1, self._batch)

    def _ask(self, x: torch.Tensor) -> Any:
        (answer,) = self._session.run([self._output], {self._input: x.numpy()})
        return understood(answer)

    def __getstate__(self) -> dict[str, Any]:
        kept = self.__dict__ | {"_session": None, "_providers": self._session.get_providers()}
        path, content = self._session._model_path, self._session._model_bytes
        return kept | {"_source": path or content}

    def __setstate__(self, state: dict[str, Any]) -> None:
        import onnxruntime

        self.__dict__.update(state)
        self._session = onnxruntime.InferenceSession(state["_source"], providers=state["_providers"])


def _output(outputs: Sequence[Any], wanted: str | None) -> str:
    """Return the name of the output that has the logits."""
    names = ", ".join(one.name for one in outputs)
    if wanted is not None:
        if wanted not in [one.name for one in outputs]:
            raise ModelError(f"the ONNX model has no output {wanted!r}; it has {names}")
        return wanted
    scores = [one for one in outputs if one.type in _TYPES and len(one.shape or ()) == 2]
    fitting = outputs if len(outputs) == 1 else scores
    if len(fitting) != 1:
        raise ModelError(f"the ONNX model has the outputs {names}; name that of the logits with output=")
    return str(fitting[0].name)


def _checksum(path: Path) -> str:
    """Return the checksum of the model and of the files with its weights."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({failure_line(error)})") from error
    digest = hashlib.sha256(content)
    beside = {
        content[found.end() : found.end() + content[found.end() - 1]] for found in _BESIDE.finditer(content)
    }
    for name in sorted(beside):
        weights = path.parent / name.decode(errors="replace")
        if weights.is_file():
            with weights.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
