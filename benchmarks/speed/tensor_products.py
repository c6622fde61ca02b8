"""Our pair convolution and steered linear map against e3nn's generated products of the same function: prints a table.

Run: ``OMP_NUM_THREADS=1 .venv/bin/python benchmarks/speed/tensor_products.py [--batch 100 --nodes 5 --repeats 30]``.
Every path is timed in turn in each repeat; medians of processor time of forward, and of forward plus backward.
The convolution is ``uvu`` with weights per pair, a sum over senders and a linear map; the steered linear map is the
fully connected product with one copy of the harmonics and shared weights. tests/models/layers/test_steerable.py shows
that both sides compute the same numbers. Where ``cuequivariance_torch`` can be imported, its products of the same
shapes are timed beside them by its "naive" method, the only one that it has without a GPU.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from e3nn import o3
from torch import Tensor

try:
    import cuequivariance as cue
    import cuequivariance_torch
except ImportError:
    cue = None

from geoequiv.models.layers.clebsch_gordan import Couplings, Harmonics, smooth_direction
from geoequiv.models.layers.pairs import AllPairs
from geoequiv.models.layers.steerable import natural
from geoequiv.models.layers.steered_linear import Attributes, SteeredLinear
from geoequiv.models.layers.tensor_products import PairConvolution, kernels_of, triples_of

Run = Callable[[], Tensor]


def paths(batch: int, nodes: int, width: int, l_max: int) -> dict[str, Run]:
    """The four ways, each a function of nothing that returns something to differentiate."""
    torch.manual_seed(0)
    kinds = [natural(degree, True) for degree in range(l_max + 1)]
    channels = dict.fromkeys(kinds, width)
    irreps = o3.Irreps([(width, kind) for kind in kinds])
    sphere = o3.Irreps.spherical_harmonics(l_max)
    pairs = AllPairs.of(nodes, None, torch.device("cpu"))
    receivers = torch.arange(batch * nodes).repeat_interleave(nodes - 1)
    senders = (pairs.index + torch.arange(batch).unsqueeze(-1) * nodes).flatten()

    convolution = PairConvolution(channels, channels, l_max, True)
    steered = SteeredLinear(channels, channels, l_max, True)
    triples = triples_of(convolution.paths)
    couplings, dense = Couplings(triples, l_max), Couplings(tuple(each for each in triples if all(each)), l_max)
    angular = Harmonics(l_max)(smooth_direction(torch.randn(batch, nodes, nodes - 1, 3)))
    features = {kind: torch.randn(batch, nodes, 2 * kind[0] + 1, width, requires_grad=True) for kind in kinds}
    weights = torch.randn(batch, nodes, nodes - 1, convolution.weights, requires_grad=True)
    edges = {kind: torch.randn(len(senders), 2 * kind[0] + 1, width, requires_grad=True) for kind in kinds}

    steps = enumerate(convolution.paths)
    instructions = [(kinds.index(first), degree, number, "uvu", True) for number, (first, degree, _) in steps]
    product = o3.TensorProduct(
        irreps, sphere, [(width, last) for _, _, last in convolution.paths], instructions,
        internal_weights=False, shared_weights=False,
    )  # fmt: skip
    mix = o3.Linear(product.irreps_out.simplify(), irreps)
    connected = o3.FullyConnectedTensorProduct(irreps, sphere, irreps)
    flat = torch.randn(batch * nodes, irreps.dim, requires_grad=True)
    flat_edges = torch.randn(len(senders), irreps.dim, requires_grad=True)
    listed, listed_weights = angular.flatten(0, 2), weights.detach().flatten(0, 2).requires_grad_()

    def ours() -> Tensor:
        found = convolution(pairs, kernels_of(pairs, couplings, angular), features, weights)
        return torch.stack([values.square().sum() for values in found.values()]).sum()

    def theirs() -> Tensor:
        each = product(flat[senders], listed, listed_weights)
        return mix(each.new_zeros(len(flat), each.shape[-1]).index_add(0, receivers, each)).square().sum()

    def ours_steered() -> Tensor:
        found = steered(edges, Attributes.of(listed, dense))
        return torch.stack([values.square().sum() for values in found.values()]).sum()

    def theirs_connected() -> Tensor:
        return connected(flat_edges, listed).square().sum()

    further: dict[str, Run] = {}
    if cue is not None:
        wanted = [cue.O3(degree, parity) for degree, parity in kinds]
        both = cue.Irreps("O3", str(irreps)), cue.Irreps("O3", str(sphere))
        layout = {"layout": cue.mul_ir, "method": "naive"}
        channelwise = cuequivariance_torch.ChannelWiseTensorProduct(*both, wanted, shared_weights=False, **layout)
        assert channelwise.weight_numel == convolution.weights
        mixing = o3.Linear(o3.Irreps(str(channelwise.irreps_out)), irreps)
        full = cuequivariance_torch.FullyConnectedTensorProduct(*both, both[0], internal_weights=True, **layout)

        def channel_by_channel() -> Tensor:
            each = channelwise(flat[senders], listed, listed_weights)
            return mixing(each.new_zeros(len(flat), each.shape[-1]).index_add(0, receivers, each)).square().sum()

        further = {
            f"convolution, cuEquivariance, l ≤ {l_max}": channel_by_channel,
            f"steered linear, cuEquivariance, l ≤ {l_max}": lambda: full(flat_edges, listed).square().sum(),
        }

    return {
        **further,
        f"convolution, ours, l ≤ {l_max}": ours,
        f"convolution, e3nn, l ≤ {l_max}": theirs,
        f"steered linear, ours, l ≤ {l_max}": ours_steered,
        f"steered linear, e3nn, l ≤ {l_max}": theirs_connected,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ways = {
        name: way for l_max in (1, 2) for name, way in paths(options.batch, options.nodes, options.width, l_max).items()
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for repeat in range(-5, options.repeats):  # e3nn's code compiles in the first few
        for name, way in ways.items():
            start = time.process_time()
            with torch.no_grad():
                way()
            between = time.process_time()
            way().backward()
            if repeat >= 0:
                seconds[name].append((between - start, time.process_time() - between))
    print(f"ms, batch {options.batch} × {options.nodes}, width {options.width}, 1 thread, torch {torch.__version__}")
    print(f"{'':<38}{'forward':>10}{'forward + backward':>22}")
    for name, each in seconds.items():
        forward, both = (1e3 * statistics.median(times) for times in zip(*each, strict=True))
        print(f"{name:<38}{forward:>10.2f}{both:>22.2f}")


if __name__ == "__main__":
    main()
