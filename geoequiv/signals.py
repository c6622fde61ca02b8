"""Signals that end a program: SIGTERM, SIGHUP, SIGUSR1. Exit status 128 + number, whatever it is doing."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

#: what `kill` sends, what a closed terminal sends, and what SLURM can be told to send before a time limit
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name))


class Ended(SystemExit):
    """A signal has asked the program to end. A ``SystemExit``, so that nothing needs to catch it."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


class Handlers:
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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, former in self._former.items():
            signal.signal(signum, former)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Called on a signal."""
        raise NotImplementedError


class EndOnSignals(Handlers):
    """While entered, a signal of ``ENDING`` raises ``Ended``.

    ``signum`` keeps it: Python drops an exception that a handler raises while a destructor runs.
    """

    def __init__(self) -> None:
        super().__init__(ENDING)

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """End the program."""
        self.signum = signum
        raise Ended(signum)
