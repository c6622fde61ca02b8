"""The YAML that is read: plain data, of a size, a depth and an alphabet that a suite can need."""

import re
from typing import Any

import yaml

from geoequiv.text import control_character

#: nodes, those behind aliases counted each time (a sweep of a hundred thousand runs needs fewer)
LARGEST = 500_000
DEEPEST = 50
DIGITS = 300


class Loader(yaml.SafeLoader):
    """`yaml.SafeLoader`, which reads `5e-4` as a number as well (YAML 1.1 asks for `5.0e-4`).

    Documents that are too large, too deep, or hold numbers of thousands of digits or control characters are errors: a
    few lines of aliases can stand for billions of nodes.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0
        self.sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node, within the limits."""
        mark = self.peek_event().start_mark
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"nested more than {DEEPEST} levels deep", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None and id(node) not in self.sizes:
            children = [] if isinstance(node, yaml.ScalarNode) else node.value
            parts = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
            self.sizes[id(node)] = 1 + sum(self.sizes.get(id(part), 0) for part in parts)
            if self.sizes[id(node)] > LARGEST:
                raise yaml.MarkedYAMLError(
                    problem=f"more than {LARGEST:,} values, those behind aliases counted each time", problem_mark=mark
                )
        return node


def _whole_number(loader: Loader, node: yaml.ScalarNode) -> int | str:
    if ":" in node.value:
        return node.value  # base 60 in YAML 1.1, where 1:30 is 90; here it is the text that it looks like
    if re.match(r"[-+]?0[0-9]", node.value):
        raise yaml.MarkedYAMLError(
            problem=f"'{node.value}' is a number in base 8 in YAML 1.1: write it without the leading zero",
            problem_mark=node.start_mark,
        )
    if len(node.value) > DIGITS:
        raise yaml.MarkedYAMLError(
            problem=f"a number of {len(node.value)} digits; at most {DIGITS} are read", problem_mark=node.start_mark
        )
    found: int = loader.construct_yaml_int(node)
    return found


def _real_number(loader: Loader, node: yaml.ScalarNode) -> float | str:
    if ":" in node.value:
        return node.value
    found: float = loader.construct_yaml_float(node)
    return found


def _text(loader: Loader, node: yaml.ScalarNode) -> str:
    found: str = loader.construct_yaml_str(node)
    if (wrong := control_character(found)) is not None:
        raise yaml.MarkedYAMLError(
            problem=f"a control character (U+{ord(wrong):04X}) in text", problem_mark=node.start_mark
        )
    return found


Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)
Loader.add_constructor("tag:yaml.org,2002:int", _whole_number)
Loader.add_constructor("tag:yaml.org,2002:float", _real_number)
Loader.add_constructor("tag:yaml.org,2002:str", _text)
