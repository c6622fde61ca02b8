"""Labels of runs on boards: the method's name, its group, and what is not the default."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

Options = Mapping[str, Any]


def generic_label(name: str, target: Callable[[], Callable[..., Any]]) -> Callable[[Options, str | None], str]:
    """A label that shows every option which is not the default of the method's target.

    Args:
        name: of the method.
        target: imports the object whose defaults these are.
    """

    def label(options: Options, claims: str | None) -> str:
        parameters = inspect.signature(target()).parameters
        defaults = {key: each.default for key, each in parameters.items() if each.default is not each.empty}
        other = [f"{key} {written(value)}" for key, value in options.items()
                 if key != "group" and (key not in defaults or defaults[key] != value)]  # fmt: skip
        return with_notes(f"{name} {short_group(options.get('group'))}".strip(), other)

    return label


def with_notes(text: str, notes: list[str]) -> str:
    """A label with its notes, if it has any, in parentheses."""
    return f"{text} ({', '.join(notes)})" if notes else text


def written(value: Any) -> str:
    """A value of an option in a label.

    >>> written({"threshold": 0.5, "name": "weighted"}), written(2.0), written([1, 2])
    ('weighted, threshold 0.5', '2', '1 2')
    >>> written({"name": "stochastic", "of": {"name": "weighted", "threshold": 0.5}})
    'stochastic, of (weighted, threshold 0.5)'
    >>> written(0.12345678)
    '0.12345678'
    """
    if isinstance(value, Mapping):
        named = [written(value["name"])] if "name" in value else []
        inner = {
            key: f"({written(each)})" if isinstance(each, Mapping) else written(each) for key, each in value.items()
        }
        return ", ".join(named + [f"{key} {text}" for key, text in inner.items() if key != "name"])
    if isinstance(value, list | tuple):
        return " ".join(map(written, value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def short_group(name: str | None) -> str:
    """A group's name with its node permutations counted instead of listed.

    >>> short_group("SO(2)@y*Cs@x&(0 1)(2 3)/5")
    'SO(2)@y*Cs@x&(2 pairs)/5'
    """
    return re.sub(r"(\(\d+ \d+\))+/", lambda found: f"({found[0].count('(')} pairs)/", name or "")


def none_label(options: Options, claims: str | None) -> str:
    """What the model's architecture claims, if it does."""
    return f"built-in {claims}" if claims else "none"


def augmentation_label(options: Options, claims: str | None) -> str:
    """Group, and the number of draws.

    >>> augmentation_label({"group": "SO(3)", "num_samples": 2}, None)
    'augmentation SO(3) (2 samples)'
    """
    draws = options.get("num_samples", 1)
    return with_notes(f"augmentation {short_group(options['group'])}", [f"{draws} samples"] if draws != 1 else [])


def invariance_label(options: Options, claims: str | None) -> str:
    """When it starts, its weight, and whether the data are augmented.

    >>> invariance_label({"group": "SO(3)", "start": 0.2}, None)
    'late (20%) invariance loss β=1 SO(3)'
    """
    late = f"late ({options['start']:.0%}) " if options.get("start") else ""
    text = f"{late}invariance loss β={options.get('weight', 1):g} {short_group(options['group'])}"
    return with_notes(text, ["augmented"] if options.get("augment") else [])


def latent_label(options: Options, claims: str | None) -> str:
    """Weight, layer and type of the hidden features.

    >>> latent_label({"group": "SO(3)", "layer": "norm", "type": "scalar"}, None)
    'latent equivariance β=1 SO(3) (norm, scalar)'
    """
    where = [options[key] for key in ("layer", "type") if options.get(key)]
    return with_notes(f"latent equivariance β={options.get('weight', 1):g} {short_group(options['group'])}", where)


def frame_label(options: Options, claims: str | None) -> str:
    """Group and frame.

    >>> frame_label({"group": "SE(3)", "frame": {"name": "weighted", "threshold": 0.5}}, None)
    'frame averaging SE(3) (weighted, threshold 0.5)'
    """
    return f"frame averaging {short_group(options.get('group'))} ({written(options.get('frame', 'pca'))})"


def group_label(options: Options, claims: str | None) -> str:
    """Group, and draws, subgroup or quadrature.

    >>> group_label({"group": "SO(3)", "num_samples": 4, "subgroup": "O"}, None)
    'group averaging SO(3) (4 samples × O)'
    """
    samples, subgroup, degree = (options.get(name) for name in ("num_samples", "subgroup", "quadrature"))
    text = f"group averaging {short_group(options['group'])}"
    if degree is not None:
        return f"{text} (quadrature {degree})"
    return f"{text} ({samples} samples{f' × {subgroup}' if subgroup else ''})" if samples else text
