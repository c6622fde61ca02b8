"""Which pairs of items untrained networks do not tell apart, and whether they tell relabelled copies apart."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from geoequiv.fields import act
from geoequiv.groups import group
from geoequiv.measurements.measurement import Measured, Reading, Subject
from geoequiv.metrics.separation import distances
from geoequiv.tasks import Task
from geoequiv.tasks.graph_separation import Separation, alike
from geoequiv.training import predict

#: seed of the choice of copies and of their relabellings
COPIES_SEED = 20210000


def separation(subject: Subject) -> Measured:
    r"""Failures of a task that asks which items are told apart, over untrained networks of the seeds 0, 1, 2, …

    .. math:: \#\{(x, y) : \|f_s(x) - f_s(y)\|_1 \le \epsilon \text{ for all seeds } s\}

    Args:
        subject: `fresh` builds its network anew; of its settings, `batch_size` is used.

    Returns:
        "separation/failures", pairs that no network tells apart; "separation/copies", of the relabelled copies those
        that any network tells from the original, where invariant networks have 0. Nothing for other tasks.

    Exactness: a pair that one network has told apart is not embedded again; counts are as if all were.
    """
    rule = subject.task.separation
    if rule is None or subject.fresh is None:
        return Measured({})
    failures, apart, used = separated(subject.fresh, subject.task, rule, subject.evaluate.batch_size)
    numbers = {"separation/failures": Reading(float(failures))}
    if apart is not None:
        numbers["separation/copies"] = Reading(float(apart.sum()), n=len(apart))
    settings = {**vars(rule), "copies": 0 if apart is None else len(apart), "until_all_apart": used}
    return Measured(numbers, {"separation": settings})


def separated(
    fresh: Callable[[int], nn.Module], task: Task, rule: Separation, batch_size: int
) -> tuple[int, Tensor | None, int]:
    """Pairs never told apart; which copies ever were ``[copies]``; and how many networks the pairs were shown to.

    Args:
        fresh: seed → untrained network.
        task: its test split is embedded.
        rule: which pairs, how many networks.
        batch_size: items a forward pass.
    """
    inputs = task.splits["test"].inputs

    def embedded(model: nn.Module, fields: Mapping[str, Tensor]) -> Tensor:
        (found,) = predict(model, task.signature, fields, batch_size).values()
        return found

    originals, copies = relabelled_copies(task, rule.copies)
    apart = torch.zeros(len(originals["x"]), dtype=torch.bool) if originals else None
    remaining: Tensor | None = None
    used = 0
    for seed in range(rule.networks):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = fresh(seed)
            if remaining is None:
                remaining = alike(rule, embedded(model, inputs))
                used = seed + 1
            elif remaining.shape[1]:
                chosen, index = remaining.unique(return_inverse=True)
                found = embedded(model, {name: values[chosen] for name, values in inputs.items()})
                remaining = remaining[:, distances(found[index[0]], found[index[1]]) <= rule.threshold]
                used = seed + 1
            if apart is not None:
                apart |= distances(embedded(model, originals), embedded(model, copies)) > rule.threshold
            elif not remaining.shape[1]:
                break
    assert remaining is not None
    return remaining.shape[1], apart, used


def relabelled_copies(task: Task, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Some test items, and the same relabelled, each at random; both empty for a count of 0."""
    inputs = task.splits["test"].inputs
    generator = torch.Generator().manual_seed(COPIES_SEED)
    size = len(next(iter(inputs.values())))
    chosen = torch.randperm(size, generator=generator)[:count]
    if not len(chosen):
        return {}, {}
    originals = {name: values[chosen] for name, values in inputs.items()}
    element = group(task.symmetry).sample(len(chosen), generator=generator)
    return originals, act(element, originals, task.signature.inputs)
