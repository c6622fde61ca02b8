"""The command line: one file a command, put together in ``command``."""

from geoequiv.cli.command import main

__all__ = ["main"]
