"""What a method is: how it turns a model and a task into what is trained, and what boards call it."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from geoequiv import declared
from geoequiv.errors import ConfigError
from geoequiv.importing import import_object
from geoequiv.methods.families import family as family_of_key
from geoequiv.methods.labels import generic_label

if TYPE_CHECKING:
    from torch import nn

    from geoequiv.tasks import Task

Options = Mapping[str, Any]
Label = Callable[[Options, str | None], str]
Builder = Callable[["nn.Module", "Task", Options], "Trained"]
Target = str | Callable[..., Any]


class Trained(NamedTuple):
    """What is trained (wrapped, if the method is a wrapper, and with the task's head), and by which objective."""

    model: "nn.Module"
    objective: Callable[..., Any]


class WrongOption(ConfigError):
    """Options do not go together; `option` is the one to change."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option


def accept(options: Options) -> None:
    """The check of a method whose options all go together."""


@dataclass(frozen=True)
class Method:
    """One way of getting symmetry.

    Attributes:
        name: in suites and on boards.
        family: a key of `FAMILIES`.
        target: class or function whose parameters are the method's options, or its "package.module:object".
        label: (options, the group that the model claims) → what boards call a run; two settings that differ have two
            labels.
        build: (model, task, options) → `Trained`.
        check: raises `WrongOption` where options do not go together; it is called when a suite is read.

    Raises:
        ConfigError: there is no such family.

    Examples:
        A user's own method is one line beside its class, and ``symmetry: {"mine:METHOD": {strength: 2}}`` in a suite:

        >>> class Noise:
        ...     '''An objective: (inputs, targets) → named tuple whose first field is differentiated.'''
        ...     def __init__(self, model, signature, loss, group, strength=1.0):
        ...         self.model, self.strength = model, strength
        >>> METHOD = Method.objective(Noise, family="augmentation")
        >>> METHOD.label({"group": "SO(3)", "strength": 2.0}, None)
        'Noise SO(3) (strength 2)'
    """

    name: str
    family: str
    target: Target
    label: Label
    build: Builder
    check: Callable[[Options], None] = accept

    def __post_init__(self) -> None:
        family_of_key(self.family)

    @classmethod
    def objective(
        cls,
        target: Target,
        *,
        family: str,
        name: str | None = None,
        label: Label | None = None,
        check: Callable[[Options], None] = accept,
    ) -> "Method":
        """A method that trains the model as it is, with an objective of its own.

        Args:
            target: makes the objective from its options and those of model, signature, loss and group that it takes.
            family: a key of `FAMILIES`.
            name: the target's own if None.
            label: shows every option that is not its default if None.
            check: see `Method`.
        """

        def build(model: "nn.Module", task: "Task", options: Options) -> Trained:
            finished = task.finished(model)
            return Trained(finished, objective_of(target, finished, task, options))

        return cls(*_described(target, family, name, label), build, check)

    @classmethod
    def wrapper(
        cls,
        target: Target,
        *,
        family: str,
        name: str | None = None,
        label: Label | None = None,
        check: Callable[[Options], None] = accept,
    ) -> "Method":
        """A method that wraps the model; the wrapped model is trained with the task's loss alone.

        The wrapper is inside the task's head: an energy is averaged, and its average differentiated.

        Args:
            target: makes the wrapper from its options and those of model, signature and group that it takes.
            family: a key of `FAMILIES`.
            name: the target's own if None.
            label: shows every option that is not its default if None.
            check: see `Method`.
        """

        def build(model: "nn.Module", task: "Task", options: Options) -> Trained:
            finished = task.finished(wrapped(target, model, task, options))
            return Trained(finished, objective_of("geoequiv.objectives:TaskObjective", finished, task, {}))

        return cls(*_described(target, family, name, label), build, check)

    def load(self) -> Callable[..., Any]:
        """The target, imported."""
        return load(self.target)

    @property
    def declaration(self) -> declared.Declaration:
        """What the target takes, and its docstring; a target of this package is read without importing it."""
        ours = isinstance(self.target, str) and self.target.startswith("geoequiv.")
        return declared.read(str(self.target)) if ours else declared.inspected(self.load())


def load(target: Target) -> Callable[..., Any]:
    """A target, imported if it is a path."""
    found: Callable[..., Any] = import_object("method", target) if isinstance(target, str) else target
    return found


def objective_of(target: Target, model: "nn.Module", task: "Task", options: Options) -> Callable[..., Any]:
    """The objective that a target makes for a finished model (with the task's head)."""
    made: Callable[..., Any] = call(load(target), options, model=model, signature=task.signature, loss=task.loss)
    return made


def wrapped(target: Target, model: "nn.Module", task: "Task", options: Options) -> "nn.Module":
    """The wrapper that a target makes around a model (without the task's head)."""
    made: nn.Module = call(load(target), options, model=model, signature=task.model_signature)
    return made


def call(target: Callable[..., Any], options: Options, **offered: Any) -> Any:
    """Call with the options, and with those of the offered arguments that the target takes."""
    accepted = inspect.signature(target).parameters
    takes_any = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
    return target(**{name: value for name, value in offered.items() if takes_any or name in accepted}, **options)


def _described(target: Target, family: str, name: str | None, label: Label | None) -> tuple[str, str, Target, Label]:
    if name is None:
        name = target.rpartition(":")[2] if isinstance(target, str) else getattr(target, "__name__", "method")
    return name, family, target, label or generic_label(name, lambda: load(target))
