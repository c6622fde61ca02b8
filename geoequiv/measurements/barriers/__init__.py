"""Barriers: what merging a network with its transformed copies, or with another training, costs.

Nothing imports this before a suite or a command asks for barriers.
"""

from typing import TYPE_CHECKING

from geoequiv.importing import lazy_names

if TYPE_CHECKING:
    from geoequiv.measurements.barriers.elements import describe_rotation, elements_of, rotation_angle
    from geoequiv.measurements.barriers.merging import OtherTraining, batches_of, measure_barriers
    from geoequiv.measurements.barriers.settings import AlignConfig
    from geoequiv.measurements.barriers.units import cycle_lengths, units_of
else:  # imported on first use: an `align:` section is checked without torch
    __getattr__ = lazy_names(
        __name__,
        {
            "AlignConfig": "settings",
            "OtherTraining": "merging",
            "batches_of": "merging",
            "cycle_lengths": "units",
            "describe_rotation": "elements",
            "elements_of": "elements",
            "measure_barriers": "merging",
            "rotation_angle": "elements",
            "units_of": "units",
        },
    )

__all__ = [
    "AlignConfig",
    "OtherTraining",
    "batches_of",
    "cycle_lengths",
    "describe_rotation",
    "elements_of",
    "measure_barriers",
    "rotation_angle",
    "units_of",
]
