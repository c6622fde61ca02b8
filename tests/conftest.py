"""Shared by all tests."""

import signal

import pytest

#: signals that those who start a program may have set to be ignored: shells in background jobs, and nohup
OFTEN_IGNORED = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}


@pytest.fixture(autouse=True)
def _signals_of_a_terminal():
    """Handle SIGINT and SIGHUP as in a terminal, whoever starts the tests."""
    former = {signum: signal.signal(signum, handler) for signum, handler in OFTEN_IGNORED.items()}
    yield
    for signum, handler in former.items():
        signal.signal(signum, handler)
