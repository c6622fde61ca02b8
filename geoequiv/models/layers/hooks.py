"""Whether the parts of a model may be computed together, or somebody expects each of them to be called."""

from torch import nn

from geoequiv.models.layers.pairs import PairLinear

#: what is its weights and a formula, so that weights can be read instead
PLAIN = {PairLinear, nn.Linear, nn.SiLU, nn.Sequential}


def can_fuse(*parts: nn.Module | None) -> bool:
    """Whether these modules and all in them are as they were built: no hooks, nothing put in their place.

    What reads weights without calling a module, or writes over what a module returned, asks this first and calls every
    part where it is not so: then listeners hear what the equations say, and pruning, weight norm, adapters and
    quantised layers act. Global hooks do not count (PyTorch's counter of operations is one, and is to count what runs).

    Args:
        parts: modules, or None for one that the model does without.
    """
    for part in parts:
        if part is None:
            continue
        hooked = part._forward_hooks or part._forward_pre_hooks or part._backward_hooks or part._backward_pre_hooks
        if hooked or type(part) not in PLAIN or not can_fuse(*part._modules.values()):
            return False
    return True
