"""The leaderboard as one standalone SVG, for a README: the first rows and the Pareto plot."""

from collections.abc import Sequence

from geoequiv.errors import DataError
from geoequiv.measurements.numbers import fixed, small
from geoequiv.measurements.table import RANKING
from geoequiv.methods.families import FAMILIES
from geoequiv.report.columns import Column, board_columns
from geoequiv.report.facts import ROUND_OFF, decimals_of, facts
from geoequiv.report.families import colour_rules
from geoequiv.report.figures.inline.scatter import PLOT_STYLE, Scheme, accuracy_against_equivariance_error
from geoequiv.report.figures.inline.svg import FONT, clipped, marker, number, text, width
from geoequiv.report.leaderboard import Leaderboard, Reference
from geoequiv.report.rows import Row

_WIDE = 880
_MARGIN = 32
_ROW = 27
#: right ends of the columns of numbers that every board has; a further one takes as much more room as `_FURTHER`
_RIGHT = (514, 626, 690, 768, 848)
_FURTHER = 96
_STYLE = (
    f"text{{font-family:{FONT};fill:var(--ink);font-size:13px;font-variant-numeric:tabular-nums}}"
    ".title{font-size:22px;font-weight:680;letter-spacing:-.02em}.over,.head{fill:var(--muted);font-size:11.5px}"
    ".soft{fill:var(--soft)}.quiet{fill:var(--muted)}.bold{font-weight:620}.it{font-style:italic}"
    ".rule{stroke:var(--line);stroke-width:1}.badge{font-size:12px}"
)


def picture(board: Leaderboard, rows: int = 18, scheme: Scheme = "auto") -> str:
    """A standalone SVG of a leaderboard; equal records give equal bytes.

    Args:
        board: the leaderboard to draw.
        rows: at most so many table rows; measured ones go first where not all fit.
        scheme: "light", "dark", or "auto" for the reader's preference.
    """
    measured = board.rows[:rows]
    published = board.references[: max(rows - len(measured), 0)]
    kept = {id(entry) for entry in (*measured, *published)}
    entries = [entry for entry in board.ranked() if id(entry) in kept]
    parts, y = _heading(board)
    parts_of_table, y = _table(board, entries, y + 26)
    parts += parts_of_table
    hidden = len(board.rows) + len(board.references) - len(entries)
    if hidden > 0:
        parts.append(f'<text class="quiet" x="{_MARGIN}" y="{number(y + 16)}">and {hidden} more</text>')
        y += 20
    legend, y = _legend(board, y + 26)
    parts += legend
    plot = accuracy_against_equivariance_error(board, _WIDE - 2 * _MARGIN, 380)
    if plot:
        parts.append(f'<g transform="translate({_MARGIN} {number(y + 18)})">{plot}</g>')
        y += 18 + 380
    high, wide = y + 18, _wide(board)
    label = text(f"Leaderboard of {board.task}, protocol {board.protocol}")
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {number(high)}" width="{wide}" '
        f'height="{number(high)}" role="img" aria-label="{label}"><title>{label}</title>'
        f"<style>{colour_rules(':root', scheme)}\n{_STYLE}\n{PLOT_STYLE}</style>"
        f'<rect x=".5" y=".5" width="{wide - 1}" height="{number(high - 1)}" rx="12" '
        f'style="fill:var(--card);stroke:var(--line)"/>{"".join(parts)}</svg>\n'
    )


def render_picture(boards: Sequence[Leaderboard]) -> str:
    """The picture of the only leaderboard of a folder.

    Raises:
        DataError: the folder holds several protocols.
    """
    if len(boards) != 1:
        names = ", ".join(board.protocol for board in boards)
        raise DataError(f"A picture shows one protocol; this folder holds {len(boards)}: {names}.")
    return picture(boards[0])


def _heading(board: Leaderboard) -> tuple[list[str], float]:
    known = dict(facts(board))
    lines = [f"{known['Metric']} · {board.protocol}"]
    if board.floor and board.floor >= ROUND_OFF:
        lines.append(
            f"The labels are not exactly {board.symmetry or 'equivariant'}: "
            f"exact models cannot go below about {small(board.floor)}"
        )
    parts = [
        f'<text class="over" x="{_MARGIN}" y="36" style="letter-spacing:.09em">GEOEQUIV LEADERBOARD</text>',
        f'<text class="title" x="{_MARGIN}" y="63">{text(clipped(board.task, 22, 800))}</text>',
    ]
    for index, line in enumerate(lines):
        parts.append(f'<text class="soft" x="{_MARGIN}" y="{86 + 20 * index}">{text(clipped(line, 13, 816))}</text>')
    return parts, 86.0 + 20 * (len(lines) - 1)


def _table(board: Leaderboard, entries: list[Row | Reference], top: float) -> tuple[list[str], float]:
    ranks = {id(row): rank for rank, row in enumerate(board.rows, 1)}
    columns = _placed(board)
    right = _wide(board) - _MARGIN
    y = top + 12
    parts = [
        f'<text class="head" x="{_MARGIN + 26}" y="{number(y)}">model</text>',
        f'<text class="head" x="{_MARGIN + 146}" y="{number(y)}">symmetry</text>',
    ]
    parts += [_right("head", x, y, clipped(column.name, 11.5, 110)) for x, column in columns]
    y = round(y + 9) + 0.5
    for entry in entries:
        parts.append(f'<line class="rule" x1="{_MARGIN}" x2="{right}" y1="{number(y)}" y2="{number(y)}"/>')
        base = y + 18
        parts += (
            _published(entry, base, decimals_of(board))
            if isinstance(entry, Reference)
            else _measured(entry, ranks[id(entry)], base, columns)
        )
        y += _ROW
    parts.append(f'<line class="rule" x1="{_MARGIN}" x2="{right}" y1="{number(y)}" y2="{number(y)}"/>')
    return parts, y


def _placed(board: Leaderboard) -> list[tuple[int, Column]]:
    """The columns of numbers with their right ends."""
    columns = board_columns(board, "svg")
    further = (_RIGHT[-1] + _FURTHER * count for count in range(1, len(columns) + 1))
    return list(zip((*_RIGHT, *further), columns, strict=False))


def _wide(board: Leaderboard) -> int:
    return max(_WIDE, *(x + _MARGIN for x, _ in _placed(board)), 0)


def _measured(row: Row, rank: int, base: float, columns: Sequence[tuple[int, Column]]) -> list[str]:
    name = f"{row.model} ({row.variant})" if row.variant else row.model
    label = clipped(row.symmetry, 12, 208)
    wide = width(label, 12) + 26
    colour = f"var(--{row.family.key})"
    left = _MARGIN + 140
    return [
        f'<text class="quiet" x="{_MARGIN}" y="{number(base)}">{rank}</text>',
        f'<text class="bold" x="{_MARGIN + 26}" y="{number(base)}">{text(clipped(name, 13, 112))}</text>',
        f'<rect x="{left}" y="{number(base - 14.5)}" width="{number(wide)}" height="20" rx="10" '
        f'style="fill:{colour};fill-opacity:.11;stroke:{colour};stroke-opacity:.24"/>',
        marker(row.family.marker, left + 12, base - 4.5, colour, 3.4),
        f'<text class="badge" x="{left + 20}" y="{number(base - 0.2)}" style="fill:{colour}">{text(label)}</text>',
        *(
            _right("bold" if column.key == RANKING else "soft", x, base, column.text_with_spread(row))
            for x, column in columns
        ),
    ]


def _published(reference: Reference, base: float, decimals: int) -> list[str]:
    source = f"{clipped(f'published in {reference.source}', 12, 284)} [{reference.state}]"
    name = text(clipped(reference.model, 13, 216))
    return [
        f'<text class="quiet it" x="{_MARGIN + 26}" y="{number(base)}">{name}</text>',
        _right("quiet it", _RIGHT[0], base, fixed(reference.value, decimals)),
        f'<text class="quiet" x="{_RIGHT[0] + 22}" y="{number(base)}" style="font-size:12px">{text(source)}</text>',
    ]


def _legend(board: Leaderboard, y: float) -> tuple[list[str], float]:
    parts = []
    x = float(_MARGIN)
    for family in FAMILIES:
        if not any(row.family is family for row in board.rows):
            continue
        parts.append(marker(family.marker, x + 5, y - 4, f"var(--{family.key})", 4.2))
        at = f'x="{number(x + 15)}" y="{number(y)}"'
        parts.append(f'<text class="soft" {at} style="font-size:12px">{family.name}</text>')
        x += 15 + width(family.name, 12) + 22
    return parts, y


def _right(kind: str, x: float, y: float, shown: str) -> str:
    return f'<text class="{kind}" x="{number(x)}" y="{number(y)}" text-anchor="end">{text(shown)}</text>'
