"""The command line: one file a command, put together in ``command``."""
# PYTHON_ARGCOMPLETE_OK: shells with global completion of Python programs look for this mark

from geoequiv.cli.command import main

__all__ = ["main"]
