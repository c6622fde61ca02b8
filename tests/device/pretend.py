"""A pretend accelerator: CPU memory that torch takes for another device, which counts what a real one would wait for.

    with Pretend() as device:
        model, inputs = model.to("pretend"), inputs.to("pretend")
        device.reset()
        model(inputs)
    device.round_trips, device.places

It is torch's PrivateUse1, renamed: operations on it are intercepted, computed by the CPU kernels and wrapped again. An
operation that has tensors of both devices is a `RuntimeError`, as on a GPU, except for the numbers (tensors without
axes) that torch takes from the CPU. A copy between host and device is a transfer; an operation whose result the host
has to know, such as `item()`, `bool()`, `nonzero()` or an index by a mask, is a synchronisation. Time, memory, streams
and kernels that a real device lacks are not imitated.
"""

import traceback
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretend"
DEVICE = f"{NAME}:0"
ROOT = Path(__file__).parents[2]

aten = torch.ops.aten
#: what the host has to know the result of before it goes on
WAITS = {
    aten._local_scalar_dense, aten.is_nonzero, aten.equal, aten.nonzero, aten.masked_select, aten._unique2,
    aten.unique_dim, aten.unique_consecutive, aten.allclose, aten.nonzero_numpy,
    aten.bincount,
}  # fmt: skip
INDEXING = {aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_}
COPIES = {aten._to_copy, aten.copy_, aten.copy}

_setup_privateuseone_for_python_backend(NAME)


class PretendTensor(torch.Tensor):
    """A tensor whose device is the pretend one and whose numbers are held in a CPU tensor."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Self:
        """Wrap a tensor of the CPU."""
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=DEVICE, requires_grad=False,
        )  # fmt: skip
        made.held = held
        return made  # type: ignore[no-any-return]

    def __repr__(self, **_: Any) -> str:  # printing is for people: it is not counted
        return f"PretendTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute outside the mode, too: the thread of the backward pass may have none."""
        return compute(func, args, kwargs or {}, None)


class Pretend(TorchDispatchMode):
    """Let "pretend" be a device for as long as the context lasts, and count what the host exchanges with it.

    Attributes:
        to_device, to_host: copies in each direction.
        waits: synchronisations.
        places: how often each line of the repository outside `tests/device` made one, "file:line operation".
    """

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        """Count from 0 again."""
        self.to_device = self.to_host = self.waits = 0
        self.places: Counter[str] = Counter()

    @property
    def round_trips(self) -> int:
        """Copies and synchronisations together: each makes host and device wait for each other."""
        return self.to_device + self.to_host + self.waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute, refuse or count an operation."""
        return compute(func, args, kwargs or {}, self)

    def count(self, kind: str, func: Any) -> None:
        """Count an event of a kind and note the line that made it."""
        setattr(self, kind, getattr(self, kind) + 1)
        ours = [
            frame for frame in traceback.extract_stack()
            if ROOT in (path := Path(frame.filename)).parents and path.parent != Path(__file__).parent
            and ".venv" not in path.parts
        ]  # fmt: skip
        place = f"{Path(ours[-1].filename).relative_to(ROOT)}:{ours[-1].lineno}" if ours else "elsewhere"
        self.places[f"{place} {func} {kind}"] += 1

    def __enter__(self) -> Self:
        super().__enter__()
        _below.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        _below.pop()
        super().__exit__(kind, value, trace)


def compute(func: Any, args: Any, kwargs: dict[str, Any], counts: Pretend | None) -> Any:
    """The result of an operation on the device that its tensors, or its `device` argument, name."""
    tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, torch.Tensor)]
    there = [each for each in tensors if isinstance(each, PretendTensor)]
    here = [each for each in tensors if not isinstance(each, PretendTensor)]
    asked = kwargs.get("device")
    target = None if asked is None else torch.device(asked).type
    packet = func.overloadpacket
    if packet in COPIES:
        goes = there if packet is aten._to_copy else [args[0]] if isinstance(args[0], PretendTensor) else []
        result_there = target == NAME if target is not None else bool(goes)
        source_there = isinstance(args[0 if packet is aten._to_copy else 1], PretendTensor)
        if counts is not None and result_there != source_there:
            counts.count("to_device" if result_there else "to_host", func)
    else:
        # an index may lie on the host: torch copies it, and a GPU waits
        strays = [each for each in here if each.dim() > 0]
        if there and strays and packet in INDEXING and all(not isinstance(each, PretendTensor) for each in args[1]):
            for _ in strays if counts is not None else ():
                counts.count("to_device", func)  # type: ignore[union-attr]
        elif there and strays:
            raise RuntimeError(f"{func} got tensors of two devices: {DEVICE} and cpu, shapes "
                               f"{[tuple(each.shape) for each in tensors]}.")  # fmt: skip
        result_there = bool(there) or target == NAME
        masks = packet in INDEXING and any(
            isinstance(each, torch.Tensor) and each.dtype in (torch.bool, torch.uint8) for each in args[1]
        )
        if counts is not None and there and (packet in WAITS or masks):
            counts.count("waits", func)
    if target == NAME:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    held_args, held_kwargs = tree_map(lambda each: each.held if isinstance(each, PretendTensor) else each,
                                      (args, kwargs))  # fmt: skip
    result = func(*held_args, **held_kwargs)
    if packet is aten.copy_:
        return args[0]
    if not result_there:
        return result
    wrapped = tree_map(lambda each: PretendTensor(each) if type(each) is torch.Tensor else each, result)
    return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped


#: the mode that counts, for copies that torch makes below the interception (a Python list as an index)
_below: list[Pretend] = []
_library = torch.library.Library("aten", "IMPL")


def _empty_strided(size: Any, stride: Any, dtype: Any = None, **_: Any) -> torch.Tensor:
    """Memory of the pretend device, asked for below the interception."""
    return PretendTensor(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source: torch.Tensor, target: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    """A copy below the interception."""
    to_device = isinstance(target, PretendTensor)
    if to_device != isinstance(source, PretendTensor):
        for counts in _below[-1:]:
            counts.count("to_device" if to_device else "to_host", "below")
    held = target.held if isinstance(target, PretendTensor) else target
    held.copy_(source.held if isinstance(source, PretendTensor) else source)
    return target


_library.impl("empty_strided", _empty_strided, "PrivateUse1")
_library.impl("_copy_from", _copy_from, "PrivateUse1")
