"""Whether modules may be fused into one computation, or must be called one by one."""

from torch import nn

from geoequiv.models.layers.pairs import PairLinear

#: modules that are a formula of their weights
PLAIN = {PairLinear, nn.Linear, nn.SiLU, nn.Sequential}


def can_fuse(*parts: nn.Module | None) -> bool:
    """Whether these modules and their submodules are plain: no hooks, no replaced submodules.

    Code that reads weights without calling a module, or overwrites the output of one, checks this first and else calls
    every module: hooks then see the tensors of the equations, and pruning, weight norm, adapters and quantised layers
    take effect. Global hooks do not count (PyTorch's FLOP counter is one, and counts what runs).

    Args:
        parts: modules; None for an absent one.
    """
    for part in parts:
        if part is None:
            continue
        hooked = part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
        if hooked or type(part) not in PLAIN or not can_fuse(*part._modules.values()):
            return False
    return True
