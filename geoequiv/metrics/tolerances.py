"""What counts as round-off."""

from geoequiv.errors import GeoequivError, unknown

#: Largest relative error that counts as round-off, by the dtype of the outputs.
TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "bfloat16": 5e-2, "float16": 5e-3}


def tolerance_of(dtype: str, given: float | None = None) -> float:
    """The tolerance to use: the given one, or that of the dtype (``"float32"``).

    Raises:
        GeoequivError: if there is none for the dtype.
    """
    if given is not None:
        return given
    if dtype not in TOLERANCES:
        raise GeoequivError(unknown("dtype", dtype, TOLERANCES) + " Give a tolerance.")
    return TOLERANCES[dtype]
