"""Leaderboards as Markdown, fit for a README."""

import re
from collections.abc import Sequence

from geoequiv.measurements.numbers import count, decimals_for, duration, plus_minus, small, words
from geoequiv.report import barriers
from geoequiv.report.facts import facts, labelled, metric_label, with_error
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
    sides = list(dict.fromkeys((name, side) for row in board.rows for name, both in row.marks.items() for side in both))
    splits = list(dict.fromkeys(name for row in board.rows for name in row.splits))
    decimals = decimals_for([row.metric.mean for row in board.rows] + [r.value for r in board.references])
    heads = ["#", "model", "symmetry", f"test {metric_label(board)}"]
    heads += [f"{side} {words(name)}" for name, side in sides] + [words(name) for name in splits]
    others = {name: [r.further[name].mean for r in board.rows if name in r.further] for name in named_further(board)}
    heads += [labelled(*name) for name in others]
    inside = barriers.measured(board)
    heads += ["relative", "own group", "worst", "E′", "E"]
    heads += [f"barrier, {barriers.title(*each, board)}" for each in inside] + [
        "params",
        "training",
        "inference",
        "seeds",
    ]
    heads = [heads[0], *(plain(head) for head in heads[1:])]  # metrics, units, splits and marks are a user's text
    table = [heads, [":--" if name in ("model", "symmetry") else "--:" for name in heads]]
    ranks = {id(row): rank for rank, row in enumerate(board.rows, 1)}
    for entry in board.ranked():
        if isinstance(entry, Reference):
            table.append(_published(entry, decimals, len(heads)))
            continue
        extra = [entry.marks.get(name, {}).get(side) for name, side in sides]
        extra += [entry.splits.get(name) for name in splits]
        cells = ["–" if each is None else plus_minus(each.mean, None, decimals) for each in extra]
        for name, values in others.items():
            found = entry.further.get(name)
            cells.append(plus_minus(found.mean, found.std, decimals_for(values)) if found else "–")
        merged = [entry.barrier(*each) for each in inside]
        shown = [with_error(each.mean, each.std) if each else "–" for each in merged]
        table.append([str(ranks[id(entry)]), *_measured(entry, cells, shown, decimals)])
    return "\n".join("| " + " | ".join(line) + " |" for line in table)


def named_further(board: Leaderboard) -> list[tuple[str, str]]:
    """Names and units of the further metrics of a board."""
    return list(dict.fromkeys(name for row in board.rows for name in row.further))


def _measured(row: Row, extra: list[str], inside: list[str], decimals: int) -> list[str]:
    error = row.equivariance
    names = ("E_prime", "E")
    shown = {
        name: with_error(getattr(error, name), error.standard_errors.get(name)) if error else "–" for name in names
    }
    failed = f" ({len(row.failed_seeds)} failed)" if row.failed_seeds else ""
    return [
        f"**{plain(row.model)}**" + (f" ({plain(row.variant)})" if row.variant else ""),
        plain(row.symmetry),
        plus_minus(row.metric.mean, row.metric.std, decimals),
        *extra,
        small(error.relative if error else None),
        own_error(row),
        small(error.worst if error else None),
        *shown.values(),
        *inside,
        count(row.params),
        duration(row.train_seconds),
        duration(row.inference_seconds),
        f"{row.metric.n}{failed}",
    ]


def own_error(row: Row) -> str:
    """Relative error over the group that a row claims to be exact for, and its name; – for rows that claim none."""
    own = row.equivariance_own
    return f"{small(own.relative)} {plain(own.group)}" if own else "–"


def _published(reference: Reference, decimals: int, width: int) -> list[str]:
    name = f"*{plain(reference.model)}* · {plain(reference.source)} [{reference.state}]"
    cells = ["", name, plain(reference.symmetry or ""), f"*{plus_minus(reference.value, None, decimals)}*"]
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
