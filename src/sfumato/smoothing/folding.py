"""Batch norms made part of the convolutions before them, where that is proven to be the same function.

In exact arithmetic a batch norm in evaluation mode is one product and one sum per channel, which the
convolution's weights can take over. The proof is the graph that ``torch.fx`` traces, so nothing may happen
beside the graph: no hook, no parametrisation, no ``forward`` or ``__call__`` of an instance's own.
"""

from __future__ import annotations

import copy
from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.nn.utils.parametrize import is_parametrized


def with_folded_batch_norms(model: nn.Module) -> nn.Module:
    """Return the model with every batch norm right behind a convolution made part of it, in a copy.

    The model is in evaluation mode. One without batch norms, or for which folding is not proven to be the
    same function, is returned as it is.
    """
    modules = list(model.modules())
    if not any(type(module) is nn.BatchNorm2d for module in modules):
        return model
    if any(map(does_more_than_its_class_says, modules)):
        return model
    try:
        traced = fx.symbolic_trace(copy.deepcopy(model))
    except Exception:  # control flow that depends on values, or anything else a user's model may do
        return model
    nodes = traced.graph.nodes
    calls = [node for node in nodes if node.op == "call_module"]
    uses = Counter(id(traced.get_submodule(str(node.target))) for node in calls)
    read = {id(traced.get_submodule(str(n.target).rpartition(".")[0])) for n in nodes if n.op == "get_attr"}
    for norm_call in calls:
        before = norm_call.args[0] if norm_call.args else None
        if not isinstance(before, fx.Node) or before.op != "call_module" or len(before.users) > 1:
            continue
        norm = traced.get_submodule(str(norm_call.target))
        convolution = traced.get_submodule(str(before.target))
        if (
            type(norm) is not nn.BatchNorm2d
            or norm.running_mean is None
            or type(convolution) is not nn.Conv2d
        ):
            continue
        # a convolution with another use, or whose weights the graph reads as well, keeps its weights
        if uses[id(convolution)] > 1 or id(convolution) in read:
            continue
        traced.set_submodule(str(before.target), fuse_conv_bn_eval(convolution, norm))
        norm_call.replace_all_uses_with(before)
        traced.graph.erase_node(norm_call)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def does_more_than_its_class_says(module: nn.Module) -> bool:
    """Return whether calling the module runs code that tracing does not see or sees only once."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or is_parametrized(module)
        or "forward" in vars(module)
        or type(module).__call__ is not nn.Module.__call__
    )
