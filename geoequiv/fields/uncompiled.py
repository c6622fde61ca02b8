"""Functions that ``torch.compile`` leaves as they are."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def uncompiled(function: FunctionT) -> FunctionT:
    """Leave a function out of compiled graphs, silently: for what looks at the values of tensors.

    ``torch.compiler.disable`` does the same, but loads the compiler wherever a module is imported that uses it.
    """
    disabled: FunctionT = torch._disable_dynamo(function)  # type: ignore[attr-defined, assignment]
    return disabled
