"""Keys of a section in words: every kind of type, where the meaning is written, and that every section says it."""

from typing import Any, Literal

import pytest
from pydantic import Field

from geoequiv.config import Section
from geoequiv.measurements.barriers.settings import AlignConfig
from geoequiv.measurements.settings import EvaluateConfig
from geoequiv.ranges import Probability
from geoequiv.section_keys import Key, keys_of
from geoequiv.training.config import TrainConfig


class Mine(Section):
    """A section.

    Attributes:
        rate: how fast; None means not
            at all.
        kind: which.
    """

    name: str
    rate: Probability | None = None
    kind: Literal["a", "b"] = "a"
    count: int = Field(3, gt=2, lt=9, description="How many.")
    parts: tuple[str, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict)
    anything: Any = True


def test_keys_in_words():
    assert keys_of(Mine) == (
        Key("name", "text", None, ""),
        Key("rate", "number ≥ 0 ≤ 1, or null", "null", "How fast; null means not at all."),
        Key("kind", "a or b", "a", "Which."),
        Key("count", "whole number > 2 < 9", "3", "How many."),
        Key("parts", "list of text", "[]", ""),
        Key("options", "mapping", "{}", ""),
        Key("anything", "", "true", ""),
    )


@pytest.mark.parametrize("section", [TrainConfig, EvaluateConfig, AlignConfig])
def test_every_key_of_a_suite_has_a_type_and_a_meaning(section):
    for key in keys_of(section):
        assert key.type, key.name
        assert key.meaning.endswith("."), key.name
