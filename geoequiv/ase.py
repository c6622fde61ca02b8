"""An ASE calculator of a trained run."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geoequiv.bench.predict import Predictor
from geoequiv.bench.trained import load_trained
from geoequiv.errors import DataError, GeoequivError, unknown
from geoequiv.session import DEFAULT, Session
from geoequiv.tasks.data.sources import NamedArrays

try:
    import ase.io
    from ase import Atoms, units
    from ase.calculators.calculator import Calculator as Base
    from ase.calculators.calculator import all_changes
    from ase.calculators.singlepoint import SinglePointCalculator
except ImportError as error:
    raise GeoequivError("geoequiv.ase needs ASE: pip install 'geoequiv[ase]'.") from error

UNITS = {"eV": 1.0, "meV": 1e-3, "kcal/mol": units.kcal / units.mol, "kJ/mol": units.kJ / units.mol, "Ha": units.Ha}


class Calculator(Base):
    """Energy, forces and, of a run with a cell, stress of one structure, in ASE's units (eV, Å).

    Args:
        run: directory of a finished run whose task asks for an energy, ``scalar per graph``, and forces.
        unit: of the run's energies: eV, meV, kcal/mol, kJ/mol or Ha; its lengths are Å. None: what the task says.
        session: its device and data cache are used.

    Raises:
        DataError: the run cannot be loaded or is of another kind; its unit is not known.

    Exactness: that of the model. Energies of a run with conservative forces are conserved as far as its precision
    (float32) and the time step allow; directly predicted forces conserve nothing.
    """

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012  ASE's own name and kind

    def __init__(self, run: str | Path, unit: str | None = None, session: Session = DEFAULT) -> None:
        super().__init__()
        self._start(Predictor(load_trained(Path(run), session)), str(run), unit)

    @classmethod
    def of(cls, predictor: Predictor, run: str = "the run", unit: str | None = None) -> "Calculator":
        """The same of a run that is loaded already."""
        made = cls.__new__(cls)
        Base.__init__(made)
        made._start(predictor, run, unit)
        return made

    def _start(self, predictor: Predictor, run: str, unit: str | None) -> None:
        self.predictor = predictor
        task = predictor.trained.task
        outputs = task.signature.outputs
        energies = [name for name in outputs.of_kind("scalar") if outputs[name].per_graph]
        forces, points = outputs.of_kind("vector"), task.signature.inputs.of_kind("point")
        if (len(energies), len(forces), len(points)) != (1, 1, 1):
            raise DataError(f"A calculator needs a run with one energy and its forces; {run} is of '{task.signature}'.")
        if not len(self.predictor.elements):
            raise DataError(f"The task of {run} does not name its elements: give it an input 'species: scalar*k'.")
        self.energy, self.forces, self.point = energies[0], forces[0], points[0]
        said = task.drawing.arrow_unit.removesuffix("/Å") if task.drawing else ""
        unit = unit or said
        if not unit:
            raise DataError(f"{task.name} does not say its unit of energy: give Calculator(run, unit=…).")
        if unit not in UNITS:
            raise DataError(unknown("unit of energy", unit, UNITS))
        self.factor = UNITS[unit]
        if "stress" not in outputs:
            self.implemented_properties = ["energy", "forces"]

    def calculate(
        self, atoms: Atoms | None = None, properties: Sequence[str] = ("energy",), system_changes: Any = all_changes
    ) -> None:
        """Fill ``results``; called by ASE.

        Raises:
            DataError: an element that the run has not learned from, or a periodic structure for a run without a cell.
        """
        super().calculate(atoms, properties, system_changes)
        structure: Any = self.atoms  # a copy of what was given
        inputs = self.predictor.trained.task.signature.inputs
        if any(structure.pbc) and "cell" not in inputs:
            raise DataError("The structure is periodic, and the run has no cell: set atoms.pbc = False for a molecule.")
        arrays: dict[str, Any] = {self.point: structure.positions[None], "numbers": structure.numbers[None]}
        if "cell" in inputs:
            arrays |= {"cell": structure.cell.array[None], "pbc": structure.pbc[None].astype(np.float64)}
        self.results |= self.results_of(self.predictor.of_source(arrays_of(arrays)), 0, len(structure))

    def results_of(self, found: Mapping[str, Any], item: int, atoms: int) -> dict[str, Any]:
        """ASE's results of one item of a prediction, in its units."""
        results: dict[str, Any] = {
            "energy": float(found[self.energy][item].reshape(())) * self.factor,
            "forces": found[self.forces][item][:atoms] * self.factor,
        }
        if "stress" in found:
            stress = found["stress"][item] * self.factor
            results["stress"] = np.array([stress[at] for at in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))])
        return results

    def extended_xyz(self, path: Path) -> str:
        """The frames of a file, with energy, forces and stress as predicted, in eV and Å, as extended XYZ.

        Args:
            path: .xyz or .extxyz.

        Raises:
            DataError: ASE or `Predictor.of_file` cannot read the file.
        """
        found = self.predictor.of_file(path)
        try:
            structures = ase.io.read(path, index=":", format="extxyz")
        except (ValueError, KeyError, IndexError, OSError) as error:
            raise DataError(f"ASE cannot read {path}: {error}.") from error
        for item, structure in enumerate(structures):
            structure.calc = SinglePointCalculator(structure, **self.results_of(found, item, len(structure)))
        written = io.StringIO()
        ase.io.write(written, structures, format="extxyz")
        return written.getvalue()


def arrays_of(arrays: dict[str, Any]) -> NamedArrays:
    """Arrays of one structure, as if they had been read from a file."""
    return NamedArrays(Path("the structure"), tuple(arrays), lambda name: (np.asarray(arrays[name], float), None))
