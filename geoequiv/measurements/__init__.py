"""The numbers of a board: one table that says how each is measured, shown, compared and put together over seeds."""

from geoequiv.measurements.measurement import Measured, Measurement, Reading
from geoequiv.measurements.settings import EvaluateConfig
from geoequiv.measurements.table import MEASUREMENTS, RANKING, measurement_of

__all__ = ["MEASUREMENTS", "RANKING", "EvaluateConfig", "Measured", "Measurement", "Reading", "measurement_of"]
