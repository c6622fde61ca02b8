"""Exceptions for users: each message says what came, what was expected and what to do."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches


class GeoequivError(ValueError):
    """Base of every error this package raises on bad input."""


class ConfigError(GeoequivError):
    """A configuration file or option is not valid; the message names file, line and key."""


class GroupError(GeoequivError):
    """A group is unknown, infinite where a finite one is needed, or acts in another dimension."""


class SignatureError(GeoequivError):
    """A signature cannot be parsed, or pairs a field type with a group that cannot act on it."""


class BatchError(GeoequivError):
    """A batch does not fit its signature: shapes, mask, batch index, or coordinates that are not finite."""


class ModelOutputError(GeoequivError):
    """A model returned something that its declared signature does not allow."""


class AlignmentError(GeoequivError):
    """Networks cannot be aligned: a layer is not understood, architectures differ, or activations say too little."""


class DataError(GeoequivError):
    """A data file is missing, truncated, damaged or cannot be written; the message names its path."""


class NoFilesError(DataError):
    """Files of a task are nowhere and cannot be downloaded; the message says what to put where, and what serves."""


class RunError(GeoequivError):
    """A training or a suite could not go on."""


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """Message for a name that is not in a table, with the nearest valid one.

    >>> unknown("model", "gnm", ["gnn", "egnn", "mlp"])
    "Unknown model 'gnm'. Did you mean 'gnn'? Available: gnn, egnn, mlp."

    Of several that are as near, the one of the nearest length.
    """
    choices = list(choices)
    if not choices:
        return f"Unknown {kind} '{name}'. There is none."
    lowered = {choice.lower(): choice for choice in choices}
    asked = str(name).lower()

    def closeness(choice: str) -> tuple[float, int]:  # of equally close names, the one of nearest length
        return round(SequenceMatcher(None, choice, asked).ratio(), 9), -abs(len(choice) - len(asked))

    near = max(get_close_matches(asked, lowered, n=5, cutoff=0.5), key=closeness, default=None)
    nearest = lowered[near] if near else None
    hint = f" Did you mean '{nearest}'?" if nearest else ""
    return f"Unknown {kind} '{name}'.{hint} Available: {', '.join(choices)}."


def shortened(text: str, length: int = 60) -> str:
    """A text that fits into a message.

    >>> shortened("9" * 5000, 6)
    '999999…'
    """
    return text if len(text) <= length else f"{text[:length]}…"
