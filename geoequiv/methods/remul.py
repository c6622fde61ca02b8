"""REMUL: the label of its options, and which of them go together."""

from collections.abc import Mapping
from typing import Any

from geoequiv.methods.labels import short_group, with_notes
from geoequiv.methods.method import WrongOption


def label(options: Mapping[str, Any], claims: str | None) -> str:
    """How the terms are weighed, the group, and what is not the default.

    >>> label({"group": "SO(3)", "alpha": 1.0, "beta": 0.1, "weighting": "constant"}, None)
    'REMUL β=0.1 SO(3)'
    >>> label({"group": "SO(3)", "weighting": "constrained", "epsilon": 0.01, "beta": 1.0}, None)
    'REMUL relative≤0.01 SO(3)'
    """
    weighting = options.get("weighting", "constant")
    beta = options.get("beta", 1)
    if weighting == "constrained":
        how = f"{'E′' if options.get('bound') == 'E_prime' else 'relative'}≤{options['epsilon']:g}"
    elif weighting in ("linear", "cosine"):
        how = f"β={options.get('beta_start') or 0:g}→{beta:g} {weighting}"
    elif weighting == "constant":
        how = f"β={beta:g}"
    else:
        how = weighting if beta == 1 else f"β={beta:g} {weighting}"
    draws, sampling = options.get("num_samples", 1), options.get("sampling", "haar")
    notes = [
        *(["prediction"] if options.get("anchor") == "prediction" and weighting != "constrained" else []),
        *([sampling if sampling == "small-angle" else f"{sampling} of {draws}"] if sampling != "haar" else []),
        *([f"{draws} samples"] if draws != 1 and sampling != "adversarial" else []),
    ]
    alpha = f"α={options['alpha']:g} " if options.get("alpha", 1) != 1 else ""
    return with_notes(f"REMUL {alpha}{how} {short_group(options.get('group'))}".strip(), notes)


def check(options: Mapping[str, Any]) -> None:
    """Refuse a bound without an ε, an adversary without a choice, and two weights of 0.

    What else REMUL refuses needs the group or the model; it is refused when these are there, before any training.
    """
    constrained = options.get("weighting") == "constrained"
    if constrained and options.get("epsilon") is None:
        raise WrongOption("weighting", "weighting 'constrained' needs epsilon: the equivariance error wanted.")
    if not constrained and options.get("epsilon") is not None:
        raise WrongOption("epsilon", "epsilon goes with weighting 'constrained'.")
    if options.get("sampling") == "adversarial" and options.get("num_samples", 1) == 1:
        raise WrongOption("sampling", "sampling 'adversarial' keeps the worst of num_samples draws: give two or more.")
    if options.get("alpha", 1) == 0 and options.get("beta", 1) == 0:
        raise WrongOption("beta", "alpha and beta must not both be 0.")
