"""What a check is about: a model by name, and the inputs it is tried on."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geoequiv.errors import DataError, GeoequivError, unknown

if TYPE_CHECKING:
    import torch

    from geoequiv.fields import Signature

FILES = (".npz", ".pt")


def load_model(name: str, signature: "Signature", options: Mapping[str, Any]) -> Callable[..., Any]:
    """The model behind ``package.module:object``, or behind a name of the catalog.

    A class is constructed with the options, and with the signature if it takes one. So is a function that makes
    models: one that takes the signature, or no required argument, or was given options. Any other function, and an
    instance, is the model itself.

    Raises:
        GeoequivError: it cannot be imported or constructed; an option is unknown.
    """
    from torch import nn

    from geoequiv import catalog
    from geoequiv.fields.calling import parameters_of

    found = catalog.load("model", name)
    if isinstance(found, nn.Module) or not (inspect.isclass(found) or is_factory(found, options)):
        if options:
            raise GeoequivError(
                f"'{name}' is a model already, so that --option {next(iter(options))}=… has no meaning."
            )
        return found
    parameters = parameters_of(found)
    if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        for option in options:
            if option not in parameters:
                raise GeoequivError(unknown(f"option of '{name}'", option, parameters))
    given = {"signature": signature, **options} if "signature" in parameters else dict(options)
    try:
        model = found(**given)
    except GeoequivError:
        raise
    except Exception as error:
        raise GeoequivError(f"Cannot construct '{name}' with {given}: {type(error).__name__}: {error}.") from error
    if not callable(model):
        raise GeoequivError(f"'{name}' made a {type(model).__name__}, which cannot be called with inputs.")
    return model


def is_factory(function: Callable[..., Any], options: Mapping[str, Any]) -> bool:
    """Whether a function makes models rather than being one (see ``load_model``)."""
    from geoequiv.fields.calling import parameters_of

    parameters = parameters_of(function).values()
    required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    takes_any = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
    return bool(options) or "signature" in {p.name for p in parameters} or not (required or takes_any)


def load_weights(model: Callable[..., Any], path: Path) -> None:
    """Load a state dict (``torch.save(model.state_dict(), …)``) into a module.

    Raises:
        GeoequivError: the model has no weights, or they do not fit.
        DataError: the file cannot be read.
    """
    from torch import nn

    if not isinstance(model, nn.Module):
        raise GeoequivError(f"--weights needs a module; the model is a {type(model).__name__}.")
    state = read_tensors(path)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise GeoequivError(f"The weights in '{path}' do not fit the model: {error}") from error


def read_inputs(path: Path, dtype: "torch.dtype", layout: str) -> Any:
    """Named tensors from a .npz or .pt file; fractional numbers are cast to ``dtype``.

    Args:
        path: ``np.savez(path, pos=…, batch=…)``, or a dict of tensors by ``torch.save``; pickled objects are refused.
        dtype: that the model is checked in.
        layout: "graph" makes a PyG ``Batch`` of ragged fields.

    Raises:
        DataError: the file cannot be read or holds something else.
    """
    from geoequiv.testing.inputs import as_graph

    fields = {
        name: values.to(dtype) if values.is_floating_point() else values for name, values in read_tensors(path).items()
    }
    if layout != "graph":
        return fields
    if "batch" not in fields:
        raise DataError(f"'{path}' has no 'batch' vector, which graphs need to be told apart; it holds {list(fields)}.")
    return as_graph(fields)


def on_device(inputs: Any, device: "torch.device") -> Any:
    """A dict of tensors, or a graph of PyG, on a device."""
    if isinstance(inputs, dict):
        return {name: each.to(device) if hasattr(each, "to") else each for name, each in inputs.items()}
    return inputs.to(device)


def read_tensors(path: Path) -> dict[str, "torch.Tensor"]:
    """Name → tensor of a .npz or .pt file.

    Raises:
        DataError: as for ``read_inputs``.
    """
    import torch

    from geoequiv.archives import check_members, read_arrays

    if path.suffix not in FILES:
        raise DataError(unknown("kind of file", path.suffix or str(path), FILES))
    try:
        if path.suffix == ".npz":
            return {name: torch.as_tensor(array) for name, array in read_arrays(path).items()}
        check_members(path)
        content = torch.load(path, weights_only=True, map_location="cpu")
    except OSError as error:
        raise DataError(f"Cannot read '{path}': {error.strerror or error}.") from error
    except Exception as error:  # what a damaged or pickled file raises depends on the damage
        raise DataError(f"'{path}' is no file of plain tensors: {type(error).__name__}: {error}") from error
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise DataError(f"'{path}' must hold a dict of tensors by name, got {type(content).__name__}.")
    return dict(content)
