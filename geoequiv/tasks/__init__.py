"""Benchmark tasks: data, splits, signature, loss, metric and published numbers, one task a file."""

from geoequiv.tasks.cache import data_directory, list_cached, verify
from geoequiv.tasks.task import Head, Metric, Reference, Split, Task

__all__ = ["Head", "Metric", "Reference", "Split", "Task", "data_directory", "list_cached", "verify"]
