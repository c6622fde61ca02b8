"""Signals that end a program: SIGTERM, SIGHUP, SIGUSR1, SIGUSR2. Exit status 128 + number, whatever it is doing."""

import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from geoequiv.errors import GeoequivError

#: what `kill` sends, what a closed terminal sends, and what SLURM is told to send before a time limit (submitit: USR2)
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name))


class Ended(SystemExit):
    """A signal has asked the program to end. A ``SystemExit``, so that nothing needs to catch it."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


@contextmanager
def no_exit(what: str) -> Iterator[None]:
    """While entered, ``sys.exit`` in the code of a user is an error; a signal that ends the program passes through.

    Raises:
        GeoequivError: the code called sys.exit.
    """
    try:
        yield
    except Ended:
        raise
    except SystemExit as error:
        raise GeoequivError(f"{what} called sys.exit({error.code!r}).") from error


class Handlers(ABC):
    """Handlers of signals while entered, the former ones afterwards.

    Outside the main thread, for a signal that the process ignores, and for one whose handler Python cannot restore,
    nothing is changed.
    """

    def __init__(self, signals: tuple[int, ...]) -> None:
        self.signals = signals
        self.signum: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "Handlers":
        if threading.current_thread() is threading.main_thread():
            for signum in self.signals:
                former = signal.getsignal(signum)
                if former not in (signal.SIG_IGN, None):
                    self._former[signum] = former
            self.install()
        return self

    def install(self) -> None:
        """Set the handlers again, where other code may have set its own since."""
        for signum in self._former:
            signal.signal(signum, self.handle)

    def __exit__(self, *raised: Any) -> None:
        for signum, former in self._former.items():
            signal.signal(signum, former)

    @abstractmethod
    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Called on a signal."""


class EndOnSignals(Handlers):
    """While entered, a signal of ``ENDING`` raises ``Ended``, and SIGINT ``KeyboardInterrupt``.

    ``signum`` keeps it, for Python drops an exception that a handler raises while a destructor runs, and other code may
    turn it into another one: see ``raise_if_ended``.
    """

    active: "EndOnSignals | None" = None

    def __init__(self) -> None:
        super().__init__((signal.SIGINT, *ENDING))

    def __enter__(self) -> "EndOnSignals":
        super().__enter__()
        EndOnSignals.active = self
        return self

    def __exit__(self, *raised: Any) -> None:
        EndOnSignals.active = None
        super().__exit__(*raised)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """End the program."""
        self.signum = signum
        raise_if_ended()


def raise_if_ended() -> None:
    """Raise again what a signal raised, where it was lost on the way.

    Raises:
        KeyboardInterrupt: SIGINT has come.
        Ended: another signal has come.
    """
    signum = EndOnSignals.active.signum if EndOnSignals.active else None
    if signum is None:
        return
    raise KeyboardInterrupt if signum == signal.SIGINT else Ended(signum)
