"""Programs of ``torch.export``: a network as a graph, without the code that it came from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import torch

from sfumato.errors import ModelError
from sfumato.interop.fixed_batches import in_batches
from sfumato.models.checkpoint import weights_checksum
from sfumato.models.classifier import Classifier
from sfumato.models.outputs import understood

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def from_exported(program: ExportedProgram) -> Classifier:
    """Return the classifier of an exported program with one input, whose first axis is the batch.

    Export it in evaluation mode. A batch size that is fixed, or limited, is kept to. The fingerprint is the
    checksum of the graph and its weights. A file is opened by ``torch.export.load``, which unpickles: only do
    that with files that you trust.

    Raises:
        ModelError: not an exported program, or one with another number of inputs.
    """
    from torch.export import ExportedProgram

    if not isinstance(program, ExportedProgram):
        raise ModelError(
            f"an exported program is what torch.export.export or torch.export.load returns, got "
            f"{type(program).__name__}"
        )
    graph = program.graph_module
    named = {node.name: node for node in graph.graph.nodes}
    inputs = [named[name].meta["val"] for name in program.graph_signature.user_inputs if name in named]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or not inputs[0].dim():
        raise ModelError(f"an exported program must take one tensor, a batch; this one takes {len(inputs)}")
    held = {**program.state_dict, **program.constants}
    tensors = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
    fingerprint = hashlib.sha256(f"{graph.code}\n{weights_checksum(tensors)}".encode()).hexdigest()
    device = next((tensor.device for tensor in tensors.values()), torch.device("cpu"))
    module = program.module()

    def ask(x: torch.Tensor) -> Any:
        return understood(module(x))

    least, most = _batch_sizes(program, inputs[0].shape[0])

    def classify(x: torch.Tensor) -> Any:
        return in_batches(ask, x.to(device, inputs[0].dtype), least, most)

    return Classifier("exported program", classify, fingerprint=fingerprint)


def _batch_sizes(program: ExportedProgram, size: Any) -> tuple[int, int | None]:
    """Return the smallest and the largest batch that the program takes, None for any."""
    if isinstance(size, int):
        return size, size
    limits = program.range_constraints.get(size.node.expr)
    if limits is None:
        return 1, None
    limited = isinstance(limits.upper, int) or getattr(limits.upper, "is_Integer", False)  # not infinity
    return max(1, int(limits.lower)), int(limits.upper) if limited else None
