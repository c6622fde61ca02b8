"""Lets the tests of this room use made-up records."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # made_up_records.py
from made_up_records import record, results, suite

__all__ = ["record", "results", "suite"]
