"""Leaderboards as Markdown, fit for a README."""

import re
from collections.abc import Sequence

from geoequiv.measurements.numbers import fixed
from geoequiv.report.columns import Column, board_columns
from geoequiv.report.facts import decimals_of, facts
from geoequiv.report.leaderboard import STATES, Leaderboard, Reference
from geoequiv.report.rows import Row


def render_markdown(boards: Sequence[Leaderboard]) -> str:
    """One section per protocol: header facts, the table, the legend of published numbers, the failures."""
    return "\n\n".join(_section(board) for board in boards) + "\n"


def plain(text: str) -> str:
    """Text with everything that Markdown or HTML would interpret made harmless, on one line."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", line)


def _section(board: Leaderboard) -> str:
    parts = [f"# {plain(board.task)}"]
    if board.description:
        parts.append(plain(board.description))
    parts.append("\n".join(f"- **{name}:** {plain(text)}" for name, text in facts(board)))
    parts.extend(f"> **Note.** {plain(notice)}" for notice in board.notices)
    if board.rows or board.references:
        parts.append(_table(board))
    parts.extend(_footnotes(board))
    return "\n\n".join(parts)


def _table(board: Leaderboard) -> str:
    columns = board_columns(board, "md")
    heads = ["#", "model", "symmetry", *(plain(column.name) for column in columns)]  # some are a user's text
    table = [heads, [":--" if name in ("model", "symmetry") else "--:" for name in heads]]
    ranks = {id(row): rank for rank, row in enumerate(board.rows, 1)}
    for entry in board.ranked():
        if isinstance(entry, Reference):
            table.append(_published(entry, decimals_of(board), len(heads)))
        else:
            table.append([str(ranks[id(entry)]), *_measured(entry, columns)])
    return "\n".join("| " + " | ".join(line) + " |" for line in table)


def _measured(row: Row, columns: Sequence[Column]) -> list[str]:
    name = f"**{plain(row.model)}**" + (f" ({plain(row.variant)})" if row.variant else "")
    cells = [column.text_with_spread(row) + (f" ({note})" if (note := column.note(row)) else "") for column in columns]
    return [name, plain(row.symmetry), *cells]


def _published(reference: Reference, decimals: int, width: int) -> list[str]:
    name = f"*{plain(reference.model)}* · {plain(reference.source)} [{reference.state}]"
    cells = ["", name, plain(reference.symmetry or ""), f"*{fixed(reference.value, decimals)}*"]
    return cells + [""] * (width - len(cells))


def _footnotes(board: Leaderboard) -> list[str]:
    parts = []
    if board.references:
        states = sorted({reference.state for reference in board.references}, key="PSM".index)
        legend = "; ".join(f"[{state}] {STATES[state]}" for state in states)
        parts.append(f"Rows in *italics* are published numbers, not measured here: {legend}.")
        notes = [f"- *{plain(r.model)}* ({plain(r.source)}): {plain(r.note)}" for r in board.references if r.note]
        if notes:
            parts.append("\n".join(notes))
    if board.failures:
        lines = [
            f"- {plain(f.model)}, {plain(f.symmetry)}, seed {f.seed}: {plain(f.last_line)} ({plain(f.path)})"
            for f in board.failures
        ]
        parts.append("Failed runs:\n\n" + "\n".join(lines))
    if board.left_out:
        lines = [f"- {plain(item.path)}: {plain(item.reason)}" for item in board.left_out]
        parts.append("Records left out:\n\n" + "\n".join(lines))
    if board.unfinished:
        parts.append(f"Runs without a record yet: {', '.join(plain(name) for name in board.unfinished)}.")
    if board.citation.strip():
        parts.append("Citation:\n\n" + "\n".join(f"    {line}" for line in board.citation.strip().splitlines()))
    return parts
