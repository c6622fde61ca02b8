"""What a trained run predicts for items of a user, in the units of its task."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geoequiv.bench.trained import TrainedRun
from geoequiv.errors import DataError
from geoequiv.fields import FieldType, Side, Signature, call_model
from geoequiv.groups import group
from geoequiv.models.scaled import Scaled
from geoequiv.tasks.data.elements import symbol
from geoequiv.tasks.data.sources import NamedArrays, read
from geoequiv.tasks.named_fields import composition, len_of, read_fields

Arrays = dict[str, NDArray[np.float64]]
CENTRED = 1e-3  # largest centroid of a training item, in the task's unit, of data that is centred item by item


@dataclass(frozen=True)
class Predictor:
    """A trained run that is applied to other data than its task's.

    Args:
        trained: the run.
        batch_size: items of a forward pass.
    """

    trained: TrainedRun
    batch_size: int = 100

    @property
    def elements(self) -> NDArray[np.int64]:
        """Nuclear charges of the columns of ``species``; none where the task does not name them."""
        drawing = self.trained.task.drawing
        return np.array(drawing.elements if drawing else (), dtype=np.int64)

    def of_file(self, path: Path) -> Arrays:
        """Output name → ``[items, …]`` for a file of named arrays (.npz) or of frames (.xyz, .extxyz).

        Raises:
            DataError: the file cannot be read, lacks an input, or has an element that the run has not seen.
        """
        return self.of_source(read(path))

    def of_source(self, source: NamedArrays) -> Arrays:
        """The same for arrays at hand."""
        signature, kinds = self.trained.task.signature, self.elements
        charges = source.charges()
        if "species" in signature.inputs and "species" not in source.names and charges is not None:
            new = sorted({int(each) for each in np.unique(charges)} - {0, *kinds.tolist()})
            if new:
                known = ", ".join(symbol(int(each)) for each in kinds) or "none by name"
                raise DataError(
                    f"{source.path} has {', '.join(symbol(each) for each in new)}; the run has learned from {known}."
                )
        acting = group(self.trained.task.symmetry)
        fields = read_fields(source, Signature(signature.inputs, Side(())), kinds, acting.dim)
        return self.of_fields(fields, composition(source, fields, kinds, len_of(fields)))

    def of_fields(self, fields: Mapping[str, NDArray], counts: NDArray[np.float64] | None = None) -> Arrays:
        """Output name → ``[items, …]`` for inputs by name, items first.

        Args:
            fields: the inputs of the task's signature, and ``mask`` where clouds are padded.
            counts: atoms of each element in each item ``[items, kinds]``, for energies that are relative to these.

        Raises:
            DataError: a prediction is not finite; names the item.
        """
        task, model = self.trained.task, self.trained.model
        dtype = next(iter(task.splits["train"].inputs.values())).dtype
        device = next((each.device for each in model.parameters()), torch.device("cpu"))
        shift = self.centroids(fields)
        inputs = {}
        for name, array in fields.items():
            values = array - shift if shift is not None and name in task.signature.inputs.of_kind("point") else array
            kept = torch.from_numpy(np.ascontiguousarray(values))
            inputs[name] = (kept if name == "mask" else kept.to(dtype)).to(device)
        parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in task.signature.outputs}
        with torch.no_grad(), self.trained.computing():
            for start in range(0, len(next(iter(inputs.values()))), self.batch_size):
                few = {name: values[start : start + self.batch_size] for name, values in inputs.items()}
                for name, made in call_model(model, task.signature, few).items():
                    parts[name].append(made.double().cpu().numpy())
        found = {}
        for name, chunks in parts.items():
            kind, whole = task.signature.outputs[name], np.concatenate(chunks)
            bad = np.flatnonzero(~np.isfinite(whole).reshape(len(whole), -1).all(1))
            if len(bad):
                raise DataError(f"The prediction of '{name}' is not finite for item {bad[0]}.")
            zero = self.zero(name, kind, counts)
            whole = whole + (zero.reshape(whole.shape) if zero.size == whole.size else zero)
            found[name] = whole + shift if shift is not None and kind.translates else whole
        return found

    def centroids(self, fields: Mapping[str, NDArray]) -> NDArray[np.float64] | None:
        """Centroid of each item ``[n, 1, 3]`` where the task centres its items, else None."""
        inputs = self.trained.task.signature.inputs
        points = inputs.of_kind("point")
        if len(points) != 1 or inputs[points[0]].multiplicity != 1 or inputs[points[0]].per_graph or "mask" in fields:
            return None
        trained = self.trained.task.splits["train"].inputs[points[0]]
        if float(trained.double().mean(1).abs().max()) > CENTRED:
            return None
        centroid: NDArray[np.float64] = np.asarray(fields[points[0]]).mean(1, keepdims=True)
        return centroid

    def zero(self, name: str, kind: FieldType, counts: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """What the task has taken off an output: a constant, one of each column, or a sum over elements."""
        zeros = [
            getattr(each, f"zero_{name}", None) for each in self.trained.model.modules() if isinstance(each, Scaled)
        ]
        taken = next((each.double().cpu().numpy() for each in zeros if each is not None), np.zeros(()))
        if taken.ndim == 0 or taken.shape == (kind.multiplicity,):
            return np.asarray(taken)
        if counts is None:
            raise DataError(f"'{name}' is relative to an energy for each element, and the elements are not known.")
        return np.asarray(counts @ taken[:, None])
