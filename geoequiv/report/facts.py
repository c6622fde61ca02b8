"""What the header of a leaderboard states: protocol, metric, the equivariance error of the labels, provenance."""

from geoequiv.measurements.numbers import decimals_for, metric_title, small, words
from geoequiv.report.barriers import how_measured
from geoequiv.report.leaderboard import Leaderboard

#: the name of the fact that the web page states in a sentence of its own
LABELS = "Equivariance error of the labels"
#: floors below this come from the rounding of a simulation in float64
ROUND_OFF = 1e-12


def metric_label(board: Leaderboard) -> str:
    """The metric with its unit: "MSE" or "MAE (meV)"."""
    return metric_title(board.metric.name, board.metric.unit)


def decimals_of(board: Leaderboard) -> int:
    """Decimals of the metric, the same for all measured and published numbers."""
    return decimals_for([row.metric.mean for row in board.rows] + [reference.value for reference in board.references])


def facts(board: Leaderboard) -> list[tuple[str, str]]:
    """Header lines (name, text) of a leaderboard, only those that are known, in reading order."""
    failed = len(board.failures)
    seeds = sorted({row.metric.n for row in board.rows})
    per_row = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else plural(seeds[0], "seed") if seeds else ""
    runs = f"{board.num_runs} ({board.num_runs - failed} finished, {failed} failed)" if failed else str(board.num_runs)
    how = [row.settings.get("timing", {}) for row in board.rows]
    timed = sorted({(each["batch_size"], each.get("threads")) for each in how if each.get("batch_size")}, key=str)
    timing = "; ".join(
        f"batch {batch}" + (f", {plural(threads, 'thread')}" if threads else "") for batch, threads in timed
    )
    shown = [
        ("Protocol", board.protocol),
        ("Metric", f"test {metric_label(board)}, {board.metric.better} is better"),
        ("Task symmetry", board.symmetry),
        (LABELS, ". ".join(filter(None, (symmetry_of_labels(board), floor_sentence(board))))),
        ("Equivariance error of models", ", ".join(filter(None, (_how_measured(board), _what_the_errors_are(board))))),
        ("Barriers", how_measured(board)),
        ("Runs", runs + (f", {per_row} a row" if per_row else "")),
        ("Inference timed at", timing),
        ("Data checksum", ", ".join(_shortened(checksum, 16) for checksum in board.checksums)),
        ("Suite", ", ".join(board.suites)),
        ("Versions", ", ".join(f"{name} {'/'.join(found)}" for name, found in board.versions.items())),
        ("Commit", ", ".join(_shortened(commit, 10) for commit in board.commits)),
        ("Hardware", "; ".join(board.hardware)),
        ("Signature", board.signature),
    ]
    return [(name, text) for name, text in shown if text]


def symmetry_of_labels(board: Leaderboard) -> str:
    """The equivariance error of the task's labels: a number with its standard error, and how it was measured."""
    known = {
        name: float(value)
        for name, value in (board.symmetry_error or {}).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    parts = [
        words(name) + " " + with_error(value, known.get(f"{name}_se"))
        for name, value in known.items()
        if name not in (*_TOLD_APART, "floor") and not name.endswith("_se")
    ]
    if not parts:
        return ""
    how = [_TOLD_APART[name].format(known[name]) for name in _TOLD_APART if name in known]
    verdict = _VERDICTS.get(str((board.symmetry_error or {}).get("verdict")))
    return "; ".join([", ".join(parts), *how, *([verdict] if verdict else [])])


#: the number of items or of pairs says in which of two ways the error of the labels was measured
_TOLD_APART = {
    "num_items": "labels of {:.0f} items simulated again for transformed inputs",
    "num_pairs": "estimated from {:.0f} pairs of items that nearly match",
}


#: what an estimate from the data amounts to
_VERDICTS = {
    "respected": "no violation seen above the noise of neighbours",
    "broken": "the labels break the symmetry",
    "undecided": "undecided: neighbours are too far apart to tell",
}


def with_error(value: float | None, error: float | None) -> str:
    """A number of any size with its standard error.

    >>> with_error(0.0039, 0.00041), with_error(0.0039, None), with_error(2e-29, 0.0)
    ('.0039 ± 4.1e-4', '.0039', '2.0e-29')
    """
    return small(value) if value is None or not error else f"{small(value)} ± {small(error)}"


def floor_sentence(board: Leaderboard) -> str:
    """What the equivariance error of the labels means for a model."""
    if not board.floor:
        return ""
    if board.floor < ROUND_OFF:
        return f"The labels are {board.symmetry or 'equivariant'}-equivariant up to rounding"
    error = (board.symmetry_error or {}).get("floor_se")
    return (
        f"The labels are not exactly {board.symmetry or 'equivariant'}: no exactly equivariant model "
        f"can reach a test {metric_label(board)} below about {with_error(board.floor, error)}"
    )


def _how_measured(board: Leaderboard) -> str:
    measured = [row.settings["equivariance"] for row in board.rows if "equivariance" in row.settings]
    described = {
        f"over {part['group']}"
        + (f", {part['num_items']} items" if part.get("num_items") else "")
        + (f" × {part['num_samples']} group elements" if part.get("num_samples") else "")
        + (f", {part['dtype']}" if part.get("dtype") else "")
        for part in measured
    }
    return "; ".join(sorted(described))


def _what_the_errors_are(board: Leaderboard) -> str:
    known = any(each.se is not None for row in board.rows for each in row.numbers.values())
    return "± one standard error over these items and elements" if known else ""


def plural(number: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "thread"), plural(2, "thread")
    ('1 thread', '2 threads')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _shortened(hexadecimal: str, digits: int) -> str:
    """The first digits of a hash, with whatever is said after it."""
    head, space, rest = hexadecimal.partition(" ")
    prefix, colon, code = head.rpartition(":")
    return f"{prefix}{colon}{code[:digits]}{'…' if len(code) > digits else ''}{space}{rest}"
