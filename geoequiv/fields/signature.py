"""The typed signature: declared once, read by every operator."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from geoequiv.errors import SignatureError, unknown
from geoequiv.fields.types import UNSIGNED, FieldType
from geoequiv.groups import Group

NAME = re.compile(r"[A-Za-z_]\w*")


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
            if not colon or not NAME.fullmatch(name):
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


#: roles of tensors that say how a batch is laid out
LAYOUT_ROLES = ("edge_index", "batch", "mask", "~mask")
#: what a tensor without a field type can be declared to be
ROLES = (*LAYOUT_ROLES, "index", "pass", "constant")


@dataclass(frozen=True)
class Signature:
    """How a model's inputs and outputs transform: an immutable value that parses from a string and prints back.

    >>> signature = Signature.parse("pos: point, vel: vector, charge: scalar -> pos: point")
    >>> signature.inputs["vel"].kind, str(signature.outputs)
    ('vector', 'pos: point')

    Types: ``scalar pseudoscalar vector pseudovector point tensor node adjacency image`` with an optional multiplicity
    (``vector*4``), for outputs ``vector up to sign``, or any e3nn irreps string, each ``per node``, ``per edge`` or
    ``per graph``. See ``FieldType`` for shapes and actions.

    Other tensors among the inputs are declared by ``names``, or in the text as if by a type (``"edges: edge_index"``):

    ============== ======================================================================
    role           meaning
    ============== ======================================================================
    edge_index     edges ``[2, E]``, which make the batch ragged
    batch          the cloud of each node, ``[n]``
    mask, ~mask    which nodes are real, or which are padding, ``[B, N]`` bool
    index          numbers of nodes, of any shape ``[…, m]``
    pass           repeated with the rows that it goes with, and not transformed
    constant       the same for all clouds, and not transformed
    ============== ======================================================================

    Args:
        inputs, outputs: the typed fields.
        names: name of a tensor → its role, as pairs.
    """

    inputs: Side
    outputs: Side
    names: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: "str | Signature", names: Mapping[str, str] | None = None) -> "Signature":
        """Read ``"inputs -> outputs"``; a ``Signature`` passes through.

        Args:
            names: roles of tensors that have no type (see the class), such as ``{"edges": "edge_index"}``.

        Raises:
            SignatureError: naming the part that cannot be read and the nearest field type or role.
        """
        if isinstance(text, Signature):
            return text.with_names(names or {})
        if not isinstance(text, str) or text.count("->") != 1:
            raise SignatureError(f"A signature reads 'name: type, … -> name: type, …'; got {text!r}.")
        inputs, outputs = text.split("->")
        parts = [part.partition(":") for part in inputs.split(",")]
        roles = {name.strip(): role.strip() for name, _, role in parts if role.strip() in ROLES}
        for name in roles:
            if not NAME.fullmatch(name):
                raise SignatureError(f"Expected 'name: role' between commas, got {name!r} as a name in {text!r}.")
        typed = ",".join("".join(part) for part in parts if part[2].strip() not in ROLES)
        read = Side.parse(typed)
        for name in read.of_kind(UNSIGNED):
            raise SignatureError(
                f"Input '{name}': '{UNSIGNED}' is a type of outputs, as a model reads the sign of what it is given. "
                f"Give it n nᵀ, which has none ('{name}: tensor'), or fix the signs ('{name}: vector')."
            )
        return cls(read, Side.parse(outputs)).with_names({**roles, **(names or {})})

    def with_names(self, names: Mapping[str, str]) -> "Signature":
        """The signature with roles for further tensors.

        Raises:
            SignatureError: an unknown role, two tensors for one part of the layout, or a role for a typed field.
        """
        if not names:
            return self
        roles = {**dict(self.names), **names}
        for name, role in roles.items():
            if role not in ROLES:
                raise SignatureError(unknown(f"role of '{name}'", str(role), ROLES))
            if name in self.inputs:
                raise SignatureError(f"'{name}' is a typed input of '{self}', it cannot be declared as '{role}' too.")
        parts = [role.removeprefix("~") for role in roles.values() if role in LAYOUT_ROLES]
        twice = next((part for part in parts if parts.count(part) > 1), None)
        if twice is not None:
            raise SignatureError(f"Two tensors are declared to be the '{twice}' of a batch: {roles}.")
        return Signature(self.inputs, self.outputs, tuple(roles.items()))

    def __str__(self) -> str:
        roles = "".join(f", {name}: {role}" for name, role in self.names)
        return f"{self.inputs}{roles} -> {self.outputs}"

    def check_group(self, group: Group) -> None:
        """Raise SignatureError if the group cannot act on one of the fields."""
        for side in (self.inputs, self.outputs):
            for name, kind in side.items():
                kind.check_group(group, name)
