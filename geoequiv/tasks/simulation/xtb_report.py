"""What a simulated trajectory looks like: temperature, energy drift, bond lengths; kept as JSON beside its npz."""

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError
from geoequiv.tasks.data.elements import symbol
from geoequiv.tasks.data.trajectory import bonds_within

Array = NDArray[np.float64]
LONGEST = {False: 1.75, True: 1.25}  # Å, bonds of the first frame: without and with hydrogen
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BIN = 0.01  # Å
FEWEST = 8  # blocks from which a standard error is estimated


def report_of(
    *,
    plan: Mapping[str, Any],
    identity: Mapping[str, Any],
    positions: Array,
    charges: NDArray[Any],
    temperatures: Array,
    target: float,
    step: float,
    nve_energies: Array,
    checksum: str,
    steps_per_second: float | None,
) -> dict[str, Any]:
    """Everything that is reported about a trajectory, as JSON values.

    Args:
        plan: options of the simulation.
        identity: settings and versions.
        positions: ``[T, N, 3]``, Å.
        charges: ``[N]``.
        temperatures: ``[T]``, K, over 3N − 6 degrees of freedom.
        target: the thermostat's temperature.
        step: fs.
        nve_energies: ``[M]``, eV, total energy of the segment without thermostat.
        checksum: sha256 of the npz file.
        steps_per_second: of this machine, or None.
    """
    mean, error = float(temperatures.mean()), standard_error(temperatures)
    return {
        "plan": dict(plan),
        "settings": dict(identity),
        "temperature": {"target": target, "mean": mean, "standard_error": error, "std": float(temperatures.std())},
        "nve": energy_drift(nve_energies, step, len(charges)),
        "bonds": bond_lengths(positions, charges),
        "steps_per_second": steps_per_second,
        "sha256": checksum,
    }


def standard_error(values: Array) -> float | None:
    """Of the mean of a correlated series: the largest over block lengths 1, 2, 4 …, with at least 8 blocks left.

    Exactness: too small for a series shorter than about ten correlation times. None below 8 values.

    Reference:
        Flyvbjerg & Petersen, J. Chem. Phys. 91, 461 (1989).
    """
    found = []
    blocks = values
    while len(blocks) >= FEWEST:
        found.append(float(blocks.std(ddof=1) / np.sqrt(len(blocks))))
        even = len(blocks) // 2 * 2
        blocks = blocks[:even].reshape(-1, 2).mean(1)
    return max(found, default=None)


def energy_drift(energies: Array, step: float, atoms: int) -> dict[str, float]:
    """Slope of the total energy (least squares) and its scatter about the line, both per atom."""
    time = step * 1e-3 * np.arange(len(energies))
    slope, start = np.polyfit(time, energies, 1)
    scatter = float((energies - slope * time - start).std())
    return {
        "ps": float(step * 1e-3 * len(energies)),
        "drift_mev_per_atom_per_ps": float(1e3 * slope / atoms),
        "scatter_mev_per_atom": 1e3 * scatter / atoms,
    }


def bond_lengths(positions: Array, charges: NDArray[Any]) -> dict[str, dict[str, Any]]:
    """Lengths over all frames, by the elements at both ends: mean, std, range, quantiles and a histogram (Å)."""
    kinds: dict[str, list[tuple[int, int]]] = {}
    for i, j in bonds(positions[0], charges):
        pair = "–".join(symbol(int(z)) for z in sorted((charges[i], charges[j]), reverse=True))
        kinds.setdefault(pair, []).append((i, j))
    found = {}
    for kind, pairs in sorted(kinds.items()):
        i, j = np.array(pairs).T
        lengths = np.linalg.norm(positions[:, i] - positions[:, j], axis=-1).ravel()
        first, last = int(lengths.min() / BIN), int(lengths.max() / BIN) + 1
        counts, _ = np.histogram(lengths, bins=last - first, range=(first * BIN, last * BIN))
        found[kind] = {
            "bonds": len(pairs),
            "mean": float(lengths.mean()),
            "std": float(lengths.std()),
            "min": float(lengths.min()),
            "max": float(lengths.max()),
            "quantiles": {str(q): float(v) for q, v in zip(QUANTILES, np.quantile(lengths, QUANTILES), strict=True)},
            "histogram": {"from": round(first * BIN, 2), "bin": BIN, "counts": counts.tolist()},
        }
    return found


def bonds(positions: Array, charges: NDArray[Any]) -> list[tuple[int, int]]:
    """Bonded pairs of one frame ``[N, 3]``: closer than 1.75 Å, with hydrogen than 1.25 Å (never two hydrogens)."""
    close = {hydrogen: bonds_within(positions, reach) for hydrogen, reach in LONGEST.items()}
    light = charges == 1
    return [
        (i, j)
        for i, j in combinations(range(len(charges)), 2)
        if not (light[i] and light[j]) and close[bool(light[i] or light[j])][i, j]
    ]


def finding(path: Path) -> dict[str, Any] | None:
    """The report beside a trajectory, or None if there is none.

    Raises:
        DataError: it cannot be read.
    """
    beside = path.with_suffix(".json")
    try:
        report = json.loads(beside.read_text(encoding="utf-8"))
        report["sha256"], report["plan"], report["temperature"]["mean"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{beside} is not the report of a simulation ({type(error).__name__}: {error}).") from error
    return dict(report)


def lines_of(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A report as lines (name, text)."""
    plan, heat, nve, settings = (report[name] for name in ("plan", "temperature", "nve", "settings"))
    error = "not known" if heat["standard_error"] is None else f"{heat['standard_error']:.1f} K"
    programs = ", ".join(f"{name} {version}" for name, version in settings["versions"].items())
    speed = report["steps_per_second"]
    return [
        (
            "Simulation",
            f"{settings['theory']}, Langevin {settings['temperature']:g} K, friction {settings['friction']:g}/fs, "
            f"steps of {settings['step']:g} fs: {plan['frames']} frames after {plan['equilibration']} steps, "
            f"seed {plan['seed']}",
        ),
        ("Temperature", f"{heat['mean']:.1f} K ± {error} (s.e.), thermostat {heat['target']:g} K"),
        (
            "Energy drift",
            f"{nve['drift_mev_per_atom_per_ps']:+.4f} meV/atom/ps over {nve['ps']:g} ps without thermostat, scatter "
            f"{nve['scatter_mev_per_atom']:.3f} meV/atom",
        ),
        *(
            (
                f"Bonds {kind}",
                f"{bond['bonds']}: {bond['mean']:.3f} ± {bond['std']:.3f} Å, {bond['min']:.3f} to {bond['max']:.3f}",
            )
            for kind, bond in report["bonds"].items()
        ),
        ("Made with", programs + (f"; {speed:.0f} steps/s" if speed else "")),
        ("sha256", report["sha256"]),
    ]
