"""A user's own measurement: a function of the suite, or a `Measurement` that describes one."""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from geoequiv.errors import ConfigError, ModelOutputError
from geoequiv.importing import import_object
from geoequiv.measurements.measurement import Measured, Measurement, Reading, Subject
from geoequiv.measurements.numbers import words
from geoequiv.measurements.table import row_of

HOW = (
    "A measurement is a function of (model, task) that returns a number or {part: number}, or a "
    "geoequiv.Measurement whose measured_by is one."
)


def own_measurement(path: str) -> Measurement:
    """The measurement that a suite names.

    Args:
        path: "module:object", a function or a `Measurement`.

    Raises:
        GeoequivError: it cannot be imported.
        ConfigError: it is no measurement, or its key is one of the table's.
    """
    found: Any = import_object("measurement", path)
    if isinstance(found, Measurement):
        measurement = found
        if not measurement.measured_by:
            raise ConfigError(f"The measurement '{path}' has no measured_by. {HOW}")
    elif callable(found):
        name = getattr(found, "__name__", "")
        if not name.isidentifier():
            raise ConfigError(f"'{path}' is a function without a name. {HOW}")
        measurement = Measurement(name, title=words(name), hint=_first_sentence(found) or words(name), measured_by=path)
    else:
        raise ConfigError(f"'{path}' is {type(found).__name__}, not a measurement. {HOW}")
    if row_of(measurement.key) is not None or not measurement.key:
        raise ConfigError(f"The key '{measurement.key}' of the measurement '{path}' is taken: give it another.")
    _check_call(path, measurement)
    return measurement


def _check_call(path: str, measurement: Measurement) -> None:
    """Refuse what cannot be called with a model and a task, before anything is trained."""
    try:
        inspect.signature(function_of(measurement)).bind(None, None)
    except TypeError as error:
        raise ConfigError(f"'{path}' cannot be called with (model, task): {error}. {HOW}") from None
    except ValueError:  # a builtin that does not tell what it takes
        return


def function_of(measurement: Measurement) -> Callable[..., Any]:
    """The function that measures it."""
    by = measurement.measured_by
    assert by is not None, f"{measurement.key} has no function"
    return import_object("measurement", by) if isinstance(by, str) else by


def measure_own(path: str, subject: Subject) -> Measured:
    """Call a user's own measurement.

    Raises:
        ModelOutputError: it returned something else than a finite number, or a mapping of names to such numbers.
    """
    measurement = own_measurement(path)
    found = function_of(measurement)(subject.model, subject.task)
    parts = {f"{measurement.key}/{part}": value for part, value in found.items()} if isinstance(found, Mapping) else {
        measurement.key: found
    }  # fmt: skip
    numbers = {key: Reading(_number(path, key, value)) for key, value in parts.items()}
    described = {}
    for key in numbers:
        about = measurement.described()
        part = words(key.removeprefix(measurement.key).removeprefix("/"))
        title = f"{measurement.title or words(measurement.key)}{f', {part}' if part else ''}"
        described[key] = {**about, "title": title, "hint": about["hint"] or title}
    return Measured(numbers, described=described)


def _number(path: str, key: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if not math.isfinite(number):
        raise ModelOutputError(f"The measurement '{path}' returned {value!r} for '{key}'; expected a finite number.")
    return number


def _first_sentence(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").strip().split("\n")[0].rstrip(".")
