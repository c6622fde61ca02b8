"""Lets the tests of the pages of findings use made-up records."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))  # made_up_records.py
from made_up_records import record, results

__all__ = ["record", "results"]
