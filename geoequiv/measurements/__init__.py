"""The numbers of a board: one table that says how each is measured, shown, compared and put together over seeds."""

from typing import TYPE_CHECKING

from geoequiv.importing import lazy_names

if TYPE_CHECKING:
    from geoequiv.measurements.measurement import Measured, Measurement, Reading
    from geoequiv.measurements.settings import EvaluateConfig
    from geoequiv.measurements.table import MEASUREMENTS, RANKING, measurement_of
else:  # imported on first use: the evaluate: section needs no table
    __getattr__ = lazy_names(
        __name__,
        {
            "EvaluateConfig": "settings",
            "MEASUREMENTS": "table",
            "Measured": "measurement",
            "Measurement": "measurement",
            "RANKING": "table",
            "Reading": "measurement",
            "measurement_of": "table",
        },
    )

__all__ = ["MEASUREMENTS", "RANKING", "EvaluateConfig", "Measured", "Measurement", "Reading", "measurement_of"]
