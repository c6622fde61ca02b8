"""Records of runs: one schema that writes and reads, the run directories they lie in, and packed files of them."""

from geoequiv.records.alignment import AlignmentOfRun, MergeOfRun
from geoequiv.records.read import LeftOut, Records, read, read_run
from geoequiv.records.schema import SCHEMA, Description, MethodOfRun, MetricOfRun, Number, Record, TaskCard

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
