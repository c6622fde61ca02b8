"""Numbers with a range, as types for the options of constructors; NaN and infinity are in none of them.

A constructor writes the range of an option as its type, and nothing else::

    class Ring(nn.Module):
        def __init__(self, signature: Signature, *, width: PositiveInt = 32, cutoff: PositiveFloat | None = None):

What is read from a suite is checked against these types before anything runs, so that ``width: 0`` is one error with
file, line and key. A call from Python is not checked by them: a constructor that would go wrong silently raises its own
error as well.
"""

from typing import Annotated

from pydantic import Field

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
