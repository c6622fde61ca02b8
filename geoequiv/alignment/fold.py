"""Transformed copies: a group element folded into the weights of a network."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.alignment.derive import Units, difference, in_double, with_state
from geoequiv.alignment.permutation_spec import PermutationSpec, Place, StateDict, Stream, mix
from geoequiv.alignment.tracer import trace
from geoequiv.errors import AlignmentError, GroupError
from geoequiv.fields import FieldType, Signature, act, call_model
from geoequiv.groups import Element, inverse


def transformed_copy(
    model: nn.Module, signature: str | Signature, element: Element, inputs: dict[str, Any], tolerance: float = 1e-8
) -> nn.Module:
    r"""The network that sees the world moved by g, of the same class, with other weights.

    .. math:: g \cdot f = \rho_\text{out}(g)^{-1} \circ f \circ \rho_\text{in}(g)

    The representation of each field goes into the columns of the weights that read it and into the rows of those that
    write it, wherever a trace finds them; for images the filters of all convolutions are moved. Where this does not
    give the copy, a network that is equivariant to g is its own.

    Args:
        model: called with the signature's inputs by name.
        element: one element g.
        inputs: a small batch, to trace and to verify with.
        tolerance: largest relative difference, in float64, between the copy and the definition above.

    Returns:
        A copy of the model; ``model`` is not changed.

    Raises:
        AlignmentError: g cannot be folded into the weights: it moves a field that the network reads other than by
            linear maps (and not in an invariant way), or it translates a network that minds.
        GroupError: more than one element.

    Exactness: verified to the tolerance in float64.
    """
    signature = Signature.parse(signature)
    if element.shape:
        raise GroupError(f"A copy is transformed by one group element; got a batch of shape {list(element.shape)}.")
    double, doubled = in_double(model, inputs)
    wanted = definition(double, signature, element, doubled)
    images = bool(signature.inputs.of_kind("image"))
    try:
        folded = moved_filters(double, element) if images else moved_ports(double, signature, element, doubled)
        error = difference(wanted, plain_outputs(with_state(double, folded), signature, doubled))
        why = f"outputs differ by {error:.1e} of their norm"
    except AlignmentError as reason:
        error, why, folded = float("inf"), str(reason), {}
    if error > tolerance:
        if difference(wanted, plain_outputs(double, signature, doubled)) <= tolerance:
            return copy.deepcopy(model)
        translates = element.translation is not None and bool(element.translation.any())
        how = "it translates them" if translates else "the network reads or writes them other than by linear maps"
        raise AlignmentError(
            f"This group element cannot be folded into the weights of {type(model).__name__}: {how} ({why})."
        )
    state = model.state_dict()
    return with_state(model, {name: value.to(state[name].dtype) for name, value in folded.items()})


def plain_outputs(model: nn.Module, signature: Signature, inputs: dict[str, Any]) -> list[Tensor]:
    """Outputs in the signature's order."""
    with torch.no_grad():
        return list(call_model(model, signature, inputs).values())


def definition(model: nn.Module, signature: Signature, element: Element, inputs: dict[str, Any]) -> list[Tensor]:
    """What the copy has to say: ρ_out(g)⁻¹ f(ρ_in(g) x)."""
    with torch.no_grad():
        there = call_model(model, signature, act(element, inputs, signature.inputs))
    return list(act(inverse(element), there, signature.outputs).values())


def representation(kind: FieldType, element: Element) -> Tensor:
    """The matrix ρ(g) of a field type, ``[size, size]``, translations left out."""
    still = Element(element.linear.double())
    size = kind.size(element.dim)
    if kind.kind == "tensor":
        basis = torch.eye(size, dtype=torch.float64).reshape(size, -1, element.dim, element.dim)
        return kind.act(still, basis if kind.multiplicity > 1 else basis[:, 0]).reshape(size, size).mT
    return kind.act(still, torch.eye(size, dtype=torch.float64)).mT


def moved_ports(model: nn.Module, signature: Signature, element: Element, inputs: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict with ρ in the weights that read and write the moved fields."""
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
    moves = {tuple(units.root[list(line)].tolist()): matrix for line, matrix in matrices.items()}
    for (name, kind), (tensor, layers) in zip(signature.outputs.items(), found.outputs, strict=True):
        matrix = representation(kind, element)
        if torch.allclose(matrix, torch.eye(len(matrix), dtype=torch.float64), atol=1e-12):
            continue
        for layer in layers[:1]:
            axes = kind.trailing(tensor, element.dim, name) or 1
            for line in layer.flatten(layer.ndim - axes).reshape(-1, len(matrix)).unique(dim=0):  # one, or one a node
                moves[tuple(units.root[line.numpy()].tolist())] = matrix
    streams = []
    turns = {}
    for number, (members, matrix) in enumerate(moves.items()):
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
        streams.append(Stream(f"port {number}", len(members), places, mixes=True))
        turns[f"port {number}"] = matrix.mT  # ρ⁻¹: rows by it, columns by its inverse transposed, which is the same
    state: StateDict = model.state_dict()
    return mix(PermutationSpec(tuple(streams), {}, {}), turns, state)


def moved_filters(model: nn.Module, element: Element) -> dict[str, Tensor]:
    """The state dict with the filters of all convolutions moved by g⁻¹, as images are."""
    kind = FieldType("image")
    state = dict(model.state_dict())
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            key = f"{name}.weight" if name else "weight"
            state[key] = kind.act(inverse(element), state[key])
    return state
