"""Runs a network once and follows the labels of its weights through every operation."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from geoequiv.alignment import rules
from geoequiv.alignment.labels import (
    NOT_MIXED,
    NOT_SCALED,
    ONLY_ORDER,
    Layers,
    Ledger,
    tensors_in,
    varies,
    varying_axes,
)
from geoequiv.alignment.rules import Unexplained, aten
from geoequiv.alignment.traced import Inputs, Tap, Trace, call


@contextmanager
def open_transformers() -> Iterator[None]:
    """Run torch's own transformer layers operation by operation instead of fused."""
    former = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(former)


def trace(
    model: nn.Module, inputs: Inputs, labels: Mapping[str, Tensor] | None = None, cuts: Collection[str] = ()
) -> Trace:
    """Follow the weights of a network through one call in evaluation mode.

    Args:
        inputs: a small batch: a dict of named inputs, a tuple of them, or one tensor. At least two items and, for
            clouds, different numbers in them: units with equal values cannot be distinguished.
        labels: name of an input → its layer, of labels 1 … k, to be followed as well.
        cuts: names of modules that act along their last axis: their outputs are new units.

    Raises:
        AlignmentError: an operation without a rule; names it and its layer.
    """
    tracer = Tracer(model, cuts)
    for name, layer in (labels or {}).items():
        tracer.ledger.count = max(tracer.ledger.count, int(layer.max()) + 1)
        assert isinstance(inputs, Mapping)
        tracer.keep(inputs[name], [layer])
    modes = [(part, part.training) for part in model.modules()]
    try:
        model.eval()
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            stack.enter_context(open_transformers())
            stack.enter_context(tracer.watching(model))
            stack.enter_context(tracer)
            outputs = call(model, inputs)
    finally:
        for part, mode in modes:
            part.training = mode
    found = [(tensor, tracer.known(tensor)) for tensor in tensors_in(outputs)]
    for layer in (layer for _, layers in found for layer in layers):
        tracer.ledger.fix(layer)
        tracer.ledger.limit(layer, ONLY_ORDER)
    return Trace(tracer.ledger, tracer.axes, tracer.aliases, tracer.taps, found, tracer.cuts)


class Tracer(TorchDispatchMode):
    """Intercepts every operation below autograd."""

    def __init__(self, model: nn.Module, cuts: Collection[str] = ()) -> None:
        super().__init__()
        self.cuts: dict[str, tuple[Tensor, Tensor] | None] = dict.fromkeys(cuts)
        self.asleep = 0
        self.ledger = Ledger()
        self.names: dict[int, str] = {}
        self.aliases: dict[str, list[str]] = {}
        for name, tensor in model.state_dict(keep_vars=True).items():  # a wrapper's keys are those of the model inside
            if id(tensor) in self.names:
                self.aliases.setdefault(self.names[id(tensor)], []).append(name)
            else:
                self.names[id(tensor)] = name
        self.parameters = {id(tensor) for tensor in model.parameters()}
        self.axes: dict[tuple[str, int], Tensor] = {}
        self.taps: list[Tap] = []
        self.found: dict[int, tuple[Tensor, Layers]] = {}
        self.seen: set[int] = set()
        self.views: dict[int, tuple[Tensor, Tensor, Any]] = {}
        self.calls: dict[str, int] = {}
        self.stack: list[str] = []
        self.event = 0

    def known(self, tensor: Tensor, buffer: bool = False) -> Layers:
        """The layers of a tensor; a parameter gets new labels for each of its axes when it is first met."""
        if id(tensor) not in self.found:
            ours = id(tensor) in self.parameters or (buffer and id(tensor) in self.names)
            if not ours or not tensor.numel():
                return []
            name = self.names[id(tensor)]
            layers = []
            for axis, size in enumerate(tensor.shape):
                labels = self.axes[name, axis] = self.ledger.fresh(size)
                if size == 1:
                    self.ledger.fix(labels)  # a single unit: nothing to permute
                else:
                    shape = (-1, *(1,) * (tensor.ndim - axis - 1))
                    layers.append(labels.reshape(shape).expand(tensor.shape))
            self.found[id(tensor)] = (tensor, layers)
        return self.found[id(tensor)][1]

    def keep(self, tensor: Tensor, layers: Layers) -> None:
        """Store the layers of a tensor, and the tensor itself, so that its id is not reused."""
        self.found[id(tensor)] = (tensor, layers)

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Track the names of the modules that are being called, and note where units can be observed."""
        names = {id(module): name for name, module in model.named_modules()}

        def before(module: nn.Module, args: Any) -> None:
            self.stack.append(names[id(module)])
            self.asleep += self.whole(module, self.stack[-1])

        def after(module: nn.Module, args: Any, output: Any) -> None:
            name = self.stack.pop()
            if self.whole(module, name):
                self.asleep -= 1
                self.pass_through(name, next(tensors_in(args)), output)
            number = self.calls[name] = self.calls.get(name, -1) + 1
            for leaf, tensor in enumerate(tensors_in(output)):
                self.tap(name, number, leaf, tensor)

        hooks = []
        for module in model.modules():
            hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def whole(self, module: nn.Module, name: str) -> bool:
        """Whether a module is handled as a whole: those that are cut, and RMS norms without weights."""
        bare = isinstance(module, nn.RMSNorm) and module.weight is None and len(module.normalized_shape) == 1
        return name in self.cuts or bare

    def pass_through(self, name: str, values: Tensor, output: Tensor) -> None:
        """Set the layers of such a module's output."""
        layers = self.known(values)
        line = (
            layers[0].flatten(0, -2)[0] if len(layers) == 1 and varying_axes(layers[0]) == [values.ndim - 1] else None
        )
        if name not in self.cuts:
            for layer in layers:
                self.ledger.limit(layer, NOT_SCALED | NOT_MIXED if line is not None else ONLY_ORDER)
            if len(layers) > 1 or (layers and line is None):
                layers = rules.normalise(self.ledger, values, [values.ndim - 1], (), self.known)
            self.keep(output, layers)
            return
        fresh = self.ledger.fresh(values.shape[-1])
        if line is not None and self.cuts[name] is None:
            self.cuts[name] = (line.clone(), fresh)
        self.keep(output, [fresh.expand(output.shape)])

    def tap(self, name: str, number: int, leaf: int, tensor: Tensor) -> None:
        """Note an output whose units lie along one axis."""
        layers = self.known(tensor)
        if id(tensor) in self.seen or id(tensor) in self.parameters or len(layers) != 1:
            return
        self.seen.add(id(tensor))
        axes = varying_axes(layers[0])
        if len(axes) == 1:
            line = layers[0].movedim(axes[0], 0).flatten(1)[:, 0]
            rows = tensor.numel() // len(line)
            self.taps.append(Tap(name, number, leaf, axes[0] - tensor.ndim, line.clone(), rows))

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        """Do the operation, then its rule for the labels."""
        kwargs = kwargs or {}
        if self.asleep:
            return func(*args, **kwargs)
        written = rules.written_in_place(func, args)
        if written is not None:  # keep the former values
            args = (args[0].clone(), *args[1:])
            self.keep(args[0], self.known(written))
            out = func(written, *args[1:], **kwargs)
        else:
            out = func(*args, **kwargs)
        if func.overloadpacket in rules.STRUCTURAL:
            self.remember_views(func, args, kwargs, out)
        touched = [layer for tensor in tensors_in((args, kwargs)) for layer in self.known(tensor)]
        if not touched:
            return out
        self.event += 1
        for place, tensor in enumerate(tensors_in((args, kwargs))):
            for i, layer in enumerate(self.known(tensor)):
                self.ledger.touch(layer, hash((self.event, place, i)))
        try:
            self.explain(func, args, kwargs, out)
        except Unexplained as why:
            raise rules.refuse(func, self.stack[-1] if self.stack else "", str(why)) from None
        if written is not None and isinstance(out, Tensor):
            self.keep(written, self.known(out))
            self.write_back(written)
        return out

    def remember_views(self, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        """Note which tensors are views of another one, and of which part."""
        base = next(tensors_in(args))
        for i, tensor in enumerate(out if isinstance(out, (list, tuple)) else [out]):
            if tensor is not base and tensor.untyped_storage().data_ptr() == base.untyped_storage().data_ptr():

                def part(whole: Tensor, i: int = i) -> Tensor:
                    found = func(whole, *args[1:], **kwargs)
                    return found[i] if isinstance(found, (list, tuple)) else found

                self.views[id(tensor)] = (tensor, base, part)

    def write_back(self, view: Tensor) -> None:
        """Copy the layers of a view that was written in place to its base."""
        while id(view) in self.views:
            _, base, part = self.views[id(view)]
            layers = []
            for i, layer in enumerate(self.known(view)):
                old = self.known(base)[i : i + 1]
                whole = torch.zeros(base.shape, dtype=torch.int64)
                if old:
                    whole.copy_(old[0])
                part(whole).copy_(layer)
                layers.append(whole)
            self.keep(base, layers)
            view = base

    def explain(self, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> None:
        """Set the layers of an operation's output."""
        op, ledger, known = func.overloadpacket, self.ledger, self.known
        if op in rules.BLANK:
            return
        if op in rules.STRUCTURAL or op in rules.JOINING:
            parts = rules.replay(func, args, kwargs, known)
            for i, tensor in enumerate(out if isinstance(out, (list, tuple)) else [out]):
                here = [part[i] if isinstance(out, (list, tuple)) else part for part in parts]
                self.keep(tensor, [layer for layer in here if bool(layer.any())])
            return
        if op in (aten.mm, aten.bmm):
            a, b = args
            layers = rules.contract(ledger, a, b, known(a), known(b), out)
        elif op in (aten.addmm, aten.addmm_, aten.baddbmm, aten.baddbmm_):
            bias, a, b = args
            product = rules.contract(ledger, a, b, known(a), known(b), out)
            if kwargs.get("beta", 1) == 0:
                self.keep(out, product)
                return
            bias = self.grown(bias, out)
            if not known(bias) and varies(bias, out.ndim - 1):
                for layer in product:
                    ledger.fix(layer)
            layers = ledger.join([*product, *rules.but_zeros(known(bias), product, bias)])
        elif op is aten.addmv:
            bias, a, b = args
            columns = [layer.unsqueeze(-1) for layer in known(b)]
            product = rules.contract(ledger, a, b.unsqueeze(-1), known(a), columns, out.unsqueeze(-1))
            product = [layer.squeeze(-1) for layer in product]
            layers = ledger.join([*product, *rules.but_zeros(known(bias), product, bias)])
        elif op in (aten.mv, aten.dot):
            raise Unexplained("write it as a product of matrices")
        elif op is aten.convolution:
            layers = rules.convolve(ledger, args, out, known)
        elif op is aten.embedding:
            weight = args[0]
            rows = [layer for layer in known(weight) if varies(layer, 0)]
            for layer in rows:
                ledger.fix(layer)
            lines = rules.split_rows(known(weight), 1)
            layers = [line.expand(out.shape) for line in lines]
        elif op is aten.native_layer_norm:
            values, shape, weight, bias, _ = args
            if len(shape) != 1:
                raise Unexplained("layer norms over several axes have no rule")
            out, layers = out[0], rules.normalise(ledger, values, [values.ndim - 1], (weight, bias), known)
        elif op is aten.native_group_norm:
            out, layers = out[0], self.group_norm(args)
        elif op in (aten.native_batch_norm, aten._native_batch_norm_legit_no_training, aten.cudnn_batch_norm):
            values, *weights = args[:5]
            for buffer in weights:
                if buffer is not None:
                    self.known(buffer, buffer=True)
            out, layers = out[0], rules.along_channels(ledger, values, weights, known)
        elif op in rules.SOFTMAX:
            for layer in known(args[0]):
                ledger.limit(layer, ONLY_ORDER)
            blocks = rules.drop_single(rules.reduce(ledger, known(args[0]), [args[1] % out.ndim]))
            layers = ledger.join([*known(args[0]), *(block.expand(out.shape) for block in blocks)])
        elif op in rules.REDUCING:
            layers = self.reduced(op, func, args, kwargs, out)
        elif op in rules.POOLING:
            tensors = list(tensors_in(out))
            out, kept = tensors[0], known(args[0])
            pixels = range(2, out.ndim)
            if any(varies(layer, dim) for layer in kept for dim in pixels):
                raise Unexplained("units lie along the pixels")
            first = (slice(None), slice(None), *(slice(0, 1) for _ in pixels))
            layers = [layer[first].expand(out.shape) for layer in kept]
        elif op in (aten.index_add, aten.index_copy, aten.index_add_, aten.index_copy_):
            values, dim, _, source = args[:4]
            if any(varies(layer, dim) for layer in (*known(values), *known(source))):
                raise Unexplained("units lie along the axis that is added over")
            parts = [layer.narrow(dim, 0, 1).expand(out.shape) for layer in (*known(values), *known(source))]
            layers = ledger.join(parts)
        elif op is aten.index:
            layers = self.indexed(args, out)
        elif op is aten.gather:
            values, dim, index = args[:3]
            layers = rules.gather(ledger, values, dim, index, out, known)
        elif op is aten.glu:
            dim = args[1] if len(args) > 1 else -1
            halves = [half for layer in known(args[0]) for half in layer.chunk(2, dim)]
            for layer in halves:
                ledger.limit(layer, ONLY_ORDER)
            layers = ledger.join(halves)
        elif op in (aten.argmax, aten.argmin):
            layers = self.reduced(op, func, args, kwargs, out)
        elif op in rules.ALONG:
            tensors = list(tensors_in(out))
            dim = args[2] if op is aten.topk and len(args) > 2 else kwargs.get("dim", args[1] if len(args) > 1 else -1)
            if op is aten.topk or any(varies(layer, dim) for layer in known(args[0])):
                raise Unexplained("it sorts or accumulates over units")
            out, layers = tensors[0], known(args[0])
        elif torch.Tag.pointwise in func.tags or op in rules.LINEAR or op in rules.UNMARKED:
            layers = rules.pointwise(ledger, self.plain(op), [*args, *kwargs.values()], out, known)
        else:
            raise Unexplained("it has no rule")
        if isinstance(out, Tensor):
            self.keep(out, layers)

    @staticmethod
    def plain(op: Any) -> Any:
        """The operation that does not write in place."""
        name = op.__name__
        return getattr(aten, name[:-1], op) if name.endswith("_") and not name.startswith("_") else op

    def grown(self, bias: Tensor, out: Tensor) -> Tensor:
        """A bias broadcast to the output."""
        whole = bias.expand(out.shape)
        self.keep(whole, [layer.expand(out.shape) for layer in self.known(bias)])
        return whole

    def group_norm(self, args: tuple) -> Layers:
        """Channels are permuted within their group, and groups as blocks."""
        values, weight, bias, _, _, _, groups, _ = args
        kept = list(self.known(values))
        for layer in list(kept):
            self.ledger.limit(layer, ONLY_ORDER)
            apart = layer.unflatten(1, (groups, -1)).flatten(3) if layer.ndim > 2 else layer.unflatten(1, (groups, -1))
            block = self.ledger.block(apart, list(range(2, apart.ndim)))
            kept.append(block.expand(apart.shape).reshape(layer.shape))
        shape = (1, -1, *(1,) * (values.ndim - 2))
        lines = [layer for part in (weight, bias) if part is not None for layer in self.known(part)]
        if not kept:
            for line in lines:
                self.ledger.fix(line)
        return self.ledger.join([*kept, *(line.reshape(shape).expand(values.shape) for line in lines)])

    def reduced(self, op: Any, func: Any, args: tuple, kwargs: dict[str, Any], out: Any) -> Layers:
        """Sums, means, maxima and norms over axes."""
        values = args[0]
        given = {arg.name: value for arg, value in zip(func._schema.arguments, args, strict=False)} | kwargs
        dims = given.get("dim")
        dims = list(range(values.ndim)) if dims is None or dims == [] else dims
        dims = [dim % values.ndim for dim in ([dims] if isinstance(dims, int) else dims)]
        layers = self.known(values)
        if op is aten.linalg_vector_norm:
            layers = [self.ledger.multiply(layer, layer) for layer in layers]
        elif op not in (aten.sum, aten.mean):
            for layer in layers:
                self.ledger.limit(layer, ONLY_ORDER)
        if not isinstance(out, Tensor):
            raise Unexplained("it returns several tensors")
        kept = rules.reduce(self.ledger, layers, dims)
        if any(varies(layer, dim) for layer in layers for dim in dims):
            kept = rules.drop_single(kept)
        return [layer.reshape(out.shape) if layer.numel() == out.numel() else
                layer.squeeze(dims).expand(out.shape) for layer in kept]  # fmt: skip

    def indexed(self, args: tuple, out: Tensor) -> Layers:
        """``x[i, …]`` with tensors as indices."""
        values, indices = args
        return [aten.index(layer, indices) for layer in self.known(values)]
