"""Lets the tests of the pages of findings use made-up records."""

from ..report.made_up_records import record, results

__all__ = ["record", "results"]
