"""Certificates of public models: what e3nn, PyTorch Geometric and PyTorch ship, checked with ``geoequiv check``.

    python benchmarks/public_models.py [NAME …] [--table-only] [--page docs/explanation/public-models.md]
                                       [--records FILE]

Runs the command of each case in float32 and float64, keeps what it tells as JSON and writes the table between
``<!-- table -->`` and ``<!-- /table -->``. With names, only those cases are measured anew; the rest of the table comes
from the records. Weights are random and drawn with a fixed seed.

The functions below make the models. They only adapt how a model is called; where a model asks for radius_graph or
triplets of a compiled extension (torch_cluster, torch_sparse), it gets the equal plain one below.
"""

import argparse
import contextlib
import io
import json
import re
import shlex
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geoequiv.cli import main as geoequiv
from geoequiv.files import write_file
from geoequiv.measurements.numbers import small
from geoequiv.report.markdown import plain

KEPT = ("measured", "floor", "verdict", "diagnosis", "errors", "worst_optimised", "parts", "discovered", "determinism")
BEGIN, END = "<!-- table -->", "<!-- /table -->"
DTYPES = ("float32", "float64")
ENERGY = "pos: point -> energy: scalar per graph"
SMALL = ("--items", "16", "--points", "8", "--samples", "32")


# --- stand-ins for compiled extensions --------------------------------------------------------------------------------


def radius_graph(pos: Tensor, r: float, batch: Tensor, loop: bool = False, max_num_neighbors: int = 32) -> Tensor:
    """Pairs (sender, receiver) closer than r within a cloud, as torch_cluster gives them.

    At most 32 neighbours are asked for and clouds here are smaller, so that nothing is cut off.
    """
    distance = torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist")  # 0 from each point to itself
    close = (distance < r) & (batch[:, None] == batch[None, :])
    if not loop:
        close = close & ~torch.eye(len(pos), dtype=torch.bool)
    assert int(close.sum(0).max()) <= max_num_neighbors + loop
    return close.nonzero().T


def triplets(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, ...]:
    """Pairs of edges k → j → i with k ≠ i, as torch_geometric's function of that name gives them."""
    sender, receiver = edge_index
    first, second = (receiver[:, None] == sender[None, :]).nonzero().T  # k → j, then j → i
    proper = sender[first] != receiver[second]
    first, second = first[proper], second[proper]
    return receiver, sender, receiver[second], sender[second], sender[first], first, second


# --- models -----------------------------------------------------------------------------------------------------------


class Points(nn.Module):
    """An e3nn example network, which takes a dict."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pos: Tensor, x: Tensor, batch: Tensor) -> Tensor:
        return self.network({"pos": pos, "x": x, "batch": batch})


def gate_points(version: str, distances: str = "cdist") -> nn.Module:
    """Of e3nn's networks; with distances "exact" its radius_graph is replaced by the one above."""
    module = import_module(f"e3nn.nn.models.{version}")
    with_distances(module, distances)
    return Points(
        module.Network(
            "4x0e+1x1o", "8x0e+4x0o+4x1e+4x1o", "2x0e+1x1o", None, "1x0e+1x1o+1x2e", layers=2, max_radius=2.5,
            number_of_basis=8, radial_layers=1, radial_neurons=16, num_neighbors=6.0, num_nodes=8.0,
        )
    )  # fmt: skip


def v2106() -> nn.Module:
    from e3nn.nn.models.v2106.gate_points_networks import SimpleNetwork

    return Points(SimpleNetwork("4x0e+1x1o", "2x0e+1x1o", 2.5, num_neighbors=6.0, num_nodes=8.0, mul=6, layers=2))


def with_distances(module: Any, distances: str) -> None:
    """Give an e3nn module its own radius_graph, or the one above."""
    own = module.__dict__.setdefault("_own_radius_graph", module.radius_graph)
    module.radius_graph = {"cdist": own, "exact": radius_graph}[distances]


def s2_activation(res: int = 20) -> nn.Module:
    from e3nn.nn import S2Activation

    return S2Activation("1x0e+1x1o+1x2e", torch.relu, res)


def schnet() -> nn.Module:
    import torch_geometric.nn.models.schnet as module

    module.radius_graph = radius_graph
    return module.SchNet(hidden_channels=16, num_filters=16, num_interactions=2, cutoff=4.0)


def dimenet() -> nn.Module:
    return _dimenet("DimeNet", num_bilinear=4)


def dimenet_plus_plus() -> nn.Module:
    return _dimenet("DimeNetPlusPlus", int_emb_size=8, basis_emb_size=4, out_emb_channels=16)


def _dimenet(name: str, **options: int) -> nn.Module:
    import torch_geometric.nn.models.dimenet as module

    module.radius_graph, module.triplets = radius_graph, triplets
    return getattr(module, name)(
        hidden_channels=16, out_channels=1, num_blocks=2, num_spherical=3, num_radial=4, cutoff=4.0,
        output_initializer="glorot_orthogonal", **options,
    )  # fmt: skip


class ViSNet(nn.Module):
    """ViSNet without its second output, which is None unless forces are asked for."""

    def __init__(self, lmax: int = 1) -> None:
        super().__init__()
        import torch_geometric.nn.models.visnet as module

        module.radius_graph = radius_graph
        self.network = module.ViSNet(lmax=lmax, num_heads=4, num_layers=2, hidden_channels=16, num_rbf=8, cutoff=4.0)

    def forward(self, z: Tensor, pos: Tensor, batch: Tensor) -> Tensor:
        return self.network(z, pos, batch)[0]


def gnnff() -> nn.Module:
    import torch_geometric.nn.models.gnnff as module

    module.radius_graph, module.triplets = radius_graph, triplets
    return module.GNNFF(hidden_node_channels=16, hidden_edge_channels=16, num_layers=2, cutoff=4.0)


def mlp(*widths: int) -> nn.Module:
    return nn.Sequential(nn.Linear(widths[0], widths[1]), nn.SiLU(), nn.Linear(widths[1], widths[2]))


def point_net() -> nn.Module:
    from torch_geometric.nn import PointNetConv

    return PointNetConv(mlp(4 + 3, 16, 8), add_self_loops=False)


def point_transformer() -> nn.Module:
    from torch_geometric.nn import PointTransformerConv

    return PointTransformerConv(4, 8, add_self_loops=False)


def point_gnn() -> nn.Module:
    from torch_geometric.nn import PointGNNConv

    return PointGNNConv(mlp(4, 16, 3), mlp(3 + 4, 16, 8), mlp(8, 16, 4))


def ppf() -> nn.Module:
    from torch_geometric.nn import PPFConv

    return PPFConv(mlp(4 + 4, 16, 8), add_self_loops=False)


class Edges(nn.Module):
    """A PyG layer of a feature and edges, fed with the positions."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, pos: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.layer(pos, edge_index)


def edge_conv() -> nn.Module:
    from torch_geometric.nn import EdgeConv

    return Edges(EdgeConv(mlp(6, 16, 8)))


class Attributed(nn.Module):
    """A PyG layer that has no use for the batch vector."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(
        self, x: Tensor, pos: Tensor, edge_index: Tensor, batch: Tensor, normal: Tensor | None = None
    ) -> Tensor:
        return self.layer(x, pos, edge_index) if normal is None else self.layer(x, pos, normal, edge_index)


def conv(name: str) -> nn.Module:
    return Attributed(globals()[name]())


# --- cases ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One model: what it is, what its documentation claims, and how it is checked."""

    name: str
    claim: str
    group: str
    signature: str
    model: str
    arguments: tuple[str, ...] = field(default_factory=tuple)

    def command(self, dtype: str) -> list[str]:
        """The command line, without the name of the program."""
        words = ["check", self.model, "--signature", self.signature, "--group", self.group, *SMALL, *self.arguments]
        return words + (["--dtype", dtype] if dtype != "float32" else [])


HERE = "benchmarks.public_models:"
GATES, EXACT = f"{HERE}gate_points", "distances=exact"
POOLED = "pos: point, x: 4x0e+1x1o -> y: 2x0e+1x1o per graph"
FEATURES = "x: 1x0e+1x1o+1x2e -> y: 1x0e+1x1o+1x2e"
LAYER = "pos: point, x: scalar*4 -> y: scalar*8"
RAGGED = ("--layout", "ragged")
ATOMS = (*RAGGED, "--input", "z=int:1..9")
EDGES = (*RAGGED, "--edges", "radius:2.5")


def option(*settings: str) -> tuple[str, ...]:
    """Options for the constructor."""
    return tuple(word for setting in settings for word in ("--option", setting))


def gates(version: str, *settings: str) -> tuple[str, ...]:
    """Arguments of a case of e3nn's gate_points."""
    return (*RAGGED, *option(f"version=gate_points_{version}", *settings))


NODES = "x: node*8 -> y: node*8"
ENCODER = option("d_model=8", "nhead=2", "dim_feedforward=16", "batch_first=true")
GRID = "O(3), in the limit of a fine grid"
CASES = (
    Case("e3nn gate_points_2101", "E(3)", "E(3)", POOLED, GATES, gates("2101")),
    Case("e3nn gate_points_2102", "E(3)", "E(3)", POOLED, GATES, gates("2102")),
    Case("e3nn v2106 SimpleNetwork", "E(3)", "E(3)", POOLED, f"{HERE}v2106", RAGGED),
    Case("e3nn gate_points_2101, mended", "E(3)", "E(3)", POOLED, GATES, gates("2101", EXACT)),
    Case("e3nn gate_points_2102, mended", "E(3)", "E(3)", POOLED, GATES, gates("2102", EXACT)),
    Case("e3nn S2Activation, res 20", GRID, "O(3)", FEATURES, f"{HERE}s2_activation"),
    Case("e3nn S2Activation, res 100", GRID, "O(3)", FEATURES, f"{HERE}s2_activation", option("res=100")),
    Case("PyG SchNet", "E(3)", "E(3)", ENERGY, f"{HERE}schnet", ATOMS),
    Case("PyG DimeNet", "E(3)", "E(3)", ENERGY, f"{HERE}dimenet", ATOMS),
    Case("PyG DimeNet++", "E(3)", "E(3)", ENERGY, f"{HERE}dimenet_plus_plus", ATOMS),
    Case("PyG ViSNet, lmax 1", "E(3)", "E(3)", ENERGY, f"{HERE}ViSNet", ATOMS),
    Case("PyG ViSNet, lmax 2", "E(3)", "E(3)", ENERGY, f"{HERE}ViSNet", (*ATOMS, *option("lmax=2"))),
    Case("PyG GNNFF", "E(3)", "E(3)", "pos: point -> forces: vector", f"{HERE}gnnff", ATOMS),
    Case("PyG PointNetConv", "T(3)", "T(3)", LAYER, f"{HERE}conv", (*EDGES, *option("name=point_net"))),
    Case("PyG PointTransformerConv", "T(3)", "T(3)", LAYER, f"{HERE}conv", (*EDGES, *option("name=point_transformer"))),
    Case(
        "PyG PointGNNConv", "T(3)", "T(3)", LAYER.replace("8", "4"), f"{HERE}conv", (*EDGES, *option("name=point_gnn"))
    ),
    Case("PyG PPFConv", "E(3)", "E(3)", f"normal: vector, {LAYER}", f"{HERE}conv", (*EDGES, *option("name=ppf"))),
    Case("PyG EdgeConv on positions", "nothing", "T(3)", "pos: point -> y: scalar*8", f"{HERE}edge_conv", EDGES),
    Case("torch TransformerEncoderLayer", "S(n)", "S(8)", NODES, "torch.nn:TransformerEncoderLayer", ENCODER),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="measure only cases whose name holds one of these")
    parser.add_argument("--table-only", action="store_true", help="measure nothing, write the table from the records")
    parser.add_argument("--page", type=Path, default=Path("docs/explanation/public-models.md"))
    parser.add_argument("--records", type=Path, default=Path("benchmarks/results/certificates.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for case in CASES:
        chosen = not arguments.names or any(name in case.name for name in arguments.names)
        if arguments.table_only or not chosen:
            continue
        for dtype in DTYPES:
            told = certificate(case, dtype)
            known = certificates(arguments.records)
            known[name_of(case, dtype)] = told
            lines = [f"{json.dumps(name)}: {json.dumps(known[name], ensure_ascii=False)}" for name in sorted(known)]
            write_file(arguments.records, "{\n" + ",\n".join(lines) + "\n}\n")
            print(f"{case.name:<36} {dtype} {told['verdict']}", flush=True)
    page = arguments.page.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        sys.exit(f"{arguments.page} needs one '{BEGIN}' and one '{END}'.")
    text = table(arguments.records)
    arguments.page.write_text(
        re.sub(f"{BEGIN}.*?{END}", lambda _: f"{BEGIN}\n{text}\n{END}", page, flags=re.DOTALL), encoding="utf-8"
    )
    print(f"Wrote {arguments.page}")


def certificate(case: Case, dtype: str) -> dict[str, Any]:
    """What the command prints with --json."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = geoequiv([*case.command(dtype), "--json"])
    if code > 1:
        sys.exit(f"{case.name} could not be checked (exit status {code}).")
    told = json.loads(printed.getvalue())
    return {"command": shlex.join(["geoequiv", *case.command(dtype)])} | {name: told[name] for name in KEPT}


def certificates(file: Path) -> dict[str, Any]:
    """The certificates that a file keeps, by name."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def name_of(case: Case, dtype: str) -> str:
    """Under which a certificate is kept."""
    slug = re.sub("[^a-z0-9]+", "-", case.name.lower().replace("+", "p")).strip("-")
    return f"{slug}.{dtype}"


def table(file: Path) -> str:
    """The table, what is said about models that are not exact, and the commands."""
    heads = ["model", "claims", "verdict", "certified for"]
    heads += [f"{error} {dtype}" for error in ("E′", "worst") for dtype in DTYPES]
    lines = [heads, [":--"] * 4 + ["--:"] * 4]
    said, commands, versions = [], [], {}
    known = certificates(file)
    for case in CASES:
        if name_of(case, DTYPES[-1]) not in known:
            continue
        single, double = (known[name_of(case, dtype)] for dtype in DTYPES)
        lines.append(
            [
                plain(case.name), plain(case.claim), verdict(single, double), plain(respected(double)),
                *(estimate(each["errors"]["standard_errors"]["E_prime"]) for each in (single, double)),
                *(small(worst(each)) for each in (single, double)),
            ]
        )  # fmt: skip
        if double["verdict"] != "exact":
            said.append(f"- **{plain(case.name)}**: {plain(double['diagnosis'])}")
        commands.append(f"geoequiv {shlex.join(case.command('float32'))}")
        versions |= single["measured"]["versions"]
    parts = [
        "\n".join("| " + " | ".join(line) + " |" for line in lines),
        "Made with " + ", ".join(f"{name} {version}" for name, version in (versions | libraries()).items()) + ".",
        "What `geoequiv check` says about those that are not exact in float64:\n\n" + "\n".join(said),
        "The commands, in the repository's root; `--dtype float64` gives the other columns:\n\n```console\n"
        + "\n".join(commands) + "\n```",
    ]  # fmt: skip
    return "\n\n".join(parts)


def verdict(single: dict[str, Any], double: dict[str, Any]) -> str:
    """The verdict of both dtypes under the claimed group; bold where float64 is not exact."""
    group = plain(double["measured"]["group"])
    if double["verdict"] != "exact":
        return f"**{double['verdict']}** under {group}"
    return f"exact under {group}" + ("" if single["verdict"] == "exact" else f"; {single['verdict']} in float32")


def worst(told: dict[str, Any]) -> float:
    """The largest relative error that was found, by draws or by search."""
    return max(told["errors"]["worst"], told["worst_optimised"]["value"])


def respected(told: dict[str, Any]) -> str:
    """The largest groups found to be respected; of relabellings, the one that was asked for."""
    group = told["measured"]["group"]
    if group.startswith("S("):
        return group if told["verdict"] == "exact" else "none"
    return ", ".join(told["discovered"].get("largest", ())) or "none of those tried"


def estimate(value: dict[str, float]) -> str:
    """A number with its standard error."""
    return small(value["value"]) if not value["se"] else f"{small(value['value'])} ± {small(value['se'])}"


def libraries() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("e3nn", "torch-geometric")}


if __name__ == "__main__":
    main()
