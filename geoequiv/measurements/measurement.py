"""What a measurement is: one number of a board, how it is measured, shown and compared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from geoequiv.errors import ConfigError, unknown
from geoequiv.measurements.formats import FORMATS

if TYPE_CHECKING:
    from torch import Tensor, nn

    from geoequiv.measurements.settings import EvaluateConfig
    from geoequiv.tasks import Task
    from geoequiv.training import FitResult

Better = Literal["lower", "higher"]
#: when a number can be measured: before training, from the training itself, after it, or when a whole suite is trained
When = Literal["untrained", "training", "trained", "suite"]
#: which formats may leave a column out; csv and json have every number
SHOWN_IN = ("html", "md", "svg", "terminal")
Text = str | Callable[[str], str]
Shown = frozenset[str] | Callable[[str], frozenset[str]]


@dataclass(frozen=True)
class Measurement:
    """One row of the table of numbers.

    A key names one number ("params"), or all numbers "key/…" (`qualified`): title, name, hint and shown may then be
    functions of what follows the slash.

    Args:
        key: identifies the number in records, boards and comparisons.
        title: heading of its column.
        hint: one sentence for the tooltip.
        name: what it is called where no heading of a group stands above it; the title if empty.
        heading: the group of columns it belongs to.
        unit: of the value; "" if it has none.
        format: how values are written, a name of `geoequiv.measurements.formats.FORMATS`.
        better: "lower", "higher", or None where neither is.
        over_seeds: what stands for several seeds: their "mean", the "max", or the "first".
        measured_by: the function that measures it, "module:function" or, for a user's own, the function itself.
        when: when it can be measured.
        standard_error: whether one measurement of it has a standard error.
        spread: what follows ±: the sample standard deviation over seeds, the standard error, or nothing.
        shown: the formats that have a column of it.
        sparkline: the range that a sparkline beside it covers at least; None for no sparkline.
        qualified: whether the key stands for all numbers "key/…".
        example: of what follows the slash, where measurements are listed.
        former: where a board's JSON has it besides `numbers`, as "seconds.train".

    Raises:
        ConfigError: an unknown format, direction, way over seeds, or format of boards.
    """

    key: str
    title: Text = ""
    hint: Text = ""
    name: Text = ""
    heading: str = "Own measurements"
    unit: str = ""
    format: str = "small"
    better: Better | None = None
    over_seeds: Literal["mean", "max", "first"] = "mean"
    measured_by: str | Callable[..., Any] | None = None
    when: When = "trained"
    standard_error: bool = False
    spread: Literal["std", "se"] | None = None
    shown: Shown = frozenset({"html", "md"})
    sparkline: tuple[float, ...] | None = None
    qualified: bool = False
    example: str = "NAME"
    former: str = ""

    def __post_init__(self) -> None:
        checked = (
            ("format of numbers", self.format, FORMATS),
            ("direction", self.better or "lower", ("lower", "higher")),
            ("way over seeds", self.over_seeds, ("mean", "max", "first")),
            *(("format of boards", each, SHOWN_IN) for each in (() if callable(self.shown) else self.shown)),
        )
        for what, given, known in checked:
            if given not in known:
                raise ConfigError(f"Measurement '{self.key}': {unknown(what, given, known)}")

    def stands_for(self, key: str) -> bool:
        """Whether a number of this key is described by this row."""
        return key == self.key or (self.qualified and key.startswith(f"{self.key}/"))

    def of(self, key: str) -> "Measurement":
        """The row of one number: with the texts that a qualified key has.

        >>> Measurement("split", title=lambda rest: f"on {rest}", qualified=True).of("split/rotated").title
        'on rotated'
        """
        rest = key[len(self.key) + 1 :]

        def text(value: Text) -> str:
            return value if isinstance(value, str) else value(rest)

        title = text(self.title) or key
        return replace(
            self, key=key, title=title, hint=text(self.hint) or title, name=text(self.name) or title,
            shown=self.shown(rest) if callable(self.shown) else self.shown, qualified=False,
        )  # fmt: skip

    def shown_in(self, form: str) -> bool:
        """Whether a format of boards has a column of this number (see `of`)."""
        return not callable(self.shown) and form in self.shown

    def described(self) -> dict[str, Any]:
        """What a record keeps of a number that is not in the table, so that boards need nothing of the user's."""
        return {name: getattr(self, name) for name in DESCRIBED}


#: what a record says of a number that the table has no row of
DESCRIBED = ("title", "hint", "unit", "better", "format", "heading")


@dataclass(frozen=True)
class Reading:
    """One measured number of one run.

    Args:
        value: finite.
        se: its standard error; se_items: of the items seen alone; se_elements: of the group elements drawn alone.
        n: over how many items it is a mean.
    """

    value: float
    se: float | None = None
    se_items: float | None = None
    se_elements: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Subject:
    """What is measured: a model, trained or not, on its task.

    Args:
        model: called with the task's inputs.
        task: the task.
        evaluate: how to measure.
        train: the options of its training.
        training: the outcome of its training; None before it.
        fresh: seed → the same network with its method, untrained, where one can be built.
    """

    model: "nn.Module"
    task: "Task"
    evaluate: "EvaluateConfig"
    train: Mapping[str, Any] = field(default_factory=dict)
    training: "FitResult | None" = None
    fresh: "Callable[[int], nn.Module] | None" = None


@dataclass(frozen=True)
class Measured:
    """What one way of measuring found.

    Args:
        numbers: by key.
        settings: how it was measured, for the record.
        described: of numbers that the table has no row of (see `Measurement.described`), by key.
        items: values per test item, by name, ``[n]`` each.
    """

    numbers: Mapping[str, Reading]
    settings: Mapping[str, Any] = field(default_factory=dict)
    described: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    items: Mapping[str, "Tensor"] = field(default_factory=dict)

    def __or__(self, other: "Measured") -> "Measured":
        return Measured(
            {**self.numbers, **other.numbers}, {**self.settings, **other.settings},
            {**self.described, **other.described}, {**self.items, **other.items},
        )  # fmt: skip
