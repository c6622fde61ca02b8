"""Progress of a training: the argument of schedules and curricula."""

from dataclasses import dataclass

from geoequiv.errors import ConfigError


@dataclass(frozen=True)
class StepProgress:
    """A step of a training and the number of steps.

    Attributes:
        step: steps done before this one.
        total: steps of the whole training; ``None`` if it is not known.
    """

    step: int = 0
    total: int | None = None

    def passed(self, over: float, what: str) -> float:
        """How much of the first fraction ``over`` of the training is done: ``min(1, step / (over · total))``.

        Args:
            over: a fraction of the training, in (0, 1].
            what: subject of the error message.

        Raises:
            ConfigError: the length of the training is not known.
        """
        if self.total is None:
            raise ConfigError(
                f"{what} needs the length of the training: give total_steps=…, or call at_step(step, total) "
                "before each step (training from a suite does)."
            )
        return min(1.0, self.step / max(1.0, over * self.total))
