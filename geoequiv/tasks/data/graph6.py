"""Graphs in McKay's text formats graph6 and sparse6, one a line, by networkx's reader."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoequiv.errors import DataError

ENDINGS = (".g6", ".s6", ".graph6", ".sparse6")
#: what a file of each format may begin with
HEADERS = (b">>graph6<<", b">>sparse6<<")
#: nodes of a graph that is read as a matrix
LARGEST = 4096
#: what networkx raises for a line that is no graph
WRONG = (ValueError, IndexError, KeyError, AssertionError)
Matrix = NDArray[np.uint8]


def read_graph6(path: Path) -> list[Matrix]:
    """Adjacency matrices ``[n, n]`` of the graphs of a file, symmetric, 0 and 1, in the order of the lines.

    Lines that begin with ":" are sparse6, all others graph6.

    Args:
        path: the file.

    Raises:
        DataError: it cannot be read or holds no graph; a line is no graph, has self-loops, multiple edges or directed
            ones (digraph6), or more than 4096 nodes: with file and line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    found = [read_line(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise DataError(f"{path} holds no graph: one graph6 or sparse6 line for each is expected.")
    return found


def read_line(line: bytes, place: str) -> Matrix:
    """The adjacency matrix of one line; DataError that begins with its place."""
    import networkx as nx

    text = line.strip()
    for header in HEADERS:
        text = text.removeprefix(header)
    if text[:1] in (b"&", b";"):
        kind = "directed (digraph6)" if text[:1] == b"&" else "incremental sparse6"
        raise DataError(f"{place}: {kind} graphs are not read; write graph6.")
    read = nx.from_sparse6_bytes if text[:1] == b":" else nx.from_graph6_bytes
    size = nodes_of(text.removeprefix(b":"), place)
    if size > LARGEST:
        raise DataError(f"{place}: a graph of {size} nodes; at most {LARGEST} are read as a matrix.")
    try:
        graph: Any = read(text)
    except (*WRONG, nx.NetworkXError) as error:
        raise DataError(f"{place}: {shown(text)} is no graph in graph6 or sparse6 ({error}).") from error
    return matrix(len(graph), list(graph.edges()), place)


def nodes_of(text: bytes, place: str) -> int:
    """The number of nodes that a line begins with: one byte, four or eight."""
    wrong = next((each for each in text if not 63 <= each <= 126), None)
    if wrong is not None or not text:
        what = f"the byte {wrong}" if text else "nothing"
        raise DataError(f"{place}: {shown(text)} holds {what}; graph6 is written in the characters '?' to '~'.")
    begin, end = (0, 1) if text[0] != 126 else (1, 4) if text[1:2] != b"~" else (2, 8)
    value = 0
    for each in text[begin:end]:
        value = 64 * value + each - 63
    return value


def matrix(nodes: int, edges: Sequence[tuple[int, int]], place: str) -> Matrix:
    """The adjacency matrix of undirected edges; DataError for self-loops and multiple edges."""
    found = np.zeros((nodes, nodes), dtype=np.uint8)
    for a, b in edges:
        if a == b:
            raise DataError(f"{place}: a self-loop at node {a}; graphs without are expected.")
        if found[a, b]:
            raise DataError(f"{place}: the edge {a}–{b} is there twice; simple graphs are expected.")
        found[a, b] = found[b, a] = 1
    return found


def padded(matrices: Sequence[Matrix], size: int | None = None) -> tuple[Matrix, NDArray[np.bool_]]:
    """Adjacencies in one array ``[n, N, N]``, and which nodes are real ``[n, N]``; N is the largest by default."""
    largest = max(len(each) for each in matrices) if size is None else size
    adjacency = np.zeros((len(matrices), largest, largest), dtype=np.uint8)
    for row, each in zip(adjacency, matrices, strict=True):
        row[: len(each), : len(each)] = each
    real = np.arange(largest) < np.array([len(each) for each in matrices])[:, None]
    return adjacency, real


def shown(text: bytes) -> str:
    """A line for a message, shortened."""
    return repr(text[:32].decode("ascii", "backslashreplace")) + ("…" if len(text) > 32 else "")
