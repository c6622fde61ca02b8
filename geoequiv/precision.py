"""The precisions that a training computes in, what each needs of a device, and the settings of torch for it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from geoequiv.errors import ConfigError, RunError, unknown

if TYPE_CHECKING:
    import torch
    from torch import nn

#: "32": all in float32. "bf16-mixed", "16-mixed": the model's products in bfloat16 or float16, its weights and the
#: losses in float32. "64": all in float64.
Precision = Literal["32", "bf16-mixed", "16-mixed", "64"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
#: precision → name of the dtype that the model's products are computed in
MIXED = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}
#: whether products and convolutions of float32 may be rounded to TF32 on a GPU
TF32 = False
#: what torch says of a kernel that is not deterministic
ALERT = " does not have a deterministic implementation"


def check_precision(precision: str, device: str) -> None:
    """Make sure that a kind of device computes in a precision.

    Args:
        precision: one of `PRECISIONS`.
        device: its type, such as "cpu".

    Raises:
        ConfigError: there is no such precision, or the device lacks it; says which to take.
    """
    if precision not in PRECISIONS:
        raise ConfigError(unknown("precision", precision, PRECISIONS))
    if precision == "64" and device == "mps":
        raise ConfigError("Precision 64 needs float64, which mps has not. Take --device cpu or cuda, or precision 32.")
    if precision == "16-mixed" and device == "cpu":
        raise ConfigError("Precision 16-mixed needs a GPU: on a cpu, take bf16-mixed.")


@contextmanager
def arithmetic(precision: str, device: "torch.device", deterministic: bool = True) -> Iterator[None]:
    """Set torch for a precision as long as the context lasts: for the building of a model and all that it computes.

    Products and convolutions of float32 are not rounded to TF32 (see `TF32`). New tensors are float64 where the
    precision is 64.

    Args:
        precision: one of `PRECISIONS`.
        device: that is computed on.
        deterministic: on a GPU, whether only deterministic kernels are allowed; a CPU's are.

    Raises:
        ConfigError: the device lacks this precision.
        RunError: a kernel is not deterministic, although it should be; names it.
    """
    import torch

    check_precision(precision, device.type)
    cuda: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    before = torch.get_default_dtype(), cuda.allow_tf32, cudnn.allow_tf32
    with _deterministic(deterministic and device.type == "cuda", device):
        if precision == "64":
            torch.set_default_dtype(torch.float64)
        cuda.allow_tf32 = cudnn.allow_tf32 = TF32
        try:
            yield
        finally:
            torch.set_default_dtype(before[0])
            cuda.allow_tf32, cudnn.allow_tf32 = before[1:]


@contextmanager
def _deterministic(wanted: bool, device: "torch.device") -> Iterator[None]:
    """Allow deterministic kernels only."""
    import torch

    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts; without it, it may not
    before = torch.are_deterministic_algorithms_enabled()
    debugging: Any = torch.utils.deterministic  # a module whose attribute is a property, which its stub lacks
    fill = debugging.fill_uninitialized_memory
    debugging.fill_uninitialized_memory = False  # costs time and is for debugging
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        kernel, alert, _ = str(error).partition(ALERT)
        if alert:
            raise RunError(
                f"The kernel '{kernel.split()[-1]}' is not deterministic on {device}, so that a run could not be "
                "repeated bit for bit. Train on a cpu, or set `train: {deterministic: false}`."
            ) from error
        if "CUBLAS_WORKSPACE_CONFIG" in str(error):
            raise RunError(
                "cuBLAS is not deterministic with the environment variable CUBLAS_WORKSPACE_CONFIG="
                f"{os.environ['CUBLAS_WORKSPACE_CONFIG']}. Unset it or set it to ':4096:8', or set "
                "`train: {deterministic: false}`."
            ) from error
        raise
    finally:
        torch.use_deterministic_algorithms(before)
        debugging.fill_uninitialized_memory = fill


@contextmanager
def casting(model: "nn.Module | Callable[..., Any]", precision: str) -> Iterator[None]:
    """Let a model compute in a mixed precision for as long as the context lasts.

    Only the model does: the group elements that its inputs are transformed by, and metrics of what it returns, are
    as precise as ever. What it returns in half precision is returned in float32.

    Args:
        model: whose calls are cast, on the device of its weights.
        precision: one of `PRECISIONS`; 32 and 64 change nothing.

    Raises:
        ConfigError: the model is no module, so that its calls cannot be intercepted; its device lacks this precision.
    """
    if precision not in MIXED:
        check_precision(precision, "")
        yield
        return
    import torch

    if not isinstance(model, torch.nn.Module):
        raise ConfigError(f"Precision {precision} needs an nn.Module; the model is a {type(model).__name__}.")
    device = next((each.device.type for each in model.parameters()), "cpu")
    check_precision(precision, device)
    dtype, entered = getattr(torch, MIXED[precision]), []

    def enter(*_: Any) -> None:
        inside = ExitStack()
        inside.enter_context(torch.autocast(device, dtype=dtype))
        entered.append(inside)

    def leave(_module: Any, _inputs: Any, outputs: Any) -> Any:
        entered.pop().close()
        return _single(outputs)

    handles = [
        model.register_forward_pre_hook(enter, prepend=True),
        model.register_forward_hook(leave, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _single(outputs: Any) -> Any:
    """Tensors in half precision as float32, in dicts, lists and tuples as well."""
    import torch

    if isinstance(outputs, torch.Tensor):
        return outputs.float() if outputs.dtype in (torch.bfloat16, torch.float16) else outputs
    if isinstance(outputs, dict):
        return {name: _single(each) for name, each in outputs.items()}
    if isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        return type(outputs)(*map(_single, outputs))
    if isinstance(outputs, list | tuple):
        return type(outputs)(map(_single, outputs))
    return outputs
