"""The n-body table is what its script writes from the committed records and times."""

import json

import pytest
import torch

import nbody_table
from geoequiv.models import GNN


def test_the_page_is_what_the_script_writes():
    page = nbody_table.PAGE.read_text(encoding="utf-8")
    assert nbody_table.table() in page
    assert nbody_table.provenance() in page


def test_every_row_was_timed_and_has_three_seeds():
    assert set(json.loads(nbody_table.TIMES.read_text(encoding="utf-8"))["seconds"]) == {
        row.title for row in nbody_table.ROWS
    }
    assert all([record.seed for record in row.records()] == [0, 1, 2] for row in nbody_table.ROWS)


def test_averaged_rows_are_timed_as_they_are_evaluated():
    """All eight frames, not the one that a stochastic frame draws while training."""
    row = next(row for row in nbody_table.ROWS if row.method == "frame_averaging")
    model = nbody_table.build(row.records()[0])
    clouds = []
    network = next(each for each in model.modules() if isinstance(each, GNN))
    network.register_forward_pre_hook(lambda _, args, named: clouds.append(len(named["pos"])), with_kwargs=True)
    model(pos=torch.randn(3, 5, 3), vel=torch.randn(3, 5, 3), charge=torch.ones(3, 5, 1))
    assert clouds == [3 * 8]


def test_a_row_without_records_is_an_error():
    with pytest.raises(SystemExit, match="no records of gnn, remul"):
        nbody_table.Row("x", "nbody_equivariant", "gnn", "remul", None).records()
