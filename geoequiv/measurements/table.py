"""The table of numbers: one row each, from which records, runner, boards and comparisons are derived.

A new number is one row here and the function that measures it.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from geoequiv.measurements.measurement import DESCRIBED, Measurement
from geoequiv.measurements.numbers import words

#: the number that ranks the rows of a board; its name, unit and direction are those of the task's metric
RANKING = "metric"

#: the qualified key of barriers: "barrier/<how units were matched>/<what the network is merged with>"
BARRIER_KEY = "barrier"

ACCURACY, EQUIVARIANCE, BARRIER = "Test accuracy", "Equivariance error", "Barrier"
SEPARATION = "Separation"
COST, TRAINING = "Cost", "Training"
TABLES = frozenset({"html", "md"})
EVERYWHERE = frozenset({"html", "md", "svg", "terminal"})
PAGE = frozenset({"html"})
NOWHERE: frozenset[str] = frozenset()  # csv and json have every number

_METRIC = "geoequiv.measurements.task_metric:task_metric"
_ERROR = "geoequiv.measurements.equivariance:equivariance"
_FACTS = "geoequiv.measurements.training_facts:training_facts"
_SEPARATION = "geoequiv.measurements.separation:separation"
_BARRIERS = "geoequiv.measurements.barriers.merging:measure_barriers"

#: how units were matched → in words
MATCHINGS = {
    "activations": "units matched by activations",
    "rotations": "units matched by rotations",
    "invertible": "units matched by linear maps",
    "scales": "units matched by scaled permutations",
    "best": "units matched in the best way",
    "weights": "units matched by weights",
    "weight_scales": "units matched by scaled permutations of weights",
    "weight_rotations": "units matched by rotations of weights",
    "none": "units unmatched",
}
#: what a network is merged with → (title, explanation)
MERGED_WITH = {
    "copies": ("transformed copies", "midpoint of the network and its own transformed copies"),
    "trainings": (
        "another training",
        "midpoint of the network and the training from another seed: the seed-to-seed baseline",
    ),
}


def matching(method: str) -> str:
    """A way of matching units, in words."""
    return MATCHINGS.get(method, f"units matched by {words(method)}")


def _barrier_title(rest: str) -> str:
    """What the network is merged with, and how units were matched.

    >>> _barrier_title("activations/copies")
    'transformed copies, matched by activations'
    >>> _barrier_title("none/trainings/absolute")
    'another training, unmatched, absolute'
    """
    method, kind, *part = rest.split("/")
    title = MERGED_WITH.get(kind, (words(kind), ""))[0]
    return ", ".join([title, matching(method).removeprefix("units "), *map(words, part)])


def _barrier_hint(rest: str) -> str:
    method, kind, *part = rest.split("/")
    hint = MERGED_WITH.get(kind, ("", words(kind)))[1]
    return f"Relative barrier, {', '.join([matching(method), *map(words, part)])}: {hint}; mean over seeds"


ERRORS = (
    Measurement(
        "relative", "relative", "‖f(gx) − gf(x)‖ / (½‖f(gx)‖ + ½‖gf(x)‖), mean over seeds",
        name="equivariance error", heading=EQUIVARIANCE, better="lower", measured_by=_ERROR, standard_error=True,
        shown=EVERYWHERE, sparkline=(1e-8, 1.0),
    ),
    Measurement(
        "worst", "worst", "The largest relative error over items, group elements and seeds",
        name="worst", heading=EQUIVARIANCE, better="lower", measured_by=_ERROR, over_seeds="max", shown=TABLES,
    ),
    Measurement(
        "E_prime", "E′", "E′ of the REMUL paper: mean distance of f(gx) and gf(x); ± standard error of the measurement",
        heading=EQUIVARIANCE, better="lower", measured_by=_ERROR, standard_error=True, spread="se", shown=TABLES,
    ),
    Measurement(
        "E", "E", "E of the REMUL paper: distance of the means of f(gx) and of gf(x); ± standard error of the "
        "measurement", heading=EQUIVARIANCE, better="lower", measured_by=_ERROR, standard_error=True, spread="se",
        shown=TABLES,
    ),
    Measurement(
        "to_average", "to average", "Distance of f(x) and its average over the group; ± standard error of the "
        "measurement", heading=EQUIVARIANCE, better="lower", measured_by=_ERROR, standard_error=True, spread="se",
        shown=TABLES,
    ),
)  # fmt: skip


def _of_own_group(error: Measurement) -> Measurement:
    """The same error over the group that a model is exactly equivariant to by construction."""
    return replace(
        error, key=f"own/{error.key}", title="own group", name="own group", spread=None, sparkline=None,
        hint="The relative error over the group that the row claims: exact by construction",
        measured_by="geoequiv.measurements.own_group:own_group",
        shown=TABLES if error.key == "relative" else NOWHERE,
    )  # fmt: skip


def _before_training(error: Measurement) -> Measurement:
    """The same error before the training."""
    return replace(
        error, key=f"before/{error.key}", title=f"{error.title} before training", sparkline=None,
        name=f"{error.title} before training", hint=f"Before training: {error.hint}",
        measured_by="geoequiv.measurements.before_training:before_training", when="untrained", shown=NOWHERE,
    )  # fmt: skip


_PART = Measurement("", heading=ACCURACY, format="metric", measured_by=_METRIC, qualified=True, shown=TABLES)
_RELATIVE, *_OTHER_ERRORS = ERRORS

#: in the order of the columns; what is measured after training is measured in the order of its functions here
MEASUREMENTS: tuple[Measurement, ...] = (
    Measurement(
        RANKING, heading=ACCURACY, format="metric", measured_by=_METRIC, spread="std", shown=EVERYWHERE, sparkline=(),
    ),
    replace(_PART, key="metric/with", title=lambda mark: f"with {words(mark)}",
            hint=lambda mark: f"Over the test items with {words(mark)}"),
    replace(_PART, key="metric/without", title=lambda mark: f"without {words(mark)}",
            hint=lambda mark: f"Over the test items without {words(mark)}"),
    replace(_PART, key="metric/split", title=words, hint=lambda split: f"On the split {words(split)}"),
    replace(_PART, key="metric/further", title=words, hint=lambda name: f"Test {words(name)}", format="fixed",
            spread="std"),
    _RELATIVE,
    _of_own_group(_RELATIVE),
    *_OTHER_ERRORS,
    *(_of_own_group(error) for error in _OTHER_ERRORS),
    *(_before_training(error) for error in ERRORS),
    Measurement(
        BARRIER_KEY, _barrier_title, _barrier_hint, name=lambda rest: f"barrier, {_barrier_title(rest)}",
        heading=BARRIER, better="lower", measured_by=_BARRIERS, when="suite", spread="std",
        shown=lambda rest: TABLES if rest.count("/") == 1 else NOWHERE, qualified=True,
        example="activations/copies",
    ),
    Measurement(
        "separation/failures", "failures", "Pairs of different items that none of the untrained networks tells apart",
        heading=SEPARATION, format="whole", better="lower", measured_by=_SEPARATION, when="untrained",
        shown=EVERYWHERE,
    ),
    Measurement(
        "separation/copies", "copies apart", "Items that any of the untrained networks tells from a relabelled copy: 0 "
        "for what is invariant", heading=SEPARATION, format="whole", better="lower", measured_by=_SEPARATION,
        when="untrained", shown=EVERYWHERE,
    ),
    Measurement(
        "params", "params", "Trainable parameters", heading=COST, format="count", over_seeds="first",
        measured_by="geoequiv.measurements.cost:parameters", when="untrained", shown=EVERYWHERE, former="params",
    ),
    Measurement(
        "flops/forward", "FLOPs", "Floating-point operations of a forward pass, per sample; matrix products and "
        "multiply-adds are counted", unit="FLOP", heading=COST, format="count", better="lower",
        measured_by="geoequiv.measurements.cost:operations", when="untrained",
    ),
    Measurement(
        "flops/backward", "FLOPs backward", "Floating-point operations of a backward pass to the parameters, per "
        "sample", unit="FLOP", heading=COST, format="count", better="lower",
        measured_by="geoequiv.measurements.cost:operations", when="untrained", shown=NOWHERE,
    ),
    Measurement(
        "seconds/train", "training", "Seconds of the whole training, mean over seeds", unit="s", heading=COST,
        format="duration", better="lower", measured_by=_FACTS, when="training", shown=EVERYWHERE,
        former="seconds.train",
    ),
    Measurement(
        "seconds/inference", "inference", "Seconds per sample at inference, mean over seeds", unit="s", heading=COST,
        format="duration", better="lower", measured_by="geoequiv.measurements.timing:timing",
        shown=frozenset({"html", "md", "svg"}), former="seconds.inference",
    ),
    Measurement(
        "validation/best", "best validation", "The metric on the validation split at the best epoch", heading=TRAINING,
        format="metric", measured_by=_FACTS, when="training", shown=NOWHERE,
    ),
    Measurement(
        "epochs/best", "best epoch", "The epoch of the best validation, mean over seeds", heading=TRAINING,
        format="compact", measured_by=_FACTS, when="training", shown=NOWHERE, former="best_epoch",
    ),
    Measurement(
        "epochs/run", "epochs", "Epochs trained in all, mean over seeds", heading=TRAINING, format="compact",
        measured_by=_FACTS, when="training", shown=PAGE,
    ),
    Measurement(
        "lr", "learning rate", "The learning rate that the training began with", heading=TRAINING, format="compact",
        over_seeds="first", measured_by=_FACTS, when="training", shown=PAGE,
    ),
)  # fmt: skip


def row_of(key: str) -> Measurement | None:
    """The row of the table that describes a number; None where there is none. The longest key wins."""
    return _looked_up(key)[0]


def measurement_of(key: str, described: Mapping[str, Any] | None = None) -> Measurement:
    """How a number is called, written and compared.

    Args:
        key: of the number.
        described: what a record says of it (the names of `DESCRIBED`): laid over the table's row where there is one.
            A number that neither knows is shown under its key.
    """
    found = _looked_up(key)[1]
    if not described:
        return found
    known = {name: value for name, value in described.items() if value and name in (*DESCRIBED, "name")}
    if "title" in known:  # a text of the table would go with another title
        known = {"name": known["title"], "hint": known["title"], **known}
    return replace(found, **known)


def position(key: str) -> int:
    """Where a number stands among the columns; those without a row come last."""
    return _looked_up(key)[2]


@lru_cache(maxsize=4096)  # the rows of a board have the same keys, and many rows make a board
def _looked_up(key: str) -> tuple[Measurement | None, Measurement, int]:
    """The row that describes a number, that row with the texts of the number, and its position."""
    found = [row for row in MEASUREMENTS if row.stands_for(key)]
    if not found:
        return None, Measurement(key, title=words(key.replace("/", ", ")), hint=key), len(MEASUREMENTS)
    row = max(found, key=lambda row: len(row.key))
    return row, row.of(key), MEASUREMENTS.index(row)
