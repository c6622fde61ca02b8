"""What tells configurations of one model and method apart: the settings in which they differ."""

import json
from collections import defaultdict
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, TypeVar

from geoequiv.records.former_options import essential
from geoequiv.records.identity import present_settings

#: parts of a configuration that do not tell rows apart: what is measured besides
BESIDES = ("seed", "measure", "align")
K = TypeVar("K", bound=Hashable)


def settled(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration under the present names of its settings, without the seed and what is measured besides."""
    found = {key: value for key, value in present_settings(config).items() if key not in BESIDES}
    return {**found, **essential({"train": found["train"]})} if "train" in found else found


def variants(configs: Mapping[K, Mapping[str, Any]], labels: Mapping[K, Hashable]) -> dict[K, str]:
    """By configuration the settings that those of an equal label do not share, such as "model.depth=2, train.lr=0.1".

    Args:
        configs: `settled` configurations.
        labels: of each, such as model and method.
    """
    namesakes: dict[Hashable, list[K]] = defaultdict(list)
    for key in configs:
        namesakes[labels[key]].append(key)
    found = dict.fromkeys(configs, "")
    for keys in namesakes.values():
        if len(keys) == 1:
            continue
        flat = {key: _flat(configs[key]) for key in keys}
        names = sorted({name for settings in flat.values() for name in settings})
        differing = [name for name in names if len({flat[key].get(name) for key in keys}) > 1]
        for key in keys:
            found[key] = ", ".join(f"{name}={flat[key][name]}" for name in differing if name in flat[key])
    return found


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        parts = (_flat(item, f"{prefix}.{name}" if prefix else str(name)) for name, item in value.items())
        return {name: text for part in parts for name, text in part.items()}
    if isinstance(value, Mapping | list | tuple):
        return {prefix: json.dumps(value, ensure_ascii=False)}
    return {prefix: _shown(value)}


@lru_cache(maxsize=4096, typed=True)  # rows have most of their settings in common
def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
