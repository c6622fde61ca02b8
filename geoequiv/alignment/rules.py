"""The rule of each operation for labels (see ``labels``)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from geoequiv.alignment.labels import (
    NOT_FLIPPED,
    NOT_SCALED,
    ONLY_ORDER,
    Layers,
    Ledger,
    tensors_in,
    thin,
    varies,
)
from geoequiv.errors import AlignmentError

aten = torch.ops.aten

#: reshape or slice: applied to the layers as they are
STRUCTURAL = {
    aten.view, aten._unsafe_view, aten.reshape, aten.transpose, aten.permute, aten.t, aten.slice, aten.select,
    aten.unbind, aten.split, aten.split_with_sizes, aten.expand, aten.unsqueeze, aten.squeeze, aten.index_select,
    aten.clone, aten.alias, aten.detach, aten.contiguous, aten.repeat, aten.flip, aten.roll, aten.unfold,
    aten.diagonal, aten.as_strided, aten.movedim, aten.narrow, aten.chunk, aten.unsafe_split, aten.unsafe_chunk,
    aten._reshape_alias, aten.constant_pad_nd, aten.lift_fresh, aten.view_as,
}  # fmt: skip
JOINING = {aten.cat, aten.stack}
#: make a tensor of the shape of another, whatever its values
BLANK = {
    aten.zeros_like, aten.ones_like, aten.empty_like, aten.full_like, aten.new_zeros, aten.new_ones, aten.new_full,
    aten.new_empty, aten.rand_like, aten.randn_like,
}  # fmt: skip
REDUCING = {
    aten.sum, aten.mean, aten.amax, aten.amin, aten.var, aten.std, aten.linalg_vector_norm, aten.logsumexp, aten.prod,
}  # fmt: skip
POOLING = {
    aten.max_pool2d_with_indices, aten.avg_pool2d, aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d,
    aten.max_pool3d_with_indices, aten.avg_pool3d, aten._adaptive_avg_pool3d, aten.upsample_nearest2d,
    aten.upsample_bilinear2d,
}  # fmt: skip
SOFTMAX = {aten._softmax, aten._log_softmax, aten._safe_softmax, aten.softmax}
ALONG = {aten.cumsum, aten.sort, aten.topk, aten.cummax, aten.cumprod}
#: elementwise, but not marked as such in torch
UNMARKED = {aten.copy_, aten.hardswish, aten.hardswish_}
#: elementwise and linear: what may be done to units stays; any other elementwise operation only allows permutations
LINEAR = {aten.add, aten.sub, aten.neg, aten.mul, aten.div, aten._to_copy, aten.masked_fill, aten.where, aten.copy}
POSITIVE = {aten.relu, aten.leaky_relu, aten.prelu, aten._prelu_kernel}
EVEN = {aten.abs, aten.square, aten.cos, aten.cosh}
ODD = {aten.tanh, aten.sin, aten.asinh, aten.atan, aten.erf, aten.sinh}


class Unexplained(Exception):
    """An operation has no rule; the tracer adds the name of the module."""


def pointwise(ledger: Ledger, op: Any, args: Sequence[Any], out: Tensor, known: Callable[[Tensor], Layers]) -> Layers:
    """An elementwise operation: units that meet are one; a tensor without units must not distinguish them."""
    found = [(tensor, [layer.expand(out.shape) for layer in known(tensor)]) for tensor in tensors_in(args)]
    labelled = [(tensor, layers) for tensor, layers in found if layers]
    every = [layer for _, layers in labelled for layer in layers]
    for tensor, own in found:
        whole = tensor.expand(out.shape)
        for layer in every:
            axes = [dim for dim in range(out.ndim) if varies(layer, dim)]
            differing = [dim for dim in axes if varies(whole, dim) and not any(varies(other, dim) for other in own)]
            settled = ledger.settled(layer) if differing else layer
            differing = [dim for dim in differing if varies(settled, dim)]
            if differing and any(varies(other, dim) for other in own for dim in axes):
                for dim in differing:
                    ledger.colour(layer, dim)
            elif differing:
                ledger.fix(layer)
    alone = [layers[0] for _, layers in labelled if len(layers) == 1]
    if op in (aten.mul, aten.div) and len(alone) == len(labelled) == 2 and ledger.relation(*alone) == "same":
        return [ledger.multiply(*alone)]
    if op in EVEN or (op is aten.pow and not isinstance(args[1], Tensor) and args[1] % 2 == 0):
        return [ledger.multiply(layer, layer) for layer in every]
    bits = limits(op, args, len(labelled))
    for layer in every:
        ledger.limit(layer, bits)
    return ledger.join(every)


def limits(op: Any, args: Sequence[Any], labelled: int) -> int:
    """What may not be done to units because of an elementwise operation, as bits."""
    if op in (aten.add, aten.sub):
        plain = any(not isinstance(arg, Tensor) and arg for arg in args[:2])
        return ONLY_ORDER if plain or labelled < sum(isinstance(arg, Tensor) for arg in args[:2]) else 0
    if op in (aten.mul, aten.div):
        return 0 if labelled == 1 and isinstance(args[0], Tensor) else ONLY_ORDER
    if op in (aten.masked_fill, aten.where):
        return 0 if op is aten.masked_fill and not isinstance(args[2], Tensor) and args[2] == 0 else ONLY_ORDER
    if op in LINEAR:
        return 0
    if op in POSITIVE:
        return ONLY_ORDER & ~NOT_SCALED
    return ONLY_ORDER & ~NOT_FLIPPED if op in ODD else ONLY_ORDER


def contract(ledger: Ledger, a: Tensor, b: Tensor, layers_a: Layers, layers_b: Layers, out: Tensor) -> Layers:
    """``a @ b`` of ``[..., m, k]`` and ``[..., k, n]``: units along k are contracted (inverse to each other)."""
    layers_a, layers_b = batch_kept(ledger, layers_a, layers_b, b), batch_kept(ledger, layers_b, layers_a, a)
    along_a = [layer for layer in layers_a if varies(layer, -1)]
    along_b = [layer for layer in layers_b if varies(layer, -2)]
    one_kind(ledger, layers_a, along_a)
    one_kind(ledger, layers_b, along_b)
    kept = [layer[..., :1].expand(out.shape) for layer in layers_a if not any(layer is other for other in along_a)]
    kept += [layer[..., :1, :].expand(out.shape) for layer in layers_b if not any(layer is other for other in along_b)]
    if along_a and along_b:
        one = along_a[0] if varies(along_a[0], -2) else along_a[0][..., :1, :]  # [..., m, k]
        two = along_b[0].mT if varies(along_b[0], -1) else along_b[0][..., :1].mT  # [..., n, k]
        ledger.unify(one.unsqueeze(-2), two.unsqueeze(-3), -1)
        if any(varies(along_a[0], dim) for dim in range(out.ndim - 1)):
            kept.append(ledger.block(along_a[0], [out.ndim - 1]).expand(out.shape))
    elif along_a or along_b:
        layer, other, axis = (along_a[0], b, -2) if along_a else (along_b[0], a, -1)
        if varies(other, axis):
            ledger.fix(layer)
        else:
            ledger.limit(layer, ONLY_ORDER)
            kept.append(ledger.block(layer, [out.ndim - 1 if along_a else out.ndim - 2]).expand(out.shape))
    return ledger.join(kept)


def but_zeros(layers: Layers, others: Layers, values: Tensor) -> Layers:
    """Layers of a summand: a zero without a label takes that of the others."""
    nothing = values == 0
    for other in others[:1]:
        layers = [torch.where((layer == 0) & nothing, other, layer) for layer in layers]
    return layers


def one_kind(ledger: Ledger, layers: Layers, along: Layers) -> None:
    """Where a contracted axis has units of several kinds (an outer product), fix all but the most numerous."""
    while len(along) > 1:
        rarest = min(along, key=lambda layer: len(thin(layer).unique()))
        ledger.fix(rarest)
        for each in (layers, along):
            each[:] = [layer for layer in each if layer is not rarest]


def batch_kept(ledger: Ledger, layers: Layers, others: Layers, other: Tensor) -> Layers:
    """The layers of a factor without units along a batch axis that each meet other values of the other factor."""
    kept = []
    for layer in layers:
        batch = [dim for dim in range(layer.ndim - 2) if varies(layer, dim)]
        if any(varies(other, dim) and not any(varies(each, dim) for each in others) for dim in batch):
            ledger.fix(layer)
        else:
            kept.append(layer)
    return kept


def reduce(ledger: Ledger, layers: Layers, dims: list[int]) -> Layers:
    """Reduce units along some axes, in any order: layers of length 1 along them."""
    kept = []
    for layer in layers:
        if any(varies(layer, dim) for dim in dims):
            layer = ledger.settled(layer)
        if any(varies(layer, dim) for dim in dims):
            ledger.limit(layer, ONLY_ORDER)
            kept.append(ledger.block(layer, dims))
        else:
            for dim in dims:
                layer = layer.narrow(dim, 0, 1)
            kept.append(layer)
    return ledger.join(kept)


def drop_single(layers: Layers) -> Layers:
    """Without single blocks: there is nothing to permute them with."""
    return [layer for layer in layers if any(varies(layer, dim) for dim in range(layer.ndim))]


def convolve(ledger: Ledger, args: Sequence[Any], out: Tensor, known: Callable[[Tensor], Layers]) -> Layers:
    """A convolution: channels are contracted with the second axis of the filters, the first axis stays."""
    values, filters, bias, *_ = args
    transposed, groups = args[6], args[8]
    if transposed and groups > 1:
        raise Unexplained("transposed convolutions in groups have no rule")
    pixels = [layer for layer in known(filters) if any(varies(layer, dim) for dim in range(2, layer.ndim))]
    for layer in pixels:
        ledger.fix(layer)
    kinds = [layer for layer in known(filters) if not any(layer is other for other in pixels)]
    if transposed:  # [in, out, …]
        kinds = [layer.transpose(0, 1) for layer in kinds]
    rows = split_rows([layer for layer in kinds if not varies(layer, 1)], 0)
    # [out, in], and not one line: filters that are tied to each other differ in the order of their columns
    columns = [layer.flatten(2)[..., 0] for layer in kinds if varies(layer, 1)]
    channels = known(values)
    if any(varies(layer, dim) for layer in channels for dim in range(layer.ndim) if dim != 1):
        raise Unexplained("units lie along the pixels")
    shape = (1, -1, *(1,) * (out.ndim - 2))
    kept = [line.reshape(shape).expand(out.shape) for line in rows]
    if bias is not None:
        kept += [layer.reshape(shape).expand(out.shape) for layer in known(bias)]
    if groups == 1:
        meet(ledger, [layer.select(0, 0).flatten(1)[:, 0] for layer in channels], columns)
    elif groups == values.shape[1] == out.shape[1]:
        for layer in columns:
            ledger.fix(layer)
        for layer in channels:
            ledger.limit(layer, ONLY_ORDER)
        kept += [layer.select(0, 0).flatten(1)[:, 0].reshape(shape).expand(out.shape) for layer in channels]
        if not channels:
            for layer in kept:
                ledger.fix(layer)
    else:
        for layer in (*channels, *columns, *kept):
            ledger.fix(layer)
    return ledger.join(kept)


def split_rows(layers: Layers, axis: int) -> Layers:
    """The layers of weights that vary along one axis, as vectors."""
    return [layer.movedim(axis, 0).flatten(1)[:, 0] for layer in layers if varies(layer, axis)]


def meet(ledger: Ledger, features: Layers, columns: Layers) -> None:
    """Features ``[k]`` are multiplied with columns ``[k]`` or ``[n, k]`` and summed."""
    for column in columns:
        if not features:
            ledger.fix(column)
        for feature in features:
            ledger.unify(feature, column, -1)
    if not columns:
        for feature in features:
            ledger.fix(feature)


def normalise(
    ledger: Ledger, values: Tensor, dims: list[int], weights: Sequence[Tensor | None], known: Callable[[Tensor], Layers]
) -> Layers:
    """A norm over some axes, then weights along the last of them: units keep only their permutations."""
    layers = known(values)
    kept = list(layers)
    for layer in layers:
        ledger.limit(layer, ONLY_ORDER)
    blocks = drop_single(reduce(ledger, layers, dims))
    kept += [block.expand(values.shape) for block in blocks]
    for weight in weights:
        for layer in known(weight) if weight is not None else ():
            if not any(varies(found, values.ndim - 1) for found in layers):
                ledger.fix(layer)
            kept.append(layer.expand(values.shape))
    return ledger.join(kept)


def along_channels(ledger: Ledger, values: Tensor, weights: Sequence[Tensor | None], known: Any) -> Layers:
    """Batch norm: every per-channel tensor meets the channels of the values."""
    shape = (1, -1, *(1,) * (values.ndim - 2))
    kept = list(known(values))
    lines = [layer for weight in weights if weight is not None for layer in known(weight)]
    if not kept:
        for layer in lines:
            ledger.fix(layer)
    kept += [layer.reshape(shape).expand(values.shape) for layer in lines]
    for layer in kept:
        ledger.limit(layer, ONLY_ORDER)
    return ledger.join(kept)


def gather(ledger: Ledger, values: Tensor, dim: int, index: Tensor, out: Tensor, known: Any) -> Layers:
    """Each unit looks up its own numbers along an axis without units."""
    chosen = list(known(index))
    for layer in known(values):
        axes = [axis for axis in range(out.ndim) if varies(layer, axis)]
        if dim % out.ndim in axes:
            raise Unexplained("it selects units by their index")
        if any(varies(index, axis) for axis in axes) and not chosen:
            ledger.fix(layer)
        chosen.append(layer.narrow(dim, 0, 1).expand(out.shape))
    for layer in chosen:
        ledger.limit(layer, ONLY_ORDER)
    return ledger.join(chosen)


def written_in_place(op: Any, args: Sequence[Any]) -> Tensor | None:
    """The tensor that an operation writes its result into, if that is its first argument."""
    first = op._schema.arguments[0] if op._schema.arguments else None
    if first is None or not args or first.alias_info is None or not first.alias_info.is_write:
        return None
    return args[0] if isinstance(args[0], Tensor) else None


def replay(op: Any, args: Any, kwargs: Any, known: Callable[[Tensor], Layers]) -> list[Any]:
    """A structural operation applied to each layer of its first tensor (joining ones: of all)."""
    if op.overloadpacket in (aten.view, aten._unsafe_view, aten._reshape_alias):
        op, args, kwargs = aten.reshape, args[:2], {}  # repeated labels have strides of their own
    counts = [len(known(tensor)) for tensor in tensors_in(args)]
    done = []
    for i in range(max(counts, default=0)):

        def swap(leaf: Any, i: int = i) -> Any:
            if not isinstance(leaf, Tensor) or not (leaf.is_floating_point() or known(leaf)):
                return leaf
            layers = known(leaf)
            return layers[i] if i < len(layers) else torch.zeros(leaf.shape, dtype=torch.int64)

        done.append(op(*tree_map(swap, args), **kwargs))
    return done


def refuse(op: Any, where: str, why: str) -> AlignmentError:
    """The error for an operation without a rule."""
    return AlignmentError(
        f"Layer '{where or 'the network itself'}' uses {op}, which has no rule for permuting units: {why}. "
        "Write the layer with linear maps, convolutions, norms, elementwise functions, sums, pooling or attention."
    )
