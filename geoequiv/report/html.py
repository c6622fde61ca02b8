"""Leaderboards as one self-contained web page: works offline, sorts on click, fits a phone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import groupby, pairwise
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from geoequiv.measurements.numbers import fixed
from geoequiv.measurements.table import RANKING
from geoequiv.methods.families import FAMILIES
from geoequiv.report.columns import Column, board_columns
from geoequiv.report.facts import LABELS, decimals_of, facts, floor_sentence, metric_label, symmetry_of_labels
from geoequiv.report.families import colour_rules
from geoequiv.report.figures.inline.scatter import (
    PLOT_STYLE,
    accuracy_against_equivariance_error,
    accuracy_against_inference_time,
)
from geoequiv.report.figures.inline.sparkline import sparkline
from geoequiv.report.figures.inline.svg import FONT, marker
from geoequiv.report.leaderboard import STATES, Leaderboard, Reference
from geoequiv.report.rows import Row

_TEMPLATE = "leaderboard.html.jinja"
#: tables of up to so many rows need no search, no filters and no pages
FEW = 12


@dataclass(frozen=True)
class Cell:
    """What a table cell shows and what it sorts by ("" sorts last)."""

    key: str
    sort: str
    text: str
    aside: str = ""
    sparkline: Markup | str = ""
    first_of_group: bool = False


def render_html(boards: Sequence[Leaderboard]) -> Iterator[str]:
    """The page in pieces; every text that came from a record is escaped by the template."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("geoequiv.report").joinpath(_TEMPLATE).read_text(encoding="utf-8")
    style = f"{colour_rules(':root')}\n{PLOT_STYLE}"
    template = environment.from_string(source).stream(
        boards=[_view(board, index) for index, board in enumerate(boards, 1)],
        tasks=sorted({board.task for board in boards}),
        title=", ".join(dict.fromkeys(board.task for board in boards)),
        left_out=boards[0].left_out if len(boards) == 1 else _shared_left_out(boards),
        unfinished=boards[0].unfinished if boards else (),
        style=_ours(style),
        font=_ours(FONT),
        ranking=RANKING,
        families=FAMILIES,
    )
    template.enable_buffering(1000)
    yield from template


def _view(board: Leaderboard, index: int) -> dict[str, Any]:
    columns = board_columns(board, "html")
    groups = [{"name": name, "span": len(list(members))} for name, members in groupby(columns, lambda c: c.heading)]
    present = {row.family.key for row in board.rows} | {failure.family.key for failure in board.failures}
    return {
        "id": f"board-{index}",
        "board": board,
        "metric": metric_label(board),
        "facts": [fact for fact in facts(board) if fact[0] != LABELS],
        "own_error": symmetry_of_labels(board),
        "floor_sentence": floor_sentence(board),
        "columns": columns,
        "groups": groups,
        "lines": _lines(board, columns),
        "controls": len(board.rows) + len(board.references) > FEW,
        "models": sorted({e.model for rows in (board.rows, board.references, board.failures) for e in rows}),
        "failed_rows": _failed_rows(board),
        "families": [(family, _icon(family.marker, family.key)) for family in FAMILIES if family.key in present],
        "states": [(s, STATES[s]) for s in "PSM" if any(r.state == s for r in board.references)],
        "plots": [
            (title, text, _ours(big), _ours(draw(board, 372, 400)))
            for title, text, draw in _PLOTS
            if (big := draw(board))
        ],
    }


_PLOTS = (
    (
        "Accuracy against equivariance error",
        "Both axes are logarithmic. Rows in the shaded band are equivariant up to rounding; "
        "the dotted stairs join the rows that no other row beats on both axes.",
        accuracy_against_equivariance_error,
    ),
    (
        "Accuracy against inference time",
        "Seconds per sample at inference, averaging over frames or group elements included.",
        accuracy_against_inference_time,
    ),
)


def _lines(board: Leaderboard, columns: Sequence[Column]) -> Iterator[dict[str, Any]]:
    """The rows of the table, one at a time: all of them at once would be the largest part of the page's memory."""
    decimals = decimals_of(board)
    ranks = {id(row): rank for rank, row in enumerate(board.rows, 1)}
    published = [reference.value for reference in board.references]
    starts = {columns[0].key} | {after.key for before, after in pairwise(columns) if before.heading != after.heading}
    ranges = {column.key: found for column in columns if (found := _range(board, column, published))}
    values = [row.metric.mean for row in board.rows] + published
    ends = (min(values), max(values)) if values else ()
    for entry in board.ranked():
        if isinstance(entry, Reference):
            ring = _ours(sparkline(entry.value, None, ends, "muted", hollow=True))
            cell = Cell(RANKING, repr(entry.value), fixed(entry.value, decimals), sparkline=ring)
            yield {"kind": "published", "entry": entry, "metric": cell, "rest": len(columns) - 1}
            continue
        cells = [
            Cell(
                column.key, column.sort(entry), column.text(entry),
                f"± {spread}" if (spread := column.spread(entry)) else column.note(entry),
                _sparkline(column, entry, ranges.get(column.key, ())), column.key in starts,
            )
            for column in columns
        ]  # fmt: skip
        yield {"kind": "measured", "entry": entry, "rank": ranks[id(entry)], "cells": cells}


def _range(board: Leaderboard, column: Column, published: Sequence[float]) -> tuple[float, ...]:
    """The ends of a column's sparklines: the least and the greatest of its numbers that are not 0."""
    number = column.number
    if number is None or number.measurement.sparkline is None:
        return ()
    besides = published if column.key == RANKING else number.measurement.sparkline
    values = [*(found for row in board.rows if (found := number.value(row.numbers))), *besides]
    return (min(values), max(values)) if values else ()


def _sparkline(column: Column, row: Row, ends: Sequence[float]) -> Markup | str:
    """The sparkline beside a number that shows where it is among those of the other rows."""
    value = column.number.value(row.numbers) if column.number and ends else None
    if not value:
        return ""
    if column.key == RANKING:
        return _ours(sparkline(value, row.metric.std, ends, row.family.key))
    return _ours(sparkline(value, None, ends, row.family.key, wide=30))


def _failed_rows(board: Leaderboard) -> list[dict[str, Any]]:
    """Configurations of which no seed finished."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for failure in board.failures:
        if failure.alone:
            key = (failure.model, failure.symmetry, failure.variant)
            found.setdefault(key, {"entry": failure, "seeds": []})["seeds"].append(failure.seed)
    return list(found.values())


def _icon(shape: str, colour: str) -> Markup:
    drawn = marker(shape, 7, 7, f"var(--{colour})", 4.6)
    return _ours(f'<svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">{drawn}</svg>')


def _ours(markup: str) -> Markup:
    """Marks markup as our own: made in this package, with whatever came from a record escaped in it."""
    return Markup(markup)  # noqa: S704


def _shared_left_out(boards: Sequence[Leaderboard]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(item for board in boards for item in board.left_out))
