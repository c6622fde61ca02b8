"""One of two processes that train a wrapped model together: python ddp_worker.py RANK WORLD FOLDER."""

import sys
from datetime import timedelta
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import geoequiv as ge

SIGNATURE = "pos: point -> pos: point, energy: scalar"


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))

    def forward(self, pos):
        hidden = self.layers(pos)
        return pos + hidden[..., :3], hidden[..., 3].sum(-1)


def wrappers():
    """What is trained in parallel: a frame, one that learns, a group by chunks, an average in an average."""
    torch.manual_seed(0)
    framed = ge.FrameAveraging(Net(), SIGNATURE, "SE(3)")
    yield "frame", framed
    yield "learned", ge.FrameAveraging(Net(), SIGNATURE, "SE(3)", "learned")
    yield "group", ge.GroupAveraging(Net(), SIGNATURE, "O", chunk=7)
    yield "nested", ge.GroupAveraging(ge.FrameAveraging(Net(), SIGNATURE, "SO(3)"), SIGNATURE, "Ci")


def clouds():
    return torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))


def loss(model, pos):
    transformed, energy = model(pos)
    return transformed.square().mean() + energy.square().mean()


def gradients(model):
    return {name: parameter.grad for name, parameter in model.named_parameters()}


if __name__ == "__main__":
    rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/meeting", rank=rank, world_size=world, timeout=timedelta(seconds=120)
    )
    found = {}
    for name, wrapped in wrappers():
        parallel = DistributedDataParallel(wrapped)
        loss(parallel, clouds().chunk(world)[rank]).backward()
        found[name] = gradients(parallel.module)
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
