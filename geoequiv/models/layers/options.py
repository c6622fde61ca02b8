"""Which numbers an option of an architecture may be."""

from numbers import Integral, Real

from geoequiv.errors import SignatureError


def whole(architecture: str, least: int = 1, **options: int) -> None:
    """Raise SignatureError unless every option is a whole number of at least ``least``."""
    for name, value in options.items():
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            raise SignatureError(f"{architecture}: {name} must be a whole number of at least {least}, got {value!r}.")


def positive(architecture: str, **options: float) -> None:
    """Raise SignatureError unless every option is a positive number."""
    for name, value in options.items():
        if not isinstance(value, Real) or not value > 0:
            raise SignatureError(f"{architecture}: {name} must be a positive number, got {value!r}.")
