"""Networks compiled by ``torch.compile``, so that many of them can be compiled in one process.

PyTorch keeps what it has compiled by the function that is called, eight variants at most; then it gives up
and runs the plain network, which only a log says. Wrapped the usual way all networks call one function. Here
each structure and kind of batch has a function of its own: networks that differ in their weights alone share
what was compiled, others do not count against each other, and where PyTorch gives up it is an error. Weights
are arguments of what was compiled, never frozen into it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from types import CodeType
from typing import Any

import torch
from torch import nn

_MOST_KEPT = 64


def compiled_network(network: nn.Module, x: torch.Tensor) -> Callable[[torch.Tensor], Any]:
    """Return the network compiled for batches like ``x`` and the calling thread's number of threads.

    Raises:
        Exception: whatever the compiler does, as where there is no C++ compiler; the network was compiled in
            too many variants.
    """

    def call(x: torch.Tensor) -> Any:
        return network(x)

    batch = (tuple(x.shape), x.stride(), x.dtype, x.device)
    threads = torch.get_num_threads()
    call.__code__ = _own_code(call.__code__, repr(network), batch, threads)
    compiled = torch.compile(call, dynamic=False, options={"cpp.threads": threads})
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        compiled(x)
    return compiled


@functools.lru_cache(maxsize=_MOST_KEPT)
def _own_code(code: CodeType, structure: str, batch: Hashable, threads: int) -> CodeType:
    """Return a copy of the code, another one for other arguments: PyTorch counts by the code object."""
    return code.replace()
