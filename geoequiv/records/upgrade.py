"""Records of former schemas, upgraded to the present one with all that they say."""

from collections.abc import Callable, Mapping
from typing import Any

from geoequiv.records.alignment import barrier_numbers
from geoequiv.records.identity import present_options
from geoequiv.records.schema import SCHEMA, further_keys
from geoequiv.records.schema_1 import Equivariance1, Measured1, Metric1, Record1

#: Schema 1 stated no family; its labels begin with it. What begins otherwise is of another family.
FAMILY_PREFIXES = (
    ("none", "none"),
    ("augment", "augmentation"),
    ("remul", "remul"),
    ("frame", "frame"),
    ("group", "group"),
    ("test-time", "test_time"),
    ("invariance", "invariance"),
    ("late ", "invariance"),
    ("latent", "latent"),
    ("built-in", "builtin"),
    ("builtin", "builtin"),
)
#: Schema 1 called the distance to the group average E. The paper's E was not measured then.
NAMES_1 = {"relative": "relative", "worst": "worst", "E_prime": "E_prime", "E": "to_average"}


def upgraded(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a record file in the present schema; content of the present schema as it is.

    Raises:
        ValueError: it is of a schema that this version does not know. pydantic's `ValidationError`, a `ValueError`
            too, where it does not fit the schema that it names.
    """
    found = dict(content)
    while (version := found.get("schema")) != SCHEMA:
        if version not in UPGRADES or isinstance(version, bool):
            raise ValueError(_unknown(version))
        found = UPGRADES[version](found)
    return found


def from_schema_1(content: Mapping[str, Any]) -> dict[str, Any]:
    """From schema 1. What it called E is `to_average`; nothing is lost."""
    former = Record1.model_validate(content)
    numbers: dict[str, dict[str, Any]] = {}
    described: dict[str, dict[str, Any]] = {}
    settings: dict[str, Any] = {}
    if former.metric is not None:
        numbers |= _metric_numbers(former.metric)
        described |= _further_metrics(former.metric)
    for prefix, of, measured in (
        ("", "equivariance", former.equivariance),
        ("own/", "own", former.equivariance_own),
        ("before/", "before", former.equivariance_before),
    ):
        if measured is not None:
            numbers |= _equivariance_numbers(measured, prefix)
            settings[of] = measured.model_dump(include={"group", "num_items", "num_samples", "dtype"})
    numbers |= _cost_numbers(former)
    if former.seconds is not None:
        settings["timing"] = former.seconds.model_dump(include={"batch_size", "threads"})
    if "evaluate" in former.config:
        settings["evaluate"] = former.config["evaluate"]
    alignment = present_alignment(content.get("alignment"))
    method = former.config.get("symmetry")
    config = {**former.config, "symmetry": present_options(method)} if isinstance(method, Mapping) else former.config
    kept = ("run_id", "suite", "status", "error", "task", "protocol", "model", "seed")
    return {
        "schema": 2,
        **{key: getattr(former, key) for key in kept},
        "config": config,
        "method": {
            "name": method.get("name", "") if isinstance(method, Mapping) else "",
            "family": family_of_label(former.symmetry),
            "label": former.symmetry,
        },
        "metric": former.metric.model_dump(include={"name", "unit", "better"}) if former.metric else None,
        "numbers": numbers | barrier_numbers(alignment),
        "settings": settings,
        "described": described,
        "task_card": former.task_card,
        "alignment": alignment,
        "environment": former.environment,
        "started": former.started,
        "finished": former.finished,
    }


UPGRADES: dict[Any, Callable[[Mapping[str, Any]], dict[str, Any]]] = {1: from_schema_1}


def present_alignment(alignment: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Barriers of schema 1 with their settings under present names: the yardstick is the seed-to-seed baseline."""
    if not alignment or "yardstick" not in alignment.get("settings", {}):
        return alignment
    settings = {("seed_baseline" if key == "yardstick" else key): each for key, each in alignment["settings"].items()}
    return {**alignment, "settings": settings}


def family_of_label(label: str) -> str:
    """The family that a label of schema 1 begins with.

    >>> family_of_label("REMUL β=1 SO(3)")
    'remul'
    """
    lowered = label.strip().lower().replace("_", " ")
    return next((family for prefix, family in FAMILY_PREFIXES if lowered.startswith(prefix)), "other")


def _metric_numbers(metric: Metric1) -> dict[str, dict[str, Any]]:
    found: dict[str, Measured1] = {"metric": metric}
    for mark, sides in metric.marks.items():
        found |= {f"metric/{side}/{mark}": value for side, value in sides.items() if value is not None}
    found |= {f"metric/split/{name}": value for name, value in metric.splits.items() if value is not None}
    found |= dict(zip(_keys_of_further(metric), metric.further, strict=True))
    return {key: {"value": each.value, "n": each.n} for key, each in found.items()}


def _keys_of_further(metric: Metric1) -> tuple[str, ...]:
    return further_keys((each.name, each.unit) for each in metric.further)


def _further_metrics(metric: Metric1) -> dict[str, dict[str, Any]]:
    return {
        key: {"title": each.name, "unit": each.unit, "better": each.better}
        for key, each in zip(_keys_of_further(metric), metric.further, strict=True)
    }


def _equivariance_numbers(measured: Equivariance1, prefix: str) -> dict[str, dict[str, Any]]:
    numbers = {}
    for name, key in NAMES_1.items():
        if (value := getattr(measured, name)) is not None:
            errors = measured.standard_errors.get(name)
            numbers[f"{prefix}{key}"] = {"value": value, **(errors.model_dump() if errors else {})}
    return numbers


def _cost_numbers(former: Record1) -> dict[str, dict[str, Any]]:
    validation, flops, seconds = former.validation, former.flops, former.seconds
    train = former.config.get("train")
    values = {
        "params": former.params,
        "flops/forward": flops and flops.forward,
        "flops/backward": flops and flops.backward,
        "seconds/train": seconds and seconds.train,
        "seconds/inference": seconds and seconds.inference,
        "validation/best": validation and validation.best,
        "epochs/best": validation and validation.best_epoch,
        "epochs/run": validation and validation.epochs_run,
        "lr": train.get("lr") if former.status == "finished" and isinstance(train, Mapping) else None,
    }
    return {key: {"value": value} for key, value in values.items() if value is not None}


def _unknown(version: Any) -> str:
    if isinstance(version, int) and version > SCHEMA:
        return f"of schema {version}, which a later geoequiv wrote; this one reads up to {SCHEMA}. Upgrade geoequiv"
    known = ", ".join(str(each) for each in (*UPGRADES, SCHEMA))
    return f"does not fit the schema: schema: expected one of {known}, got {version!r}"
