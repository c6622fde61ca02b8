"""`graphs/graph8c`: which of all connected graphs on eight nodes does a network tell apart?"""

import os

import numpy as np
import torch

from geoequiv.errors import DataError
from geoequiv.ranges import NonNegativeInt, PositiveInt
from geoequiv.tasks.data.cache import OWN, checksum, load_or_build
from geoequiv.tasks.data.graph6 import padded, read_graph6
from geoequiv.tasks.data.sources import located
from geoequiv.tasks.graph_separation import Separation, graph_inputs, separation_task
from geoequiv.tasks.options import DTypeName, checked_dtype, checked_size
from geoequiv.tasks.simulation.connected_graphs import COUNTS, VERSION, connected_graphs
from geoequiv.tasks.task import Task

NAME = "graphs/graph8c"


def graph8c(
    data_dir: str | os.PathLike[str] | None = None,
    *,
    path: str | None = None,
    nodes: PositiveInt = 8,
    networks: PositiveInt = 100,
    copies: NonNegativeInt = 100,
    dtype: torch.dtype | DTypeName = torch.float32,
) -> Task:
    """How many of the 61 788 286 pairs of all 11 117 connected graphs on eight nodes are never told apart.

    Inputs x [n, 8, 1], ones, and adj [n, 8, 8]; the output embedding [n, 10] has no target. The graphs are made here in
    some seconds and kept in the data folder: nothing is downloaded.

    Args:
        data_dir: the data cache; else $GEOEQUIV_DATA, else ~/.cache/geoequiv.
        path: a file of graph6 instead, such as graph8c.g6, in the current folder or in ``data_dir``.
        nodes: of the graphs, 2 to 8; 8 is published.
        networks: untrained networks, of which one has to tell a pair apart; 100 is published.
        copies: graphs of which relabelled copies are embedded too.
        dtype: of the task's tensors.

    Raises:
        DataError: a file that cannot be read, graphs of other sizes, or the same number of graphs with an edge more.
        ConfigError: an option that is not possible.

    Reference: Balcilar et al., "Breaking the limits of message passing graph neural networks" (ICML 2021), section 4;
        the graphs are those of McKay's list graph8c.
    """
    dtype = checked_dtype(dtype)
    nodes = checked_size("nodes", nodes, len(COUNTS), "the lists that are made here")
    if path is None:
        parameters = {"nodes": nodes, "version": VERSION}
        cached = load_or_build(NAME, parameters, lambda: {"adjacency": connected_graphs(nodes).numpy()}, data_dir)
        adjacency, source, licence = cached.arrays["adjacency"], "made here", OWN
    else:
        place = located(path, data_dir)
        matrices = read_graph6(place)
        other = next((line for line, each in enumerate(matrices, 1) if len(each) != nodes), None)
        if other is not None:
            size = len(matrices[other - 1])
            raise DataError(f"{place}, graph {other}: {size} nodes, where graphs of {nodes} are expected (nodes=…).")
        adjacency, source, licence = padded(matrices)[0], str(place), "that of your file"
    adj = torch.from_numpy(np.ascontiguousarray(adjacency)).to(dtype)
    identity = NAME if nodes == len(COUNTS) and len(adj) == COUNTS[-1] else f"{NAME}/nodes{nodes}"
    return separation_task(
        NAME,
        f"{'All' if len(adj) == COUNTS[nodes - 1] else 'These'} {len(adj):,} connected graphs on {nodes} nodes.",
        graph_inputs(torch.ones(len(adj), nodes, 1, dtype=dtype), adj, None),
        Separation("all", networks, copies=copies),
        identity=identity,
        checksum=checksum({"adjacency": adjacency}),
        notes=(("Source", source), ("Licence", licence)),
    )
