"""Calling a model the way it is written: tensors bound to field names by the model's own parameter names."""

import copy
import inspect
import typing
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields.declared import under_layout_names, under_own_names
from geoequiv.fields.differentiating import called
from geoequiv.fields.graphs import is_graph, with_fields
from geoequiv.fields.outputs import model_name, name_outputs
from geoequiv.fields.signature import LAYOUT_ROLES, Signature

#: arguments that say how a batch is laid out
LAYOUT_NAMES = ("batch", "mask", "edge_index")


@dataclass(frozen=True, eq=False)
class BoundCall:
    """One call of a model, its arguments by field name.

    Args:
        function: what is called.
        fields: field name → value, in the order of the call; or the dict or PyG object that holds them all.
        slots: field name → the parameter that holds it, and the key or position in it for ``**`` and ``*``.
        bound: the arguments as they came.
        container: the name of the parameter that takes a dict or a PyG object, if one does.
        signature: of the model; tensors that it declares to be edges, a batch index or a mask have these names among
            the fields, and their own in the call.
    """

    function: Callable[..., Any]
    fields: Any
    slots: Mapping[str, tuple[str, str | int | None]]
    bound: inspect.BoundArguments
    container: str | None
    signature: Signature

    @classmethod
    def bind(
        cls, function: Callable[..., Any], signature: Signature, args: tuple, kwargs: Mapping[str, Any]
    ) -> "BoundCall":
        """Name the arguments of a call that is written as the model is.

        A parameter that bears a field's name holds that field; the names of ``**kwargs`` count as parameters, and
        ``*args`` take the signature's inputs in order. If no parameter bears the name of any input, the first
        parameters take the inputs in order (``forward(self, x)`` with ``"pos: point -> …"``). A PyG object, or a dict
        that holds all inputs, stands for its entries. A mask or batch index that the model has no parameter for is a
        field and is not passed on.

        Raises:
            SignatureError: if some of the inputs cannot be found among the arguments.
        """
        check_batch_first(function)
        written = signature_of(function)
        parameters = written.parameters
        names = list(signature.inputs)
        if not args and set(names) <= set(kwargs) and takes_mapping(parameters, names):
            args, kwargs = (dict(kwargs),), {}
        field_of = positional_names(parameters, names)
        parameter_of = {field: parameter for parameter, field in field_of.items()}
        kwargs = {parameter_of.get(key, key): value for key, value in kwargs.items()}
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        kept_back = ("mask", "batch", *(name for name, role in signature.names if role in ("mask", "~mask", "batch")))
        unseen = {} if takes_all else {n: kwargs[n] for n in kept_back if n in kwargs and n not in parameters}
        kwargs = {key: value for key, value in kwargs.items() if key not in unseen}
        try:
            bound = written.bind(*args, **kwargs)
        except TypeError as error:
            raise SignatureError(f"{model_name(function)} cannot be called this way: {error}.") from None
        container = next((p for p, value in bound.arguments.items() if is_container(value, parameters[p], names)), None)
        if container is not None:
            check_alone(function, container, bound)
            held = bound.arguments[container]
            held = held[0] if isinstance(held, tuple) else held
            held = held if is_graph(held) else under_layout_names(held, signature)
            return cls(function, held, {}, bound, container, signature)
        fields: dict[str, Any] = dict(unseen)
        slots: dict[str, tuple[str, str | int | None]] = {}
        for parameter, value in bound.arguments.items():
            kind = parameters[parameter].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                for key, entry in value.items():
                    fields[key], slots[key] = entry, (parameter, key)
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                left = [name for name in names if name not in fields and name not in kwargs]
                for i, (name, entry) in enumerate(zip(left, value, strict=False)):
                    fields[name], slots[name] = entry, (parameter, i)
            else:
                name = field_of.get(parameter, parameter)
                fields[name], slots[name] = value, (parameter, None)
        missing = [name for name in names if name not in fields]
        if missing:
            raise SignatureError(
                f"The signature's input '{missing[0]}' is not among the arguments of {model_name(function)}: "
                f"{unknown('argument', missing[0], [n for n in fields if n != 'self'])}"
            )
        fields = dict(under_layout_names(fields, signature))
        own_name = {role.removeprefix("~"): name for name, role in signature.names if role in LAYOUT_ROLES}
        slots = {place_of(name, signature): slot for name, slot in slots.items()}
        batch = own_name.get("batch", "batch")
        if batch in parameters and fields.get("batch") is None:
            slots["batch"] = (batch, None)
        return cls(function, fields, slots, bound, None, signature)

    @classmethod
    def named(cls, function: Callable[..., Any], signature: Signature, inputs: Any) -> "BoundCall":
        """The call of a model with inputs that have names.

        Args:
            inputs: a PyG object, which is passed whole; or a mapping, of which the model gets the signature's inputs
                and what else it has parameters for (the whole mapping, where it takes a dict).

        Raises:
            SignatureError: the model takes neither the names nor the number of the inputs, or has no parameter for the
                ``mask`` or ``batch`` that the inputs hold.
        """
        if is_graph(inputs):
            return cls.bind(function, signature, (inputs,), {})
        names = list(signature.inputs)
        absent = [name for name in names if name not in inputs]
        if absent:
            raise SignatureError(
                f"The signature's input '{absent[0]}' is not among the inputs {sorted(map(str, inputs))}."
            )
        parameters = parameters_of(function)
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        as_dict = takes_mapping(parameters, names)
        inputs = under_own_names(inputs, signature, lambda name: takes_all or as_dict or name in parameters)
        if as_dict:
            return cls.bind(function, signature, (inputs,), {})
        extra = {
            name: value for name, value in inputs.items() if name not in names and (takes_all or name in parameters)
        }
        for name in ("batch", "mask"):
            if inputs.get(name) is not None and name not in extra:
                raise SignatureError(
                    f"The inputs hold a '{name}', but {model_name(function)} has no parameter of that name."
                )
        if not takes_all and set(names) & set(parameters) and not set(names) <= set(parameters):
            missing = next(name for name in names if name not in parameters)
            raise SignatureError(f"{model_name(function)}: {unknown('parameter', missing, parameters)}")
        if takes_all or set(names) <= set(parameters) or positional_names(parameters, names):
            return cls.bind(function, signature, (), {**{name: inputs[name] for name in names}, **extra})
        return cls.bind(function, signature, tuple(inputs[name] for name in names), extra)

    def __call__(self, fields: Any = None) -> Any:
        """Call the model, with other values for the fields if some are given."""
        arguments = dict(self.bound.arguments)
        if fields is not None and self.container is not None:
            held = fields if is_graph(fields) else under_own_names(self.with_values(fields), self.signature)
            arguments[self.container] = (held,) if isinstance(arguments[self.container], tuple) else held
        elif fields is not None:
            for name, (parameter, key) in self.slots.items():
                if name not in fields:
                    continue
                value = fields[name]
                if value is not None and is_padding(key if isinstance(key, str) else parameter, self.signature):
                    value = ~value
                if key is None:
                    arguments[parameter] = value
                elif isinstance(key, str):
                    arguments[parameter] = {**arguments[parameter], key: value}
                else:
                    entries = arguments[parameter]
                    arguments[parameter] = (*entries[:key], value, *entries[key + 1 :])
        ready = inspect.BoundArguments(self.bound.signature, arguments)
        return self.function(*ready.args, **ready.kwargs)

    def with_values(self, fields: Mapping[str, Any]) -> Any:
        """The fields with some values replaced, in the form that the model takes: a dict, or a PyG object."""
        if is_graph(self.fields):
            return with_fields(self.fields, fields)
        if type(self.fields) is dict or not isinstance(self.fields, MutableMapping):
            return {**self.fields, **fields}
        changed = copy.copy(self.fields)
        changed.update(fields)
        return changed


def call_model(function: Callable[..., Any], signature: Signature, inputs: Any) -> dict[str, Tensor]:
    """Call a model with named inputs and name its outputs.

    Where gradients are off, a model that differentiates inside has them on for the call (see ``called``).

    Args:
        function: a module or function that takes the inputs by name, in the signature's order, as a dict or as a PyG
            object.
        inputs: see ``BoundCall.named``.

    Returns:
        Output name → tensor.

    Raises:
        SignatureError: the model cannot be called with these inputs.
        ModelOutputError: what it returns does not fit the signature.
    """
    call = BoundCall.named(function, signature, inputs)
    named = name_outputs(signature, called(function, call, call.fields, call.with_values), function)
    if torch.is_grad_enabled():
        return named
    # what has no graph stays as it is: detaching it would take the derivative of forward mode away
    return {name: value.detach() if value.requires_grad else value for name, value in named.items()}


#: modules of torch that can take the batch second
SEQUENCE_MODULES = (
    nn.Transformer, nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer, nn.MultiheadAttention, nn.RNNBase,
)  # fmt: skip


def check_batch_first(function: Callable[..., Any]) -> None:
    """Raise SignatureError for a module of torch that takes ``[nodes, batch, …]``: items would be taken for nodes."""
    if not isinstance(function, SEQUENCE_MODULES):
        return
    part = next(each for each in function.modules() if hasattr(each, "batch_first"))
    if not part.batch_first:
        raise SignatureError(
            f"{type(function).__name__} takes [nodes, batch, channels] and not [batch, nodes, channels]: build it with "
            "batch_first=True, or permute the axes in a module of your own."
        )


def place_of(name: str, signature: Signature) -> str:
    """The name that a tensor has among the fields: that of the layout, if it is declared to be a part of it."""
    role = dict(signature.names).get(name, name)
    return role.removeprefix("~") if role in LAYOUT_ROLES else name


def is_padding(name: str, signature: Signature) -> bool:
    """Whether an argument is declared to be a mask of padding."""
    return dict(signature.names).get(name) == "~mask"


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Python's signature of a callable; of ``forward`` for a module.

    Raises:
        SignatureError: it is a built-in such as ``torch.sin``, which has none.
    """
    try:
        return inspect.signature(function.forward if isinstance(function, nn.Module) else function)
    except (ValueError, TypeError) as error:
        raise SignatureError(
            f"{model_name(function)} has no parameters that Python can tell the names of. "
            "Wrap it: lambda pos: f(pos), with the names of the signature's inputs."
        ) from error


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Parameters of a callable; of ``forward`` for a module."""
    return signature_of(function).parameters


def plain_names(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Names of the parameters besides ``self``, ``*args`` and ``**kwargs``."""
    return [
        name for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) and name != "self"
    ]


def required_names(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Those of them that have no default."""
    return [name for name in plain_names(parameters) if parameters[name].default is inspect.Parameter.empty]


def positional_names(parameters: Mapping[str, inspect.Parameter], names: list[str]) -> dict[str, str]:
    """Parameter → field, for a callable whose parameters bear none of the fields' names and that takes as many."""
    plain = plain_names(parameters)
    required = required_names(parameters)
    if set(names) & set(plain):
        return {}
    if len(required) < len(names):
        if any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
            return {}  # **fields takes them by name
        required = [name for name in plain if name not in LAYOUT_NAMES][: len(names)]
    return dict(zip(required, names, strict=True)) if len(required) == len(names) else {}


def takes_mapping(parameters: Mapping[str, inspect.Parameter], names: list[str]) -> bool:
    """Whether a callable takes its inputs as one dict: its one argument is declared so, or is all it has."""
    required, plain = required_names(parameters), plain_names(parameters)
    if len(required) != 1 or set(names) & set(parameters) or set(parameters) - {"self", *plain}:
        return False
    annotation = parameters[required[0]].annotation
    if annotation is inspect.Parameter.empty:
        return len(names) > 1 and len(plain) == 1
    origin = typing.get_origin(annotation) or annotation
    if isinstance(origin, str):
        return origin.split("[")[0].rpartition(".")[2] in ("dict", "Dict", "Mapping", "MutableMapping")
    return isinstance(origin, type) and issubclass(origin, Mapping)


def is_container(value: object, parameter: inspect.Parameter, names: list[str]) -> bool:
    """Whether an argument is a PyG object, or a dict of the inputs, or ``*args`` that hold one alone."""
    if parameter.kind is parameter.VAR_POSITIONAL and isinstance(value, tuple):
        return len(value) == 1 and is_container(value[0], parameter.replace(kind=parameter.POSITIONAL_ONLY), names)
    if is_graph(value):
        return True
    return parameter.kind is not parameter.VAR_KEYWORD and isinstance(value, Mapping) and all(n in value for n in names)


def check_alone(function: Callable[..., Any], container: str, bound: inspect.BoundArguments) -> None:
    """Raise SignatureError if a tensor stands beside the dict or PyG object: it would not be seen."""
    for name, value in bound.arguments.items():
        if name != container and isinstance(value, Tensor) and value.ndim:
            raise SignatureError(
                f"{model_name(function)} takes its inputs as one '{container}', but is also given a tensor '{name}', "
                f"which would not be transformed or repeated with them: put it into '{container}'."
            )
