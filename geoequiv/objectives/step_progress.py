"""Where in a training a step lies: what schedules and curricula are functions of."""

from dataclasses import dataclass

from geoequiv.errors import ConfigError


@dataclass(frozen=True)
class StepProgress:
    """One step of a training.

    Attributes:
        step: steps done before this one.
        total: steps of the whole training; ``None`` where nobody has told.
    """

    step: int = 0
    total: int | None = None

    def passed(self, over: float, what: str) -> float:
        """How much of the first part ``over`` of the training is done: ``min(1, step / (over · total))``.

        Args:
            over: a fraction of the training, in (0, 1].
            what: for the message.

        Raises:
            ConfigError: the length of the training is not known.
        """
        if self.total is None:
            raise ConfigError(
                f"{what} needs to know how long the training is: give total_steps=…, or call at_step(step, total) "
                "before each step (training from a suite does)."
            )
        return min(1.0, self.step / max(1.0, over * self.total))
