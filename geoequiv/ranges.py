"""Numbers with a range, as types for the options of constructors; NaN and infinity are in none of them.

A constructor writes the range of an option as its type, and nothing else::

    @check_ranges
    class Ring(nn.Module):
        def __init__(self, signature: Signature, *, width: PositiveInt = 32, cutoff: PositiveFloat | None = None):

What is read from a suite is checked against these types before anything runs, so that ``width: 0`` is one error with
file, line and key; ``check_ranges`` makes a call from Python raise as well.
"""

import inspect
from collections.abc import Callable
from functools import cache, wraps
from numbers import Integral, Real
from typing import Annotated, Any, TypeVar, get_args

from pydantic import Field, TypeAdapter, ValidationError

from geoequiv.errors import ConfigError

T = TypeVar("T")

#: 1, 2, 3, …
PositiveInt = Annotated[int, Field(ge=1)]
#: 0, 1, 2, …
NonNegativeInt = Annotated[int, Field(ge=0)]
#: any real number
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
#: x > 0
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
#: x ≥ 0
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
#: 0 ≤ x ≤ 1
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
#: 0 ≤ x < 1
ProperFraction = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
#: 0 < x ≤ 1
PositiveFraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


def check_ranges(cls: type[T]) -> type[T]:
    """Class decorator: the constructor raises for an option that is not in the range which its type states.

    Raises:
        ConfigError: by the constructor; names the class, the option, the range and the value.

    >>> @check_ranges
    ... class Ring:
    ...     def __init__(self, width: PositiveInt = 32): ...
    >>> Ring(width=0)
    Traceback (most recent call last):
    geoequiv.errors.ConfigError: Ring: width must be greater than or equal to 1, got 0.
    """
    plain: Callable[..., None] = inspect.getattr_static(cls, "__init__")
    signature = inspect.signature(plain)

    @cache
    def ranges() -> dict[str, TypeAdapter[Any]]:
        annotations = {name: each.annotation for name, each in signature.parameters.items()}
        return {name: TypeAdapter(each) for name, each in annotations.items() if has_range(each)}

    @wraps(plain)
    def checked(self: Any, *args: Any, **options: Any) -> None:
        try:
            given = signature.bind(self, *args, **options).arguments
        except TypeError:  # the call below raises Python's own error
            given = {}
        for name, adapter in ranges().items():
            if name in given:
                check(adapter, given[name], f"{type(self).__name__}: {name}")
        plain(self, *args, **options)

    type.__setattr__(cls, "__init__", checked)  # as cls.__init__ = …, which mypy refuses
    return cls


def has_range(annotation: Any) -> bool:
    """Whether a type is one of this file, alone or in a union."""
    return hasattr(annotation, "__metadata__") or any(map(has_range, get_args(annotation)))


def check(adapter: "TypeAdapter[Any]", value: Any, name: str) -> None:
    """Raise ConfigError if a value does not fit; text and booleans are not numbers, numbers of NumPy are."""
    convert: Callable[[Any], Any] = lambda each: each  # noqa: E731
    if not isinstance(value, bool) and isinstance(value, Real):
        convert = int if isinstance(value, Integral) else float
    try:
        adapter.validate_python(convert(value), strict=True)
    except ValidationError as error:
        expected = error.errors(include_url=False)[0]["msg"].removeprefix("Input should be ")
        raise ConfigError(f"{name} must be {expected}, got {value!r}.") from None
