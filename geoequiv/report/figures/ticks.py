"""Numbers on logarithmic axes, the same in figures and in the inline plots of a leaderboard."""

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def tick(value: float, least: float = 1e-3, most: float = 1e4) -> str:
    """A tick: a plain number from ``least`` to below ``most``, else a power of ten with its factor.

    >>> tick(0.05), tick(100.0), tick(2e-5), tick(1e-7)
    ('0.05', '100', '2×10⁻⁵', '10⁻⁷')
    """
    if least * (1 - 1e-9) <= value < most * (1 - 1e-9):
        return f"{value:.4g}"
    factor, _, exponent = f"{value:.0e}".partition("e")
    power = "10" + str(int(exponent)).translate(_RAISED)
    return power if factor == "1" else f"{factor}×{power}"
