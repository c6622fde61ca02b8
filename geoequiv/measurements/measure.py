"""Measure a model by every row of the table that can be measured at a time, each function called once."""

from collections.abc import Sequence

from geoequiv.measurements import table
from geoequiv.measurements.measurement import Measured, Subject, When
from geoequiv.measurements.own import function_of, measure_own


def measure(subject: Subject, when: When, own: Sequence[str] = ()) -> Measured:
    """Call the measuring functions in the order of the table, each once.

    Args:
        subject: the model, its task and its settings.
        when: "untrained", "training" or "trained".
        own: the user's own measurements, "module:object", called last.

    Raises:
        GeoequivError: whatever a measurement raises.
    """
    rows = {row.measured_by: row for row in table.MEASUREMENTS if row.when == when and row.measured_by is not None}
    found = Measured({})
    for row in rows.values():
        found |= function_of(row)(subject)
    for path in own:
        found |= measure_own(path, subject)
    return found
