"""Handlers of SIGINT and SIGTERM that stop a training at the next safe point."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class Interrupted(BaseException):
    """Carries an interruption through Lightning, which handles `KeyboardInterrupt` with `sys.exit(1)`."""

    def __init__(self, signum: int, saved: bool) -> None:
        super().__init__(signum, saved)
        self.signum, self.saved = signum, saved


class Interrupts:
    """While entered, the first SIGINT or SIGTERM is only recorded; a second one stops the run at once.

    Outside the main thread, and for a signal that the process ignores, nothing is changed.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                former = signal.getsignal(signum)
                if former not in (signal.SIG_IGN, None):  # None: a handler that Python cannot restore
                    self._former[signum] = former
                    signal.signal(signum, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for signum, former in self._former.items():
            signal.signal(signum, former)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise Interrupted(signum, saved=False)
        self.signum = signum
