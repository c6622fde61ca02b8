"""Malformed inputs: seeded mutations of small valid ones.

Each mutation takes a random generator and returns its name with what it made, so that a finding can be told and made
again from its seed.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

BIDI = "\u202e"  # right-to-left override
WORDS = (
    "", "-1", "0", "nan", ".nan", "inf", "-.inf", "1e400", "1e-400", "9" * 30, "9" * 5000, "18446744073709551616",
    "true", "null", "{", "}", "[", "]", "(", ")", "#", '"', "'", "=", ":", "*", "&a", "*a", "->", "|", "%",
    "!!python/x", "\x00", "\x1b[31m", BIDI, "\ufeff", "é", "²", "＝", "\u2028", "\U0001f4a9", "x" * 10_000, "0 0 0",
    "1_000", "0x10", "~", "-", "--", "../..", "C99999", "SO(0)", "SO(99999999999)", "scalar*99999999999", "1x0e",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**64, 10**400, float("nan"), float("inf"), 1e300, "", "x", "\x00", "\x1b[31m", BIDI, "nan",
    [], {}, [[]], {"": {}}, [None], {"name": None}, [float("nan")], "x" * 5000,
)  # fmt: skip
Text = Callable[[str, random.Random], str]


def damage_text(text: str, rng: random.Random) -> tuple[str, str]:
    """A text with one mutation; its name and the text."""
    name = rng.choice(list(TEXT))
    return name, TEXT[name](text, rng)


def damage_bytes(content: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Bytes with one mutation; its name and the bytes."""
    name = rng.choice(list(BYTES))
    return name, BYTES[name](content, rng)


def damage_value(value: Any, rng: random.Random) -> tuple[str, Any]:
    """A copy of nested plain values in which one place has another value, is dropped, doubled, or nested deeply."""
    found = list(_places(value, ()))
    place = rng.choice(found)
    copy = json.loads(json.dumps(value))
    if not place:
        return "another value at the top", rng.choice(VALUES)
    owner = copy
    for part in place[:-1]:
        owner = owner[part]
    name = rng.choice(["another value", "value dropped", "value nested", "key added"])
    if name == "another value":
        owner[place[-1]] = rng.choice(VALUES)
    elif name == "value dropped":
        del owner[place[-1]]
    elif name == "value nested":
        for _ in range(rng.choice([1, 2, 500])):
            owner[place[-1]] = [owner[place[-1]]] if rng.random() < 0.5 else {"name": owner[place[-1]]}
    elif isinstance(owner, dict):
        owner[rng.choice(["nmae", "", "\x1b[31m", "__class__", BIDI])] = rng.choice(VALUES)
    else:
        owner.append(owner[place[-1]])
    return name, copy


def damage_words(words: Sequence[str], rng: random.Random) -> tuple[str, list[str]]:
    """A command line with one word replaced, dropped, doubled, added or damaged; no NUL, which no system passes on."""
    found = list(words)
    place = rng.randrange(len(found))
    name = rng.choice(["word replaced", "word dropped", "word doubled", "word added", "word damaged", "not UTF-8"])
    if name == "word replaced":
        found[place] = rng.choice(WORDS)
    elif name == "word dropped":
        del found[place]
    elif name == "word doubled":
        found.insert(place, found[place])
    elif name == "word added":
        found.insert(place + 1, rng.choice(WORDS))
    elif name == "word damaged":
        found[place] = damage_text(found[place], rng)[1]
    else:
        found[place] += "\udcff"
    return name, [word.replace("\x00", "\x01") for word in found]


def _places(value: Any, path: tuple[Any, ...]) -> Any:
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for part, child in pairs:
        yield from _places(child, (*path, part))


def _word(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    words[rng.randrange(len(words))] = rng.choice(WORDS)
    return " ".join(words)


def _number(text: str, rng: random.Random) -> str:
    """One run of digits becomes another number."""
    starts = [i for i, c in enumerate(text) if c.isdigit() and not text[i - 1 : i].isdigit()]
    if not starts:
        return _word(text, rng)
    start = rng.choice(starts)
    end = start + next((i for i, c in enumerate(text[start:]) if not c.isdigit()), len(text) - start)
    number = rng.choice(["0", "-1", "nan", "inf", "1e400", "9" * 20, "9" * 5000, str(2**64), "1.5", str(rng.random())])
    return text[:start] + number + text[end:]


def _lines(change: Callable[[list[str], int, random.Random], None]) -> Text:
    def apply(text: str, rng: random.Random) -> str:
        lines = text.split("\n")
        change(lines, rng.randrange(len(lines)), rng)
        return "\n".join(lines)

    return apply


def _drop(lines: list[str], place: int, rng: random.Random) -> None:
    del lines[place]


def _double(lines: list[str], place: int, rng: random.Random) -> None:
    lines.insert(place, lines[place])


def _swap(lines: list[str], place: int, rng: random.Random) -> None:
    other = rng.randrange(len(lines))
    lines[place], lines[other] = lines[other], lines[place]


def _character(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text) + 1)
    return text[:place] + rng.choice([chr(rng.randrange(0x300)), "\x00", "\x1b", BIDI, "\ud800"]) + text[place + 1 :]


def _bit_of_text(text: str, rng: random.Random) -> str:
    return _flip(text.encode("utf-8", "surrogatepass"), rng).decode("latin-1")


def _nest(text: str, rng: random.Random) -> str:
    pairs = [("[", "]"), ("{a: ", "}"), ("(", ")"), ("- ", ""), ("{\n", "}\n"), ("  begin\n", "")]
    opening, closing = rng.choice(pairs)
    place, depth = rng.randrange(len(text) + 1), rng.choice([50, 5000])
    return text[:place] + opening * depth + text[place:] + closing * depth


def _cut(content: Any, rng: random.Random) -> Any:
    return content[: rng.randrange(len(content) + 1)]


def _flip(content: bytes, rng: random.Random) -> bytes:
    broken = bytearray(content)
    if broken:
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
    return bytes(broken)


def _noise(content: bytes, rng: random.Random) -> bytes:
    broken = bytearray(content)
    for _ in range(rng.randint(2, 8)):
        broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def _block(content: bytes, rng: random.Random) -> bytes:
    """A block of zeros, as a disk that lost it gives."""
    start = rng.randrange(len(content))
    size = rng.choice([4, 64, 512])
    return content[:start] + bytes(len(content[start : start + size])) + content[start + size :]


def _huge(content: bytes, rng: random.Random) -> bytes:
    """Four bytes of the largest numbers, such as a size."""
    start = rng.randrange(len(content))
    fill = rng.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\xc0\x7f"])
    return content[:start] + fill[: len(content) - start] + content[start + 4 :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content))
    return content[:start] + content[max(0, start - 64) :]


TEXT: dict[str, Text] = {
    "cut": _cut,
    "bit flipped": _bit_of_text,
    "line dropped": _lines(_drop),
    "line doubled": _lines(_double),
    "lines swapped": _lines(_swap),
    "word replaced": _word,
    "number replaced": _number,
    "character replaced": _character,
    "nested": _nest,
}
BYTES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "cut": _cut,
    "bit flipped": _flip,
    "bytes replaced": _noise,
    "block of zeros": _block,
    "size made huge": _huge,
    "bytes doubled": _repeat,
}
