"""Transformed copies: fold a group element into the weights of a network."""

import copy
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment.derive import Units, difference, in_double, with_state
from geoequiv.alignment.spec import PermutationSpec, Place, StateDict, Stream, mix
from geoequiv.alignment.traced import Trace
from geoequiv.alignment.tracer import trace
from geoequiv.errors import AlignmentError, GroupError
from geoequiv.fields import FieldType, Signature, act, call_model, layout_of, read_inputs
from geoequiv.groups import Element, inverse


def transformed_copy(
    model: nn.Module, signature: str | Signature, element: Element, inputs: dict[str, Any], tolerance: float = 1e-8
) -> nn.Module:
    r"""The network of the same class that computes the transformed function.

    .. math:: g \cdot f = \rho_\text{out}(g)^{-1} \circ f \circ \rho_\text{in}(g)

    The representation of each field is folded into the columns of the weights that read it and into the rows of those
    that write it, a translation into their biases. For images the filters of all convolutions are transformed, and the
    columns of linear maps that read flattened pixels. A permutation of nodes changes nothing in networks whose nodes
    share their weights, and permutes the weights of nodes in others. Where this does not give the copy, a network that
    is equivariant to g is its own copy.

    Args:
        model: called with the signature's inputs by name.
        element: one element g.
        inputs: a small batch, to trace and to verify with.
        tolerance: largest relative difference, in float64, between the copy and the definition above.

    Returns:
        A copy of the model; ``model`` is not changed.

    Raises:
        AlignmentError: g cannot be folded into the weights: it transforms a field that is read other than by linear
            maps (and not in an invariant way), or it translates points that are read without a bias.
        GroupError: more than one element.

    Exactness: verified to the tolerance in float64.
    """
    inputs, signature = read_inputs(inputs, signature, model)
    layout_of(inputs, signature, element.dim)  # refuses what nothing says the meaning of
    if element.shape:
        raise GroupError(f"A copy is transformed by one group element; got a batch of shape {list(element.shape)}.")
    double, doubled = in_double(model, inputs)
    wanted = transformed_outputs(double, signature, element, doubled)
    if not all(bool(torch.isfinite(tensor).all()) for tensor in wanted):
        raise AlignmentError("The network's outputs are not finite on this batch: its copy cannot be verified.")
    best, folded, why = float("inf"), {}, ""
    for strategy in strategies(signature, element):
        try:
            found = strategy(double, signature, element, doubled)
            if element.translation is not None and bool(element.translation.any()):
                found = translated(double, signature, element, doubled, found, wanted)
            error = difference(wanted, plain_outputs(with_state(double, found), signature, doubled))
        except AlignmentError as reason:
            why = str(reason)
            continue
        if error < best:
            best, folded, why = error, found, f"outputs differ by {error:.1e} of their norm"
        if best <= tolerance:
            break
    if best > tolerance:
        if difference(wanted, plain_outputs(double, signature, doubled)) <= tolerance:
            return copy.deepcopy(model)
        whose = type(model).__name__
        raise AlignmentError(
            f"This group element cannot be folded into the weights of {whose}: {likely_cause(element)} ({why})."
        )
    state = model.state_dict()
    return with_state(model, {name: value.to(state[name].dtype) for name, value in folded.items()})


Strategy = Callable[[nn.Module, Signature, Element, dict[str, Any]], dict[str, Tensor]]


def strategies(signature: Signature, element: Element) -> list[Strategy]:
    """What to try, in this order: transform the weights that all nodes share; then the weights of each node."""
    if signature.inputs.of_kind("image"):
        return [transform_filters, transform_pixel_columns]
    permutes = element.permutation is not None and bool(
        (element.permutation != torch.arange(element.permutation.shape[-1])).any()
    )
    return [transform_shared, transform_by_node] if permutes else [transform_shared]


def likely_cause(element: Element) -> str:
    """Why a fold may have failed."""
    how = "the network reads or writes them other than by linear maps"
    if element.translation is not None and bool(element.translation.any()):
        return f"it translates them, or {how} with biases"
    return f"it permutes nodes that the network distinguishes, or {how}" if element.permutation is not None else how


def plain_outputs(model: nn.Module, signature: Signature, inputs: dict[str, Any]) -> list[Tensor]:
    """Outputs in the signature's order."""
    with torch.no_grad():
        return list(call_model(model, signature, inputs).values())


def transformed_outputs(
    model: nn.Module, signature: Signature, element: Element, inputs: dict[str, Any]
) -> list[Tensor]:
    """What the copy has to return: ρ_out(g)⁻¹ f(ρ_in(g) x)."""
    with torch.no_grad():
        outputs = call_model(model, signature, act(element, inputs, signature.inputs))
    return list(act(inverse(element), outputs, signature.outputs).values())


def representation(kind: FieldType, element: Element) -> Tensor:
    """The matrix ρ(g) of a field type, ``[size, size]``, without translations."""
    still = Element(element.linear.double())
    size = kind.size(element.dim)
    if kind.kind == "tensor":
        basis = torch.eye(size, dtype=torch.float64).reshape(size, -1, element.dim, element.dim)
        return kind.act(still, basis if kind.multiplicity > 1 else basis[:, 0]).reshape(size, size).mT
    return kind.act(still, torch.eye(size, dtype=torch.float64)).mT


def transform_shared(
    model: nn.Module, signature: Signature, element: Element, inputs: dict[str, Any]
) -> dict[str, Tensor]:
    """The state dict with ρ(g) folded into the weights that read and write the fields."""
    labels, matrices, count = {}, {}, 1
    for name, kind in signature.inputs.items():
        if kind.kind in ("node", "adjacency"):
            continue
        matrix = representation(kind, element)
        if torch.allclose(matrix, torch.eye(len(matrix), dtype=torch.float64), atol=1e-12):
            continue
        size, values = len(matrix), inputs[name]
        axes = kind.trailing(values, element.dim, name) or 1  # scalars: the channel axis
        line = torch.arange(count, count + size)
        labels[name] = line.reshape(values.shape[values.ndim - axes :]).expand(values.shape)
        matrices[tuple(line.tolist())] = matrix
        count += size
    found = trace(model, inputs, labels)
    units = Units(found)
    by_units = {tuple(units.root[list(line)].tolist()): matrix for line, matrix in matrices.items()}
    for (name, kind), (tensor, layers) in zip(signature.outputs.items(), found.outputs, strict=True):
        matrix = representation(kind, element)
        if torch.allclose(matrix, torch.eye(len(matrix), dtype=torch.float64), atol=1e-12):
            continue
        for layer in layers[:1]:
            axes = kind.trailing(tensor, element.dim, name) or 1
            for line in layer.flatten(layer.ndim - axes).reshape(-1, len(matrix)).unique(dim=0):  # one, or one a node
                by_units[tuple(units.root[line.numpy()].tolist())] = matrix
    return with_matrices(model, found, units, by_units)


def transform_by_node(
    model: nn.Module, signature: Signature, element: Element, inputs: dict[str, Any]
) -> dict[str, Tensor]:
    """The same for networks with weights for each node: g acts on nodes and components at once."""
    assert element.permutation is not None
    nodes = element.permutation.shape[-1]
    labels: dict[str, Tensor] = {}
    fields: list[tuple[Tensor, Tensor]] = []
    count = 1
    for name, kind in signature.inputs.items():
        if kind.kind in ("node", "adjacency") or kind.per_graph:
            continue
        matrix, values = representation(kind, element), inputs[name]
        axes = kind.trailing(values, element.dim, name) or 1
        whole = torch.arange(count, count + nodes * len(matrix)).reshape(nodes, len(matrix))
        count += whole.numel()
        labels[name] = whole.reshape(nodes, *values.shape[values.ndim - axes :]).expand(values.shape)
        fields.append((whole, matrix))
    found = trace(model, inputs, labels)
    units = Units(found)
    for (name, kind), (tensor, layers) in zip(signature.outputs.items(), found.outputs, strict=True):
        for layer in layers[:1] if not kind.per_graph else ():
            axes = kind.trailing(tensor, element.dim, name) or 1
            matrix = representation(kind, element)
            whole = layer.reshape(-1, *layer.shape[layer.ndim - axes - 1 :])[0].reshape(nodes, len(matrix))
            if len(whole.unique()) == whole.numel():
                fields.append((whole, matrix))
    order = torch.zeros(nodes, nodes, dtype=torch.float64)
    order[element.permutation, torch.arange(nodes)] = 1.0  # node i goes to p(i)
    by_units = {
        tuple(units.root[whole.flatten().numpy()].tolist()): torch.kron(order, matrix.contiguous())
        for whole, matrix in fields
    }
    if any(len(set(members)) < len(members) for members in by_units):
        raise AlignmentError("the network has the same weights for several nodes")
    return with_matrices(model, found, units, by_units)


def with_matrices(
    model: nn.Module, found: Trace, units: Units, by_units: dict[tuple[int, ...], Tensor]
) -> dict[str, Tensor]:
    """The state dict with each matrix folded into the weights where its units are met."""
    streams = []
    matrices = {}
    for number, (members, matrix) in enumerate(by_units.items()):
        grouped: dict[int, list[list[int]]] = {}
        for row, unit in enumerate(members):
            for axis, index, _ in units.places[unit]:
                grouped.setdefault(axis, [[] for _ in members])[row].append(index)
        if any(len({len(row) for row in rows}) > 1 for rows in grouped.values()):
            continue  # not all components are read: the check of the outputs decides
        places = tuple(
            Place(tensor, units.axes[axis][1], torch.tensor(rows), 1)
            for axis, rows in grouped.items()
            for tensor in (units.axes[axis][0], *found.aliases.get(units.axes[axis][0], ()))
        )
        streams.append(Stream(f"field {number}", len(members), places, mixes=True))
        matrices[f"field {number}"] = matrix.mT  # ρ⁻¹ on rows, its inverse transposed (the same) on columns
    state: StateDict = model.state_dict()
    return mix(PermutationSpec(tuple(streams), {}, {}), matrices, state)


def translated(
    model: nn.Module, signature: Signature, element: Element, inputs: dict[str, Any], folded: dict[str, Tensor],
    wanted: list[Tensor],
) -> dict[str, Tensor]:  # fmt: skip
    """The same state dict with the translation folded into the biases of the maps that read points, or write them.

    A map whose input is shifted by a constant d gets the bias W d; the remaining difference of the outputs, if it is
    constant too, goes into the biases that write them.
    """
    still = Element(element.linear, None, element.permutation)
    state = dict(folded)
    transformed = [act(each, inputs, signature.inputs) for each in (still, element)]
    readers = readers_of_points(model, signature, inputs)
    seen = [linear_inputs(model, signature, each, readers) for each in transformed]
    for name, columns in readers.items():
        if name not in seen[0]:
            continue  # it reads pairs, as differences: the check of the outputs decides
        module, shift = model.get_submodule(name), (seen[1][name] - seen[0][name])[..., columns]
        assert isinstance(module, nn.Linear)
        line = shift.flatten(0, -2)[0]
        if not torch.allclose(shift, line.expand_as(shift), atol=1e-9):
            raise AlignmentError(f"a translation changes the input of '{name}' by more than a constant")
        if not bool((line.abs() > 1e-9).any()):
            continue
        if module.bias is None:
            raise AlignmentError(f"'{name}' reads points and has no bias to take a translation")
        state[f"{name}.bias"] = state[f"{name}.bias"] + module.weight.detach()[:, columns] @ line
    got = plain_outputs(with_state(model, state), signature, inputs)
    labelled = trace(model, inputs)
    units = Units(labelled)
    for (_, kind), want, have, (_, layers) in zip(
        signature.outputs.items(), wanted, got, labelled.outputs, strict=True
    ):
        if kind.kind != "point" or torch.allclose(want, have, atol=1e-9):
            continue
        off = (want - have).flatten(0, -2)
        if not layers or not torch.allclose(off, off[:1].expand_as(off), atol=1e-9):
            raise AlignmentError("a translation changes the outputs by more than a constant")
        for component, unit in enumerate(units.root[layers[0].flatten(0, -2)[0].numpy()].tolist()):
            for number, index, _ in units.places[unit]:
                name, axis = units.axes[number]
                if axis == 0 and state[name].ndim == 1:
                    state[name] = state[name].clone()
                    state[name][index] += off[0, component]
    return state


def linear_inputs(
    model: nn.Module, signature: Signature, inputs: dict[str, Any], names: Iterable[str]
) -> dict[str, Tensor]:
    """The inputs of linear maps when they are first called."""
    found: dict[str, Tensor] = {}

    def hook(name: str) -> Any:
        def before(module: nn.Module, args: Any) -> None:
            if len(args) == 1:
                found.setdefault(name, args[0].detach().clone())

        return before

    handles = [model.get_submodule(name).register_forward_pre_hook(hook(name)) for name in names]
    try:
        plain_outputs(model, signature, inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found


def readers_of_points(model: nn.Module, signature: Signature, inputs: dict[str, Any]) -> dict[str, list[int]]:
    """Names of the linear maps that read input points, and the columns that do."""
    labels, count = {}, 1
    for name in signature.inputs.of_kind("point"):
        values = inputs[name]
        axes = signature.inputs[name].trailing(values, values.shape[-1], name)
        whole = torch.arange(count, count + values[(0,) * (values.ndim - axes)].numel())
        labels[name] = whole.reshape(values.shape[values.ndim - axes :]).expand(values.shape)
        count += len(whole)
    units = Units(trace(model, inputs, labels))
    linear = {name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    found: dict[str, set[int]] = {}
    for unit in {int(unit) for unit in units.root[1:count]}:
        for number, index, _ in units.places[unit]:
            tensor, axis = units.axes[number]
            if axis == 1 and tensor.removesuffix(".weight") in linear:
                found.setdefault(tensor.removesuffix(".weight"), set()).add(index)
    return {name: sorted(columns) for name, columns in sorted(found.items())}


def transform_filters(
    model: nn.Module, signature: Signature, element: Element, inputs: dict[str, Any]
) -> dict[str, Tensor]:
    """The state dict with the filters of all convolutions transformed by g⁻¹, as images are."""
    kind = FieldType("image")
    state = dict(model.state_dict())
    for key in owners(model, nn.Conv2d):
        state[key] = kind.act(inverse(element), state[key])
    return state


def transform_pixel_columns(
    model: nn.Module, signature: Signature, element: Element, inputs: dict[str, Any]
) -> dict[str, Tensor]:
    """The same, and the columns of linear maps that read flattened pixels.

    The input of such a map for the transformed image is a permutation of its input for the image: that of a feature map
    of some height and width.
    """
    kind, state = FieldType("image"), transform_filters(model, signature, element, inputs)
    linear = owners(model, nn.Linear)
    names = {module: name for name, module in model.named_modules()}
    there = linear_inputs(model, signature, act(element, inputs, signature.inputs), [names[m] for m in linear.values()])
    keys = {names[module]: key for key, module in linear.items()}
    for name, wanted in there.items():
        got = linear_inputs(with_state(model, state), signature, inputs, [name])[name]
        if torch.allclose(wanted, got, atol=1e-9):
            continue
        maps = (got.unflatten(-1, shape) for shape in shapes_of_maps(got.shape[-1], element))
        found = next(
            (each for each in maps if torch.allclose(wanted, kind.act(element, each).flatten(-3), atol=1e-9)), None
        )
        if found is None:
            raise AlignmentError(f"'{name}' reads pixels, but not as a flattened image")
        columns = state[keys[name]].unflatten(-1, found.shape[-3:])
        state[keys[name]] = kind.act(inverse(element), columns).flatten(-3)
    return state


def shapes_of_maps(size: int, element: Element) -> Iterator[tuple[int, int, int]]:
    """Channels, height and width of images of this size: square ones only if g rotates them."""
    rotates = bool((element.linear - torch.diag(element.linear.diagonal())).abs().max() > 1e-9)
    for height in range(1, size + 1):
        for width in [height] if rotates else range(1, size // height + 1):
            if size % (height * width) == 0 and height * width > 1:
                yield size // (height * width), height, width


def owners(model: nn.Module, kind: type[nn.Module]) -> dict[str, nn.Module]:
    """State-dict key of a weight → its module; a wrapper's keys are those of the model inside it."""
    keys = {id(tensor): key for key, tensor in model.state_dict(keep_vars=True).items()}
    return {keys[id(module.weight)]: module for module in model.modules()
            if isinstance(module, kind) and id(module.weight) in keys}  # fmt: skip
