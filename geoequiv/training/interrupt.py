"""Signals during a training: it stops at the next point from which it can be resumed."""

import signal
from types import FrameType

from geoequiv.signals import ENDING, Handlers


class Interrupted(BaseException):
    """Carries an interruption through Lightning, which handles `KeyboardInterrupt` with `sys.exit(1)`."""

    def __init__(self, signum: int, saved: bool) -> None:
        super().__init__(signum, saved)
        self.signum, self.saved = signum, saved


class Interrupts(Handlers):
    """While entered, the first SIGINT or signal of `ENDING` is only noted; a second one stops the run at once."""

    def __init__(self) -> None:
        super().__init__((signal.SIGINT, *ENDING))

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Note the signal, for the callback that saves."""
        if self.signum is not None:
            raise Interrupted(signum, saved=False)
        self.signum = signum
