"""Options that came after runs were recorded: with these values a run is what it was before the option was there."""

from collections.abc import Mapping
from typing import Any

#: part of a configuration, name in it ("" for any) → option → the values under which it changes nothing
NEUTRAL: dict[tuple[str, str], dict[str, tuple[Any, ...]]] = {
    ("train", ""): {"precision": ("32",), "compile": (False,), "devices": (1,)},
    ("model", "egnn"): {"tanh": (False,), "attention": (False,), "normalize": (False,), "velocity": (True,)},
    ("symmetry", "augmentation"): {"fused": (True,), "num_samples": (1,)},
    ("symmetry", "frame_averaging"): {
        "degenerate": ("enlarge", "orbit", None),
        "tolerance": (None,),
        "frame_from": (None,),
    },
    ("symmetry", "remul"): {
        "anchor": (None,),
        "asymmetry": (None,),
        "beta_start": (None,),
        "bound": (None,),
        "epsilon": (None,),
        "fused": (True,),
        "lr": (None,),
        "num_samples": (1,),
        "over": (None,),
        "sampling": ("haar",),
        "shared": (None,),
        "sigma": (None,),
        "total_steps": (None,),
    },
}


def essential(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without options that have a neutral value: equal for a run before and after they were added.

    >>> essential({"symmetry": {"name": "augmentation", "group": "O(3)", "fused": True}})
    {'symmetry': {'name': 'augmentation', 'group': 'O(3)'}}
    """
    found = dict(config)
    for (part, name), options in NEUTRAL.items():
        section = found.get(part)
        if isinstance(section, Mapping) and name in ("", section.get("name")):
            found[part] = {key: value for key, value in section.items() if not _neutral(options.get(key), value)}
    return found


def _neutral(values: tuple[Any, ...] | None, value: Any) -> bool:
    return any(type(each) is type(value) and each == value for each in values or ())
