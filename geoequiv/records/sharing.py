"""Equal parts of many records kept once: ten thousand runs of a suite differ in little but their numbers."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from geoequiv.records.schema import Record, TaskCard

#: parts of a record that whole suites have in common; of its configuration, each section is one
PARTS = ("environment", "settings")


class Shared:
    """Parts seen so far, by their content. Records are frozen, so nobody changes what others see too."""

    def __init__(self) -> None:
        """Nothing is seen yet."""
        self._parts: dict[str, Any] = {}
        self._cards: dict[str, TaskCard] = {}

    def content(self, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """The content of a record file with its task card checked, once for all that are equal."""
        card = content.get("task_card")
        if not isinstance(card, dict):
            return content
        key = json.dumps(card)
        if key not in self._cards:
            with suppress(ValidationError):  # checking the record says where
                self._cards[key] = TaskCard.model_validate(card)
        return {**content, "task_card": self._cards.get(key, card)}

    def record(self, record: Record) -> Record:
        """The record with its parts replaced by the first that equal them."""
        parts = {name: self._part(getattr(record, name)) for name in PARTS}
        config = {key: self._part(each) if isinstance(each, dict) else each for key, each in record.config.items()}
        return record.model_copy(update={**parts, "config": config})

    def _part(self, part: Any) -> Any:
        return self._parts.setdefault(json.dumps(part), part)
