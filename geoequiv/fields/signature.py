"""The typed signature: declared once, read by every operator."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from geoequiv.errors import SignatureError
from geoequiv.fields.types import FieldType
from geoequiv.groups import Group


@dataclass(frozen=True)
class Side(Mapping[str, FieldType]):
    """One side of a signature: an ordered, frozen mapping from field name to type.

    >>> Side.parse("pos: point, vel: vector*2")["vel"].multiplicity
    2
    """

    items_: tuple[tuple[str, FieldType], ...]

    @classmethod
    def parse(cls, text: "str | Side") -> "Side":
        """``"name: type, name: type"``; a ``Side`` passes through."""
        if isinstance(text, Side):
            return text
        if not isinstance(text, str) or "->" in text:
            raise SignatureError(f"One side of a signature reads 'name: type, …', as signature.inputs; got {text!s}.")
        fields: dict[str, FieldType] = {}
        for part in text.split(","):
            name, colon, kind = (piece.strip() for piece in part.partition(":"))
            if not colon or not re.fullmatch(r"[A-Za-z_]\w*", name):
                raise SignatureError(f"Expected 'name: type' between commas, got '{part.strip()}' in '{text.strip()}'.")
            if name in fields:
                raise SignatureError(f"Field '{name}' stands twice in '{text.strip()}'.")
            if name in ("mask", "batch"):
                raise SignatureError(f"'{name}' is reserved: it tells how a batch is laid out and has no field type.")
            fields[name] = FieldType.parse(kind)
        return cls(tuple(fields.items()))

    def __getitem__(self, name: str) -> FieldType:
        for key, kind in self.items_:
            if key == name:
                return kind
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.items_)

    def __len__(self) -> int:
        return len(self.items_)

    def __str__(self) -> str:
        return ", ".join(f"{name}: {kind}" for name, kind in self.items_)

    def of_kind(self, *kinds: str) -> tuple[str, ...]:
        """Names of the fields of these kinds, in order."""
        return tuple(name for name, kind in self.items_ if kind.kind in kinds)


@dataclass(frozen=True)
class Signature:
    """How a model's inputs and outputs transform: an immutable value that parses from a string and prints back.

    >>> signature = Signature.parse("pos: point, vel: vector, charge: scalar -> pos: point")
    >>> signature.inputs["vel"].kind, str(signature.outputs)
    ('vector', 'pos: point')

    Types: ``scalar pseudoscalar vector pseudovector point tensor node adjacency image`` with an optional multiplicity
    (``vector*4``), or any e3nn irreps string. See ``FieldType`` for shapes and actions.
    """

    inputs: Side
    outputs: Side

    @classmethod
    def parse(cls, text: "str | Signature") -> "Signature":
        """Read ``"inputs -> outputs"``; a ``Signature`` passes through.

        Raises:
            SignatureError: naming the part that cannot be read and the nearest field type.
        """
        if isinstance(text, Signature):
            return text
        if not isinstance(text, str) or text.count("->") != 1:
            raise SignatureError(f"A signature reads 'name: type, … -> name: type, …'; got {text!r}.")
        inputs, outputs = text.split("->")
        return cls(Side.parse(inputs), Side.parse(outputs))

    def __str__(self) -> str:
        return f"{self.inputs} -> {self.outputs}"

    def check_group(self, group: Group) -> None:
        """Raise SignatureError if the group cannot act on one of the fields."""
        for side in (self.inputs, self.outputs):
            for name, kind in side.items():
                kind.check_group(group, name)
