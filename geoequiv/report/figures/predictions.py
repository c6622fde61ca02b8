"""Scenes from a task and a model: which items, their targets and predictions, and the errors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from geoequiv.errors import DataError, unknown
from geoequiv.fields import UNSIGNED, Signature, act, with_channels
from geoequiv.groups import Element, inverse
from geoequiv.report.figures.scene import Array, Scene
from geoequiv.tasks import Split, Task
from geoequiv.tasks.data.elements import bonded_pairs
from geoequiv.training import predict

NAMED = ("best", "median", "worst")


def predictions(
    task: Task,
    model: nn.Module,
    split: str = "test",
    items: Sequence[int] | None = None,
    transform: Element | None = None,
    batch_size: int = 100,
) -> list[Scene]:
    """Predict items of a split, and make a scene of each.

    Args:
        task: its signature must have an input of points, and an output of points or vectors per node.
        model: on the signature of the task.
        split: name of a split.
        items: which ones; None takes the best, the median and the worst by the task's metric, of all.
        transform: also predict the inputs transformed by this element, and transform the predictions back.
        batch_size: items of a forward pass.

    Returns:
        One scene an item, in the order asked for.

    Raises:
        DataError: a split or item that does not exist, or a task without anything to draw in space.
    """
    source, output = drawable(task.signature)
    if split not in task.splits:
        raise DataError(unknown(f"split of {task.name}", split, task.splits))
    whole = task.splits[split]
    if items is None:
        outputs = predicted(model, task, whole, batch_size)
        errors = task.metric.per_item(outputs, whole.targets).double()
        items, names = extremes(errors, task.metric.better)
        outputs = {name: tensor[items] for name, tensor in outputs.items()}
    else:
        check_items(items, len(whole), split)
        names = [""] * len(items)
        outputs = predicted(model, task, whole.rows(items), batch_size)
    part = whole.rows(items)
    errors = task.metric.per_item(outputs, part.targets).double()
    back = None
    if transform is not None:
        back = transformed_back(model, task.signature, part.inputs, transform, batch_size)[output]
    paths = task.drawing.paths(split, items) if task.drawing.paths else None
    scenes = []
    for place, item in enumerate(items):
        scene = scene_of(
            task, part, place, (source, output), outputs[output], back, None if paths is None else paths[place]
        )
        title = f"{names[place]} · item {item}" if names[place] else f"item {item}"
        scenes.append(replace(scene, title=title, caption=caption(scene, task, float(errors[place]))))
    return scenes


def predicted(model: nn.Module, task: Task, split: Split, batch_size: int) -> dict[str, Tensor]:
    """Outputs of a split, in the shape of its targets."""
    return with_channels(predict(model, task.signature, split.inputs, batch_size), split.targets, task.signature)


def drawable(signature: Signature) -> tuple[str, str]:
    """The input that gives positions, and the output that is drawn.

    Raises:
        DataError: there is none.
    """

    def single(side: Mapping[str, Any], *kinds: str) -> list[str]:
        return [n for n, t in side.items() if t.kind in kinds and t.multiplicity == 1 and not t.per_graph]

    points = single(signature.inputs, "point")
    drawn = single(signature.outputs, "point") or single(signature.outputs, "vector", "pseudovector", UNSIGNED)
    if not points or not drawn:
        raise DataError(
            f"Nothing to draw in '{signature}': a picture needs an input that is a point of each node, and an output "
            "that is a point or a vector of each node."
        )
    source = drawn[0] if drawn[0] in points else points[0]
    return source, drawn[0]


def extremes(errors: Tensor, better: str) -> tuple[list[int], list[str]]:
    """Items with the best, the median and the worst error, and their names; fewer if there are fewer items."""
    order = errors.argsort(descending=better == "higher", stable=True).tolist()
    places = dict(zip(NAMED, (0, (len(order) - 1) // 2, len(order) - 1), strict=True))
    chosen: dict[int, str] = {}
    for name, place in places.items():
        chosen.setdefault(order[place], name)
    return list(chosen), list(chosen.values())


def check_items(items: Sequence[int], there: int, split: str) -> None:
    """DataError for an item that the split does not have."""
    for item in items:
        if not 0 <= item < there:
            raise DataError(f"There is no item {item} in split '{split}': it has {there}, 0 to {there - 1}.")


def transformed_back(
    model: nn.Module, signature: Signature, inputs: Mapping[str, Tensor], element: Element, batch_size: int
) -> dict[str, Tensor]:
    """g⁻¹ · f(g · x), which equals f(x) for an equivariant model, in the dtype of the inputs."""
    outputs = predict(model, signature, act(element, inputs, signature.inputs), batch_size)
    back: dict[str, Tensor] = act(inverse(element), outputs, signature.outputs)
    return back


def scene_of(
    task: Task,
    part: Split,
    place: int,
    fields: tuple[str, str],
    outputs: Tensor,
    back: Tensor | None,
    path: NDArray[np.float64] | None,
) -> Scene:
    """One item as arrays in the drawing's unit of length, centred on the target, without padding."""
    source, output = fields
    drawing = task.drawing
    inputs = {name: tensor[place] for name, tensor in part.inputs.items()}
    real = inputs["mask"].bool().numpy() if "mask" in inputs else np.ones(len(inputs[source]), dtype=bool)
    arrows = task.signature.outputs[output].kind != "point"

    def array(tensor: Any) -> Array:
        values = np.asarray(tensor, dtype=np.float64)[..., real, :]
        missing = 3 - values.shape[-1]
        return np.concatenate([values, np.zeros((*values.shape[:-1], missing))], axis=-1) if missing else values

    start, true, predicted = (array(each) for each in (inputs[source], part.targets[output][place], outputs[place]))
    transformed = None if back is None else array(back[place])
    course = None if path is None or arrows else array(path)
    centre = (start if arrows else true).mean(axis=0)

    def placed(points: Array) -> Array:
        return (points - centre) * drawing.length

    elements = elements_of(inputs, drawing.elements, real)
    return Scene(
        title="",
        caption="",
        kind=drawing.kind,
        quantity="arrows" if arrows else "positions",
        start=placed(start),
        true=true if arrows else placed(true),
        predicted=predicted if arrows else placed(predicted),
        transformed=transformed if arrows or transformed is None else placed(transformed),
        edges=edges_of(inputs, drawing.bonds, real, start, elements),
        elements=elements,
        sizes=sizes_of(inputs, drawing.size, real),
        signs=None if drawing.sign is None else np.sign(inputs[drawing.sign][..., 0].double().numpy()[real]),
        path=None if course is None else placed(course),
        up=drawing.up,
        flat=inputs[source].shape[-1] == 2,
        unit=drawing.unit,
        arrow_unit=drawing.arrow_unit,
    )


def elements_of(inputs: Mapping[str, Tensor], kinds: tuple[int, ...], real: NDArray[np.bool_]) -> tuple[int, ...]:
    """Nuclear charge of each node, out of the one-hot input ``species``."""
    if not kinds or "species" not in inputs or inputs["species"].shape[-1] != len(kinds):
        return ()
    return tuple(kinds[column] for column in inputs["species"].argmax(dim=-1).numpy()[real])


def edges_of(
    inputs: Mapping[str, Tensor], bonds: str | None, real: NDArray[np.bool_], start: Array, elements: tuple[int, ...]
) -> NDArray[np.int64]:
    """Bonds: the task's relation where it has one, near atoms where elements are known, else none."""
    if bonds is not None:
        relation = inputs[bonds].numpy()
        bonded = (relation[..., 0] if relation.ndim == 3 else relation)[np.ix_(real, real)] > 0
        found: NDArray[np.int64] = np.argwhere(np.triu(bonded | bonded.T, k=1))
        return found
    return bonded_pairs(start, elements) if elements else np.zeros((0, 2), dtype=np.int64)


def sizes_of(inputs: Mapping[str, Tensor], name: str | None, real: NDArray[np.bool_]) -> Array | None:
    """Relative radii: cube roots of a scalar, 1 on average, none below a half of that."""
    if name is None:
        return None
    radii = np.cbrt(np.abs(inputs[name][..., 0].double().numpy()[real]))
    mean = float(radii.mean())
    return np.maximum(radii / mean, 0.5) if mean > 0 else None


def caption(scene: Scene, task: Task, error: float) -> str:
    """The item's error in the task's metric, the mean distance from the target, and the equivariance error."""
    unit = scene.unit if scene.quantity == "positions" else scene.arrow_unit
    parts = [f"{task.metric.name} {rounded(error)} {task.metric.unit}".rstrip()]
    if scene.quantity == "positions":
        parts.append(f"off by {rounded(mean_distance(scene.predicted, scene.true))} {unit}".rstrip())
    if scene.transformed is not None:
        apart = rounded(mean_distance(scene.transformed, scene.predicted))
        parts.append(f"equivariance error {apart} {unit}".rstrip())
    return ", ".join(parts)


def rounded(value: float) -> str:
    """Two digits.

    >>> rounded(0.01234), rounded(13.57), rounded(4.6e-5)
    ('0.012', '14', '4.6e-05')
    """
    return f"{float(f'{value:.2g}'):g}"


def mean_distance(first: Array, second: Array) -> float:
    """Mean length of the difference of two sets of points or vectors."""
    return float(np.linalg.norm(first - second, axis=-1).mean())
