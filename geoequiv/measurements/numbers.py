"""Numbers as a reader wants them: `.0071 ± .0003`, `2.1e-7`, `134k`, `3.2 ms`."""

import math
from collections.abc import Iterable


def decimals_for(values: Iterable[float]) -> int:
    """Decimals that give the smallest non-zero value two significant digits, at most 6.

    >>> decimals_for([0.0071, 0.0819])
    4
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return 4
    return min(max(1 - math.floor(math.log10(min(sizes))), 0), 6)


def fixed(value: float, decimals: int) -> str:
    """A decimal without its leading zero; large values get fewer decimals, tiny ones an exponent.

    >>> fixed(0.00712, 4), fixed(50.93, 4), fixed(0.0, 4), fixed(-0.25, 2)
    ('.0071', '50.93', '0', '-.25')
    """
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -4 and abs(value) < 10.0 ** (1 - decimals):
        return scientific(value)
    text = f"{value:.{max(min(decimals, 3 - exponent), 0)}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def plus_minus(mean: float, std: float | None, decimals: int) -> str:
    """Mean and sample standard deviation to the same decimals; one seed has no deviation.

    >>> plus_minus(0.00712, 0.00031, 4), plus_minus(0.0819, None, 4), plus_minus(0.0819, 0.00001, 4)
    ('.0071 ± .0003', '.0819', '.0819 ± <.0001')
    """
    shown = fixed(mean, decimals)
    return shown if std is None else f"{shown} ± {deviation(mean, std, decimals)}"


def deviation(mean: float, std: float, decimals: int) -> str:
    """A standard deviation to the decimals its mean is shown with."""
    shown = fixed(mean, decimals)
    if "e" in shown:
        return scientific(std) if std else "0"
    places = len(shown.partition(".")[2])
    unit = 10.0**-places
    if std and std < unit / 2:
        return f"<{f'{unit:.{places}f}'.removeprefix('0')}"
    return f"{std:.{places}f}".removeprefix("0") if std else "0"


def scientific(value: float) -> str:
    """Two significant digits with a short exponent.

    >>> scientific(2.13e-7)
    '2.1e-7'
    """
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def small(value: float | None) -> str:
    """An error of any size: plain down to a thousandth, an exponent below.

    >>> small(2.13e-7), small(0.0341), small(0.512), small(1.7), small(None)
    ('2.1e-7', '.034', '.51', '1.7', '–')
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e4:
        return scientific(value)
    return fixed(value, max(1 - math.floor(math.log10(abs(value))), 0))


def count(value: float | None) -> str:
    """A count in thousands or millions.

    >>> count(134_212), count(980), count(1_240_000), count(9_950)
    ('134k', '980', '1.2M', '10k')
    """
    if value is None:
        return "–"
    for limit, size, suffix in ((1e3, 1.0, ""), (999.5e3, 1e3, "k"), (999.5e6, 1e6, "M"), (math.inf, 1e9, "B")):
        if value < limit:
            scaled = value / size
            places = 1 if suffix and scaled < 9.95 else 0
            return f"{scaled:.{places}f}{suffix}"
    raise AssertionError("the last limit is infinite")


def duration(seconds: float | None) -> str:
    """Seconds in the unit that suits them.

    >>> duration(3.2e-3), duration(1.34e-4), duration(75), duration(600), duration(8000), duration(2e-8)
    ('3.2 ms', '134 µs', '75 s', '10 min', '2.2 h', '20 ns')
    """
    if seconds is None:
        return "–"
    units = ((1e-6, 1e-9, "ns"), (1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s"), (7200.0, 60.0, "min"))
    size, name = next(((size, name) for limit, size, name in units if seconds < limit), (3600.0, "h"))
    scaled = seconds / size
    return f"{scaled:.{1 if scaled < 9.95 else 0}f} {name}".replace(".0 ", " ")


def words(name: str) -> str:
    """A key of a record as words.

    >>> words("clamp_event")
    'clamp event'
    """
    return name.replace("_", " ").strip()


def compact(value: float | None) -> str:
    """A setting as a person would write it, to four digits.

    >>> compact(5e-4), compact(0.01), compact(300.0), compact(212.4), compact(None)
    ('5e-4', '.01', '300', '212.4', '–')
    """
    if value is None:
        return "–"
    if value and abs(value) < 1e-3:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    text = f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def metric_title(name: str, unit: str) -> str:
    """A metric's name with its unit.

    >>> metric_title("mse", ""), metric_title("energy_mae", "meV")
    ('MSE', 'energy MAE (meV)')
    """
    text = name.upper() if len(name) <= 4 else words(name).replace("mae", "MAE")
    return f"{text} ({unit})" if unit else text
