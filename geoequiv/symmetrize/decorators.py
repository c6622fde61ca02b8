"""Averaging by decoration: classes, instances, functions and methods."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import nn

from geoequiv.fields import Signature
from geoequiv.groups import Group
from geoequiv.groups import group as group_by_name
from geoequiv.symmetrize.frames import Frame, GroupFrame, frame_by_name
from geoequiv.symmetrize.symmetrizer import Symmetrizer, symmetrize

Target = TypeVar("Target")


def group_averaging(
    signature: str | Signature,
    group: str | Group,
    num_samples: int | None = None,
    chunk: int | None = None,
    generator: torch.Generator | None = None,
    quadrature: int | None = None,
    subgroup: str | Group | None = None,
) -> Callable[[Target], Target]:
    """Decorate a module class, a module, a function or a method with averaging over a group.

    Args and exactness: as for ``GroupAveraging``.

    Returns:
        A decorator. Of a class: the class itself, its ``forward`` averaged (checkpoints keep their keys). Of a module:
        a ``Symmetrizer`` around it. Of a function or method: a function of the same signature.

    >>> @group_averaging("x: vector -> y: vector", "C4")
    ... def first_axis(x):
    ...     return x * x.new_tensor([1.0, 0.0, 0.0])
    """
    frame = GroupFrame(group_by_name(group), num_samples, generator, quadrature, subgroup)
    return decorator(Signature.parse(signature), frame, chunk)


def frame_averaging(
    signature: str | Signature,
    group: str | Group = "E(3)",
    frame: str | Frame = "pca",
    chunk: int | None = None,
    degenerate: Literal["enlarge", "error", "ignore"] = "enlarge",
    tolerance: float | None = None,
    frame_from: Sequence[str] | None = None,
) -> Callable[[Target], Target]:
    """Decorate a module class, a module, a function or a method with frame averaging.

    Args: as for ``FrameAveraging``. Returns: as for ``group_averaging``.
    """
    options: dict[str, Any] = {"degenerate": degenerate, "tolerance": tolerance}
    if frame_from is not None:
        options["frame_from"] = frame_from
    return decorator(Signature.parse(signature), frame_by_name(frame, group_by_name(group), **options), chunk)


def decorator(signature: Signature, frame: Frame, chunk: int | None) -> Callable[[Any], Any]:
    """The decorator that averages over a frame."""
    signature.check_group(frame.group)
    frame.check_inputs(signature.inputs)
    frame.check_outputs(signature.outputs)

    def decorate(target: Any) -> Any:
        if isinstance(target, nn.Module):
            return Symmetrizer(target, signature, frame, chunk)
        if isinstance(frame, nn.Module):
            raise TypeError("A learned frame has parameters of its own: decorate an instance, or use FrameAveraging.")
        if inspect.isclass(target):
            if not issubclass(target, nn.Module):
                raise TypeError(f"Only nn.Module classes can be decorated, {target.__name__} is none.")
            target.forward = averaged(target.forward, signature, frame, chunk)
            return target
        return averaged(target, signature, frame, chunk)

    return decorate


def averaged(function: Callable[..., Any], signature: Signature, frame: Frame, chunk: int | None) -> Callable[..., Any]:
    """A function or method averaged over a frame; a method of a module knows from it whether it is training."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        training = bool(args) and isinstance(args[0], nn.Module) and args[0].training
        return symmetrize(function, signature, frame, args, kwargs, training=training, chunk=chunk)

    return wrapper
