"""Failures and copies told apart, on networks whose answers are known."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import geoequiv as ge
from geoequiv.measurements import EvaluateConfig
from geoequiv.measurements.measurement import Subject
from geoequiv.measurements.separation import separated, separation
from geoequiv.tasks.graph_separation import Separation


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return ge.task("graphs/graph8c", data_dir=tmp_path_factory.mktemp("graphs"), nodes=4, networks=4, copies=6)


class Planted(nn.Module):
    """An embedding that is the number of edges, or the first row of the adjacency, in one of the networks alone."""

    def __init__(self, seed, speaks, reads="edges"):
        super().__init__()
        self.on, self.reads = seed == speaks, reads

    def forward(self, x, adj):
        found = adj.sum((1, 2)) if self.reads == "edges" else adj[:, 0] @ torch.arange(4.0)
        return self.on * found.unsqueeze(-1).expand(-1, 10)


def subject(task, speaks, reads="edges"):
    fresh = lambda seed: Planted(seed, speaks, reads)  # noqa: E731
    return Subject(fresh(0), task, EvaluateConfig(batch_size=4), fresh=fresh)


@pytest.mark.parametrize("speaks", [0, 3])
def test_pairs_that_one_network_tells_apart_are_no_failures(task, speaks):
    """Six connected graphs on four nodes have 3, 3, 4, 4, 5 and 6 edges: two pairs have the same number."""
    found = separation(subject(task, speaks))
    assert found.numbers["separation/failures"].value == 2
    assert found.numbers["separation/copies"].value == 0
    assert found.settings["separation"]["networks"] == 4


def test_without_any_network_that_speaks_all_pairs_fail(task):
    assert separation(subject(task, 7)).numbers["separation/failures"].value == 15


def test_what_depends_on_the_order_tells_copies_apart(task):
    found = separation(subject(task, 1, "row")).numbers
    assert found["separation/copies"].value > 0
    assert found["separation/copies"].n == 6


def test_consecutive_pairs(task):
    rule = Separation("consecutive", 2, copies=0)
    failures, apart, used = separated(lambda seed: Planted(seed, 0), task, rule, 3)
    edges = task.splits["test"].inputs["adj"].sum((1, 2))
    assert failures == int((edges[::2] == edges[1::2]).sum())
    assert apart is None
    assert used == (2 if failures else 1)


def test_random_draws_of_the_caller_are_left_alone(task):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    separation(subject(task, 0))
    assert torch.equal(torch.rand(3), expected)


def test_other_tasks_and_models_that_cannot_be_built_anew_have_no_such_number(task):
    some = subject(task, 0)
    assert separation(replace(some, fresh=None)).numbers == {}
    assert separation(replace(some, task=replace(task, separation=None))).numbers == {}
