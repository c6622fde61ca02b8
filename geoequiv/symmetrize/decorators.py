"""Averaging by decoration: classes, instances, functions and methods."""

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn

from geoequiv.fields import Signature
from geoequiv.groups import Group
from geoequiv.groups import group as group_by_name
from geoequiv.symmetrize.forces import check_forces, has_to_be_checked
from geoequiv.symmetrize.frames import Frame, GroupFrame
from geoequiv.symmetrize.frames.by_name import FrameSpec, frame_by_name
from geoequiv.symmetrize.frames.options import Degenerate
from geoequiv.symmetrize.frames.parameters import with_parameters
from geoequiv.symmetrize.symmetrizer import Symmetrizer, averaging, check, symmetrize
from geoequiv.symmetrize.wrappers import given

Target = TypeVar("Target")


def group_averaging(
    signature: str | Signature,
    group: str | Group,
    num_samples: int | None = None,
    chunk: int | None = None,
    generator: torch.Generator | None = None,
    quadrature: int | None = None,
    subgroup: str | Group | None = None,
    names: Mapping[str, str] | None = None,
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
    return decorator(Signature.parse(signature, names), lambda: frame, chunk)


def frame_averaging(
    signature: str | Signature,
    group: str | Group = "E(3)",
    frame: FrameSpec = "pca",
    chunk: int | None = None,
    degenerate: Degenerate | None = None,
    tolerance: float | None = None,
    frame_from: Sequence[str] | None = None,
    names: Mapping[str, str] | None = None,
) -> Callable[[Target], Target]:
    """Decorate a module class, a module, a function or a method with frame averaging.

    Args: as for ``FrameAveraging``. Returns: as for ``group_averaging``. Each instance of a class that is decorated
    with a learned frame gets a network of its own, ``frame``; a function has no place for one.
    """
    options = given(degenerate=degenerate, tolerance=tolerance, frame_from=frame_from)
    make = functools.partial(frame_by_name, frame, group_by_name(group), **options)
    return decorator(Signature.parse(signature, names), make, chunk)


def decorator(signature: Signature, make: Callable[[], Frame], chunk: int | None) -> Callable[[Any], Any]:
    """The decorator that averages over a frame; ``make`` gives a new one where a frame learns."""
    frame = with_parameters(make())
    check(signature, frame, chunk)

    def decorate(target: Any) -> Any:
        if isinstance(target, nn.Module):
            return Symmetrizer(target, signature, frame, chunk)
        learns = isinstance(frame, nn.Module)
        if inspect.isclass(target):
            if not issubclass(target, nn.Module):
                raise TypeError(f"Only nn.Module classes can be decorated, {target.__name__} is none.")
            if learns:
                setattr(target, "__init__", with_own_frame(target.__init__, make))  # noqa: B010
            target.forward = averaged(target.forward, signature, None if learns else frame, chunk)
            return target
        if not callable(target):
            raise TypeError(f"A module class, a module, a function or a method can be decorated; got {target!r}.")
        if learns:
            raise TypeError("A learned frame has parameters of its own: decorate a module, or use FrameAveraging.")
        return averaged(target, signature, frame, chunk)

    return decorate


def with_own_frame(init: Callable[..., None], make: Callable[[], Frame]) -> Callable[..., None]:
    """The constructor of a module class that ends by giving the module a frame."""

    @functools.wraps(init)
    def wrapper(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if hasattr(self, "frame"):
            raise TypeError(f"{type(self).__name__} has an attribute 'frame': there its learned frame would be.")
        own = copy.deepcopy(with_parameters(make()))
        assert isinstance(own, nn.Module)
        self.frame = own

    return wrapper


def averaged(
    function: Callable[..., Any], signature: Signature, frame: Frame | None, chunk: int | None
) -> Callable[..., Any]:
    """A function or method averaged over a frame; a method of a module knows from it whether it is training.

    Args:
        frame: ``None`` is that of the module whose method it is.
    """
    forces_open = True

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        nonlocal forces_open
        training = bool(args) and isinstance(args[0], nn.Module) and args[0].training
        chosen = args[0].frame if frame is None else frame
        if forces_open and has_to_be_checked(signature, chosen):
            forces_open = not check_forces(
                function, averaging(function, signature, chosen, chunk), signature, args, kwargs
            )
        return symmetrize(function, signature, chosen, args, kwargs, training=training, chunk=chunk)

    return wrapper
