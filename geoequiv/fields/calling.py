"""Calling a model the way it is written: tensors bound to field names by the model's own parameter names."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from geoequiv.errors import ModelOutputError, SignatureError, unknown
from geoequiv.fields.graphs import graph_fields, is_graph, with_fields
from geoequiv.fields.signature import Signature

LAYOUT_NAMES = ("batch", "mask", "edge_index")


def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Python's signature of a callable; of ``forward`` for a module."""
    return inspect.signature(function.forward if isinstance(function, nn.Module) else function)


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Parameters of a callable; of ``forward`` for a module."""
    return signature_of(function).parameters


def positional_names(parameters: Mapping[str, inspect.Parameter], names: list[str]) -> dict[str, str]:
    """Parameter → field, for a callable whose parameters bear none of the fields' names but take as many inputs."""
    plain = [name for name, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    free = [name for name in plain if parameters[name].default is inspect.Parameter.empty and name != "self"]
    if set(names) & set(plain) or len(free) != len(names):
        return {}
    return dict(zip(free, names, strict=True))


@dataclass(frozen=True, eq=False)
class BoundCall:
    """The arguments of one call of a model, by field name.

    Args:
        function: what is called.
        fields: field name → value, in the order of the call; a PyG object stands for all of its attributes.
        places: field name → the parameter that holds it, and the key or position in it for ``**`` and ``*``.
        bound: the arguments as they came.
        graph: the name of the parameter that holds a PyG object, if one does.
    """

    function: Callable[..., Any]
    fields: Any
    places: Mapping[str, tuple[str, str | int | None]]
    bound: inspect.BoundArguments
    graph: str | None = None

    @classmethod
    def bind(
        cls, function: Callable[..., Any], signature: Signature, args: tuple, kwargs: Mapping[str, Any]
    ) -> "BoundCall":
        """Bind arguments to the signature's input names.

        A parameter that bears a field's name holds that field; the names of ``**kwargs`` count as parameters, and
        ``*args`` take the signature's inputs in order. If no parameter bears the name of any input, the parameters
        that have no default take the inputs in order (``forward(self, x)`` with ``"pos: point -> …"``).

        Raises:
            SignatureError: if some of the inputs cannot be found among the parameters.
        """
        written = signature_of(function)
        parameters = written.parameters
        names = list(signature.inputs)
        field_of = positional_names(parameters, names)
        parameter_of = {field: parameter for parameter, field in field_of.items()}
        kwargs = {parameter_of.get(key, key): value for key, value in kwargs.items()}
        try:
            bound = written.bind(*args, **kwargs)
        except TypeError as error:
            raise SignatureError(f"{describe(function)} cannot be called this way: {error}.") from None
        fields: dict[str, Any] = {}
        places: dict[str, tuple[str, str | int | None]] = {}
        for parameter, value in bound.arguments.items():
            kind = parameters[parameter].kind
            if is_graph(value):
                return cls(function, value, {}, bound, graph=parameter)
            if kind is inspect.Parameter.VAR_KEYWORD:
                for key, entry in value.items():
                    fields[key], places[key] = entry, (parameter, key)
            elif kind is inspect.Parameter.VAR_POSITIONAL:
                left = [name for name in names if name not in fields and name not in kwargs]
                for i, (name, entry) in enumerate(zip(left, value, strict=False)):
                    fields[name], places[name] = entry, (parameter, i)
            else:
                name = field_of.get(parameter, parameter)
                fields[name], places[name] = value, (parameter, None)
        missing = [name for name in names if name not in fields]
        if missing:
            raise SignatureError(
                f"The signature's input '{missing[0]}' is not among the arguments of {describe(function)}: "
                f"{unknown('argument', missing[0], [n for n in fields if n != 'self'])}"
            )
        if "batch" in parameters and "batch" not in fields:
            places["batch"] = ("batch", None)
        return cls(function, fields, places, bound)

    def __call__(self, fields: Any) -> Any:
        """Call the model with other values for the fields."""
        arguments = dict(self.bound.arguments)
        if self.graph is not None:
            arguments[self.graph] = fields
        else:
            for name, (parameter, key) in self.places.items():
                if name not in fields:
                    continue
                if key is None:
                    arguments[parameter] = fields[name]
                elif isinstance(key, str):
                    arguments[parameter] = {**arguments[parameter], key: fields[name]}
                else:
                    entries = arguments[parameter]
                    arguments[parameter] = (*entries[:key], fields[name], *entries[key + 1 :])
        ready = inspect.BoundArguments(self.bound.signature, arguments)
        return self.function(*ready.args, **ready.kwargs)


def describe(function: Callable[..., Any]) -> str:
    """How messages name a model."""
    return (
        type(function).__name__
        if isinstance(function, nn.Module)
        else getattr(function, "__qualname__", repr(function))
    )


def call_model(function: Callable[..., Any], signature: Signature, inputs: Any) -> dict[str, Tensor]:
    """Call a model with named inputs and name its outputs.

    Args:
        function: a module or function that takes the inputs by name, in the signature's order, or as a PyG object.
        inputs: a mapping that holds the signature's inputs (and ``batch``, ``mask``, … where the model takes them), or
            a PyG object, which is passed on whole.

    Returns:
        Output name → tensor.

    Raises:
        SignatureError: the model takes neither the names nor the number of the inputs, or cannot be told the mask or
            the batch index that the inputs hold.
        ModelOutputError: what it returns does not fit the signature.
    """
    return name_outputs(signature, invoke(function, signature, inputs), function)


def invoke(function: Callable[..., Any], signature: Signature, inputs: Any) -> Any:
    """Call a model with named inputs; what it returns is passed on as it is (see ``call_model``)."""
    if is_graph(inputs):
        return function(inputs)
    parameters = parameters_of(function)
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = list(signature.inputs)
    absent = [name for name in names if name not in inputs]
    if absent:
        raise SignatureError(f"The signature's input '{absent[0]}' is not among the inputs {sorted(map(str, inputs))}.")
    extra = {name: value for name, value in inputs.items() if name not in names and (takes_all or name in parameters)}
    for name in ("batch", "mask"):
        if inputs.get(name) is not None and name not in extra:
            raise SignatureError(f"The inputs hold a '{name}', but {describe(function)} has no parameter of that name.")
    if takes_all or set(names) <= set(parameters):
        return function(**{name: inputs[name] for name in names}, **extra)
    if set(names) & set(parameters):
        missing = next(name for name in names if name not in parameters)
        raise SignatureError(f"{describe(function)}: {unknown('parameter', missing, parameters)}")
    return function(*(inputs[name] for name in names), **extra)


def name_outputs(signature: Signature, raw: Any, function: Callable[..., Any]) -> dict[str, Tensor]:
    """What a model returned, by output name.

    Args:
        raw: a tensor (one output), a tuple or list in the signature's order, a mapping, or a PyG object.

    Raises:
        ModelOutputError: naming what came and what the signature expects.
    """
    names = list(signature.outputs)
    expected = f"the signature's outputs are ({signature.outputs})"
    if isinstance(raw, Tensor):
        raw = (raw,)
    if is_graph(raw):
        raw = graph_fields(raw)
    if isinstance(raw, Mapping):
        absent = [name for name in names if name not in raw]
        if absent:
            raise ModelOutputError(f"{describe(function)} returned {list(raw)}; {expected}: '{absent[0]}' is missing.")
        named = {name: raw[name] for name in names}
    elif isinstance(raw, (tuple, list)):
        if len(raw) != len(names):
            raise ModelOutputError(f"{describe(function)} returned {len(raw)} outputs; {expected}.")
        named = dict(zip(names, raw, strict=True))
    else:
        raise ModelOutputError(f"{describe(function)} returned {type(raw).__name__}; {expected}.")
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise ModelOutputError(f"Output '{name}' of {describe(function)} is {type(value).__name__}, not a tensor.")
        if not value.is_floating_point():
            raise ModelOutputError(
                f"Output '{name}' of {describe(function)} holds {value.dtype}, not floating-point numbers: convert it "
                "with .float()."
            )
    return named


def restore_outputs(signature: Signature, raw: Any, named: Mapping[str, Tensor], inputs: Any) -> Any:
    """Named outputs in the form in which the model returns them.

    Args:
        raw: what it returned, perhaps for copies of a batch.
        inputs: what it was called with for the batch itself; where model and caller speak in PyG objects, a copy of
            this one bears the outputs.

    Raises:
        ModelOutputError: if the model returned something besides the outputs that the signature names.
    """
    if isinstance(raw, Tensor):
        return next(iter(named.values()))
    if is_graph(raw):
        return with_fields(inputs, named) if is_graph(inputs) else dict(named)
    if isinstance(raw, Mapping):
        spare = [key for key in raw if key not in named]
        if spare:
            raise ModelOutputError(
                f"The model returns '{spare[0]}', which the signature's outputs ({signature.outputs}) do not name: "
                "without a type it cannot be averaged. Add it to the signature or do not return it."
            )
        return dict(named)
    return type(raw)(named.values()) if type(raw) in (tuple, list) else type(raw)(*named.values())
