"""PyG objects as mappings of fields, without importing torch_geometric unless it is in use."""

import copy
import sys
from collections.abc import Mapping
from typing import Any, TypeGuard

import torch
from torch import Tensor

Fields = Mapping[str, Any]


def is_graph(value: object) -> TypeGuard[Any]:
    """Whether a value is a PyG ``Data`` or ``Batch``."""
    pyg = sys.modules.get("torch_geometric.data")
    return pyg is not None and isinstance(value, pyg.Data)


def graph_fields(data: Any) -> dict[str, Any]:
    """The attributes of a PyG object by name; a single graph gets the batch vector of zeros it lacks.

    An attribute ``mask`` is the user's own and left out: it does not say how the nodes are laid out.
    """
    fields = {name: value for name, value in data.to_dict().items() if name != "mask"}
    if fields.get("batch") is None:
        fields["batch"] = torch.zeros(data.num_nodes, dtype=torch.int64, device=device_of(fields))
    return fields


def named_fields(inputs: Any) -> Fields:
    """The fields of a batch by name: a mapping as it is, the attributes of a PyG object."""
    return graph_fields(inputs) if is_graph(inputs) else inputs


def device_of(fields: Fields) -> torch.device:
    """Device of the first tensor."""
    return next((value.device for value in fields.values() if isinstance(value, Tensor)), torch.device("cpu"))


def with_fields(data: Any, fields: Fields) -> Any:
    """A shallow copy of a PyG object with some attributes replaced; the object itself is left as it was."""
    changed = copy.copy(data)
    for name, value in fields.items():
        changed[name] = value
    return changed


def repeat_graph(data: Any, fields: Fields, copies: int) -> Any:
    """A PyG ``Batch`` of ``copies`` copies of every graph of ``data``, one copy of the batch behind the other.

    Args:
        fields: the attributes that are already repeated; the others are repeated here by PyG's own rules
            (``__inc__``, ``__cat_dim__``), so that custom ``Data`` classes keep their meaning.
    """
    from torch_geometric.data import Batch

    graphs = data.num_graphs if isinstance(data, Batch) else 1
    repeated: dict[str, Any] = dict(fields)
    for name, value in data.to_dict().items():
        if name in fields or name in ("batch", "ptr", "num_nodes"):
            continue
        if isinstance(value, Tensor) and value.ndim:
            increment, axis = data.__inc__(name, value), data.__cat_dim__(name, value)
            repeated[name] = torch.cat([value + i * increment for i in range(copies)], dim=axis or 0)
        elif isinstance(value, list) and len(value) == graphs:
            repeated[name] = value * copies
        else:
            repeated[name] = value
    batch = graph_fields(data)["batch"]
    offsets = graphs * torch.arange(copies, device=batch.device)
    repeated["batch"] = (batch + offsets[:, None]).flatten()
    sizes = torch.bincount(repeated["batch"], minlength=graphs * copies)
    repeated["ptr"] = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    whole = Batch(_base_cls=type(data))
    for name, value in repeated.items():
        whole[name] = value
    whole._num_graphs = graphs * copies
    return whole
