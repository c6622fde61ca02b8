"""What a process draws for its items is what one process would draw for them."""

import pytest
import torch

import geoequiv as ge
from geoequiv.errors import BatchError
from geoequiv.sharding import Shard, batch_mean, item_draws, sharded, stream
from geoequiv.symmetrize import StochasticFrame


def uniform(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.rand(shape, generator=generator)


@pytest.mark.parametrize(("items", "world"), [(6, 2), (7, 2), (7, 3), (5, 4), (1, 1)])
@pytest.mark.parametrize("replicas", [1, 3])
def test_slices_are_the_draw_of_one_process(items, world, replicas):
    whole = uniform()((2, replicas * items, 4)).reshape(2, replicas, items, 4)
    shards = [Shard(rank, world, items) for rank in range(world)]
    assert sum(shard.own for shard in shards) == items
    assert sum(shard.weight for shard in shards) == pytest.approx(1)
    found = []
    for shard in shards:
        with sharded(shard):
            draws = item_draws(uniform(), (2, replicas * shard.own, 4), axis=1)
        found.append(draws.reshape(2, replicas, shard.own, 4))
    assert torch.equal(torch.cat(found, dim=2), whole)


def test_elements_are_sliced_as_well():
    group = ge.group("SE(3)")
    whole = group.sample(2, 5, generator=torch.Generator().manual_seed(1))
    with sharded(Shard(1, 2, 5)):
        source = torch.Generator().manual_seed(1)
        own = item_draws(lambda shape: group.sample(*shape, generator=source), (2, 3), axis=1)
    assert torch.equal(own.linear, whole.linear[:, 2:])
    assert torch.equal(own.translation, whole.translation[:, 2:])


def test_a_process_without_items_takes_one_with_weight_0():
    shards = [Shard(rank, 4, 2) for rank in range(4)]
    assert [shard.weight for shard in shards] == [0, 0.5, 0, 0.5]
    assert all(0 <= shard.start < shard.stop <= 2 for shard in shards)


def test_rows_that_fit_no_items_are_an_error():
    with sharded(Shard(0, 2, 6)), pytest.raises(BatchError, match=r"7 rows.*devices: 1"):
        item_draws(uniform(), (7,))


def test_without_processes_nothing_changes():
    assert torch.equal(item_draws(uniform(), (3, 2)), uniform()((3, 2)))
    assert stream(None) is None
    mean = torch.tensor(2.0, requires_grad=True)
    assert batch_mean(mean) is mean


def test_common_stream_takes_the_place_of_the_global_one():
    common, own = torch.Generator(), torch.Generator()
    with sharded(Shard(0, 2, 6, common)):
        assert stream(None) is common
        assert stream(own) is own
        with sharded(None):
            assert stream(None) is None
    assert stream(None) is None


def test_stochastic_frames_of_two_processes_are_those_of_one():
    frame = StochasticFrame(ge.group("SO(3)"), generator=torch.Generator())
    pos = torch.randn(7, 5, 3, generator=torch.Generator().manual_seed(2))
    frame.generator.manual_seed(3)
    whole, _ = frame({"pos": pos}, training=True)
    parts = []
    for rank in (0, 1):
        frame.generator.manual_seed(3)
        shard = Shard(rank, 2, 7)
        with sharded(shard):
            parts.append(frame({"pos": pos[shard.start : shard.stop]}, training=True)[0].linear)
    assert torch.equal(torch.cat(parts, 1), whole.linear)


def test_replicas_of_a_group_average_share_the_draws_of_one_process():
    """Nested: a stochastic frame sees the replicas of an average, all items of the first element first."""

    def model(pos):
        return pos + pos.sum(-2, keepdim=True).square()

    pos = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(2))

    def run(shard, part):
        inner = ge.FrameAveraging(model, "pos: point -> pos: point", "SO(3)", "stochastic").train()
        outer = ge.GroupAveraging(inner, "pos: point -> pos: point", "Ci").train()
        torch.manual_seed(0)
        with sharded(shard):
            return outer(part)

    whole = run(None, pos)
    shards = [Shard(rank, 2, 5) for rank in (0, 1)]
    assert torch.allclose(torch.cat([run(s, pos[s.start : s.stop]) for s in shards]), whole, atol=1e-5)
