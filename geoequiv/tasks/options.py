"""Types and checks of the options that tasks share; each error says what came and what is possible.

What a type can say (a seed, a size of at least 1, one of several names) is found in a suite before anything runs; what
depends on the data is checked when the task is loaded.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from geoequiv.errors import ConfigError, unknown

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float64")
DTypeName = Literal["float32", "float64"]
#: what numpy's generators take
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def checked_size(option: str, value: object, largest: int, why: str) -> int:
    """A split size between 1 and `largest`; ConfigError otherwise, naming option, value and reason of the bound."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{option} must be a whole number, got {value!r}.")
    if not 1 <= value <= largest:
        raise ConfigError(f"{option} must lie between 1 and {largest} ({why}), got {value}.")
    return value


def checked_seed(value: object) -> int:
    """A seed that numpy's generators take; ConfigError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
        raise ConfigError(f"seed must be a whole number between 0 and 2**32 - 1, got {value!r}.")
    return value


def checked_choice(kind: str, value: object, choices: tuple[str, ...]) -> str:
    """One of `choices`; ConfigError naming the nearest one otherwise."""
    if value not in choices:
        raise ConfigError(unknown(kind, str(value), choices))
    return str(value)


def checked_dtype(value: "torch.dtype | str") -> "torch.dtype":
    """float32 or float64, given as a torch dtype or by name; ConfigError otherwise."""
    import torch  # here: simulations check their options by the functions above and do without it

    dtype: torch.dtype = getattr(torch, checked_choice("dtype", str(value).removeprefix("torch."), DTYPES))
    return dtype
