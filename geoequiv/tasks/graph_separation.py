"""Tasks that ask which graphs untrained networks tell apart: nothing is learned, all is in the measurement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from geoequiv.fields import Signature
from geoequiv.metrics.separation import close_pairs, distances
from geoequiv.tasks.task import Metric, Split, Task

#: features of an embedding, as published
WIDTH = 10
SIGNATURE = Signature.parse(f"x: node, adj: adjacency -> embedding: scalar*{WIDTH} per graph")
#: L1 distance above which two embeddings differ, as published
THRESHOLD = 1e-3
#: graphs that stand for a training split, from which nothing is learned
FEW = 8
Pairs = Literal["all", "consecutive"]
CITATION = """@inproceedings{balcilar2021breaking,
  title={Breaking the Limits of Message Passing Graph Neural Networks},
  author={Balcilar, Muhammet and H{\\'e}roux, Pierre and Ga{\\"u}z{\\`e}re, Benoit and Vasseur, Pascal and Adam,
    S{\\'e}bastien and Honeine, Paul},
  booktitle={International Conference on Machine Learning},
  year={2021}
}"""


@dataclass(frozen=True)
class Separation:
    """Which test items a network should tell apart, and how often it may try.

    Args:
        pairs: "all" pairs of items, or "consecutive" ones: items 0 and 1, 2 and 3, …
        networks: untrained networks, of the seeds 0, 1, 2, …; a pair is told apart if any of them does.
        threshold: L1 distance of embeddings above which a network tells two items apart.
        copies: items of which a relabelled copy is embedded too, which no network should tell from the item.
    """

    pairs: Pairs = "all"
    networks: int = 100
    threshold: float = THRESHOLD
    copies: int = 100


def alike(rule: Separation, embeddings: Tensor) -> Tensor:
    """The pairs of items ``[2, P]`` that one network does not tell apart, from its embeddings ``[n, k]``."""
    if rule.pairs == "all":
        return close_pairs(embeddings, rule.threshold)
    first = torch.arange(0, len(embeddings) - 1, 2)
    near = distances(embeddings[first], embeddings[first + 1]) <= rule.threshold
    return torch.stack([first[near], first[near] + 1])


def indistinct(rule: Separation) -> Metric:
    """How many other items one network does not tell from each item: ``[n]``, in mean."""

    def per_item(predictions: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        (embeddings,) = (predictions[name] for name in targets)
        return torch.bincount(alike(rule, embeddings).flatten(), minlength=len(embeddings)).double()

    return Metric("indistinct", "", "lower", per_item)


def nothing(prediction: Tensor, target: Tensor) -> Tensor:
    """A loss of 0 whose gradient is 0: weights stay as they are drawn."""
    return 0 * prediction.sum()


def graph_inputs(x: Tensor, adjacency: Tensor, real: Tensor | None) -> dict[str, Tensor]:
    """Fields of graphs, with a mask where some are padded."""
    mask = {} if real is None or bool(real.all()) else {"mask": real}
    return {"x": x, "adj": adjacency, **mask}


def separation_task(
    name: str,
    about: str,
    inputs: Mapping[str, Tensor],
    rule: Separation,
    *,
    identity: str,
    checksum: str,
    notes: tuple[tuple[str, str], ...],
) -> Task:
    """The task of telling graphs apart.

    Args:
        about: which graphs, for the description.
        inputs: x ``[n, N, k]``, adj ``[n, N, N]``, mask where graphs are padded.
        identity: what the protocol begins with.
    """
    count = len(inputs["x"])
    whole = Split(dict(inputs), {"embedding": inputs["x"].new_zeros(count, WIDTH)})
    few = whole.rows(slice(FEW))
    networks = f"networks{rule.networks}"
    return Task(
        name=name,
        protocol=f"{identity}/{count}/L1-{rule.threshold:g}/{networks}",
        description=(
            f"{about} A pair counts as a failure if none of {rule.networks} untrained networks has its embeddings "
            f"further than {rule.threshold:g} apart (L1). Beside it: how many of {min(rule.copies, count)} graphs any "
            "of them tells from a relabelled copy, which none should. Nothing is trained; indistinct is the mean "
            "number of graphs that one network does not tell from a graph."
        ),
        signature=SIGNATURE,
        symmetry=f"S({inputs['x'].shape[1]})",
        splits={"train": few, "val": few, "test": whole},
        loss=nothing,
        metric=indistinct(rule),
        references=(),
        checksum=checksum,
        citation=CITATION,
        notes=notes,
        separation=rule,
    )
