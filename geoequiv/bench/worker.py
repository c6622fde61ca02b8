"""A worker process: does the runs that it is sent, until the connection closes, its parent dies or a signal comes.

This module imports little: a worker watches its parent before it loads torch.
"""

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from geoequiv.signals import Ended, EndOnSignals

if TYPE_CHECKING:
    from geoequiv.records.store import Store
    from geoequiv.session import Session


def work(connection: Connection, store: "Store", session: "Session", threads: int) -> None:
    """Receive runs and send their outcomes.

    SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 end the worker with status 128 + signal; a training is saved first. SIGINT is
    ignored: Ctrl-C reaches every process of a terminal, and the parent decides.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with EndOnSignals():
            import torch

            from geoequiv.bench.perform import perform

            torch.set_num_threads(threads)
            while True:
                connection.send(perform(connection.recv(), store, session))
    except (EOFError, OSError):  # the parent has closed the connection
        return
    except Ended as ended:
        sys.exit(ended.code)


def _end_with_parent() -> None:
    """End at once when the parent is killed: the resumed suite wants the run."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
