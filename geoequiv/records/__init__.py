"""Records of runs: one schema that writes and reads, the run directories they lie in, and packed files of them."""

from typing import TYPE_CHECKING

from geoequiv.importing import lazy_names

if TYPE_CHECKING:
    from geoequiv.records.alignment import AlignmentOfRun, MergeOfRun
    from geoequiv.records.reading import LeftOut, Records, read, read_run
    from geoequiv.records.schema import SCHEMA, Description, MethodOfRun, MetricOfRun, Number, Record, TaskCard
else:  # imported on first use: the id of a run needs no schema
    __getattr__ = lazy_names(
        __name__,
        {
            "AlignmentOfRun": "alignment",
            "Description": "schema",
            "LeftOut": "reading",
            "MergeOfRun": "alignment",
            "MethodOfRun": "schema",
            "MetricOfRun": "schema",
            "Number": "schema",
            "Record": "schema",
            "Records": "reading",
            "SCHEMA": "schema",
            "TaskCard": "schema",
            "read": "reading",
            "read_run": "reading",
        },
    )

__all__ = [
    "SCHEMA",
    "AlignmentOfRun",
    "Description",
    "LeftOut",
    "MergeOfRun",
    "MethodOfRun",
    "MetricOfRun",
    "Number",
    "Record",
    "Records",
    "TaskCard",
    "read",
    "read_run",
]
