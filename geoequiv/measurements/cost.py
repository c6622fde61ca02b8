"""What a model costs on any machine: parameters, floating-point operations, bytes kept for the backward pass."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from geoequiv.fields import Signature, call_model
from geoequiv.measurements.batches import first_items
from geoequiv.measurements.measurement import Measured, Reading, Subject


@dataclass(frozen=True)
class Cost:
    """Of one sample.

    Args:
        params: trainable parameters (of the model).
        forward: operations of a forward pass.
        backward: operations of the backward pass to the parameters.
        saved_bytes: bytes that autograd keeps between the two, each piece of memory once, parameters not counted.
    """

    params: int
    forward: float
    backward: float
    saved_bytes: float


def multiply_add(into: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Operations of ``addcmul``: a multiplication and an addition an element."""
    return 2 * torch.Size(into).numel()


def cost(model: nn.Module, signature: Signature | str, inputs: Mapping[str, Tensor], samples: int) -> Cost:
    """Count one forward and one backward pass.

    Args:
        model: a model; counted in the mode that it is in (a frame average may take fewer frames in training).
        signature: of its inputs and outputs.
        inputs: one batch.
        samples: clouds in it; operations and bytes are divided by this.

    Returns:
        The cost of a sample.

    Exactness: counts matrix products, and multiply-adds of slabs (``addcmul``, GATr's products on a CPU), as two
    operations an element of the sum. Elementwise functions, gathers and norms are not counted, for no model. Attention
    is counted as the matrix products it stands for, whatever kernel runs it otherwise.
    """
    signature = Signature.parse(signature)
    kept: dict[int, int] = {}
    own = {each.untyped_storage().data_ptr() for each in (*model.parameters(), *model.buffers(), *inputs.values())}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    mapping = {torch.ops.aten.addcmul_: multiply_add, torch.ops.aten.addcmul: multiply_add}
    with sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        call_model(model, signature, inputs)  # lazy parameters take their shapes, caches fill
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs = call_model(model, signature, inputs)
        total = of_squares(outputs)
        with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
            call_model(model, signature, inputs)
        forward = counter.get_total_flops()
        trainable = [each for each in model.parameters() if each.requires_grad]
        backward = counted_backward(total, trainable, mapping)
        if backward is None:
            with in_training(model):
                total = of_squares(call_model(model, signature, inputs))
            backward = counted_backward(total, trainable, mapping) or 0
    return Cost(trainable_parameters(model), forward / samples, backward / samples, sum(kept.values()) / samples)


def of_squares(outputs: Mapping[str, Tensor]) -> Tensor:
    """A single number that depends on all outputs."""
    return torch.stack([values.square().sum() for values in outputs.values()]).sum()


def counted_backward(total: Tensor, trainable: list[nn.Parameter], mapping: dict[Any, Any]) -> int | None:
    """Operations of a backward pass; ``None`` if the model has freed its graph, as potentials do in evaluation mode."""
    if not trainable:
        return 0
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        try:
            torch.autograd.grad(total, trainable, allow_unused=True)
        except RuntimeError as error:
            if "a second time" not in str(error):
                raise
            return None
    return counter.get_total_flops()


@contextmanager
def in_training(model: nn.Module) -> Iterator[None]:
    """The model in training mode, in which a potential keeps its graph."""
    modes = [(part, part.training) for part in model.modules()]
    model.train()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def parameters(subject: Subject) -> Measured:
    """The number of trainable parameters, "params"."""
    return Measured({"params": Reading(trainable_parameters(subject.model))})


def trainable_parameters(model: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)


def operations(subject: Subject) -> Measured:
    """Floating-point operations of one test item in evaluation mode: "flops/forward" and "flops/backward" (to the
    parameters).
    """
    model, task = subject.model, subject.task
    was_training = model.training
    model.eval()
    batch = first_items(task.splits["test"], 2, model)
    counted = cost(model, task.signature, batch, min(2, len(task.splits["test"])))
    model.train(was_training)
    return Measured(
        {"flops/forward": Reading(counted.forward), "flops/backward": Reading(counted.backward)}
    )  # fmt: skip
