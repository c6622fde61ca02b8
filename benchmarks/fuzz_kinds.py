"""The kinds of input that `fuzz.py` damages: for each a valid seed, how it is damaged, read, and judged.

What counts as silent, for an input that is accepted though it is damaged, depends on what its format can tell:

- a file with checksums (archives, packed logs, checkpoints, records): any value that differs from the seed's;
- a text format that counts (frames of .bvh, atoms of .xyz, numbered frames of .amc): another count than the file
  announces, and everywhere a number that is not finite;
- a name or a signature: one that does not print back as itself, or that keeps control characters;
- a command line: exit status 0 with nothing printed.
"""

import contextlib
import io
import json
import math
import os
import random
import shutil
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import malformed
import numpy as np
import yaml
from fuzz_seeds import AMC, ASF, BVH, CLOUD, COMMANDS, GROUPS, SIGNATURES, SUITE

RESULTS = Path(__file__).parent / "results/quickstart"


@dataclass(frozen=True)
class Kind:
    """One kind of input.

    Attributes:
        name: on the table.
        seed: what is damaged; made in an empty folder, which has all other files that reading takes.
        damage: the seed and a random generator → the name of the mutation, and what it made.
        read: what it made and the folder → the values that are accepted.
        silent: value read, value of the seed, the mutation → what was accepted in silence, "" if nothing was.
        share: of all inputs, in comparison.
    """

    name: str
    seed: Callable[[Path], Any]
    damage: Callable[[Any, random.Random], tuple[str, Any]]
    read: Callable[[Any, Path], Any]
    silent: Callable[[Any, Any, str], str]
    share: int = 4


def differs(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a checksum should see it."""
    return "" if plain(value) == plain(whole) else "values differ from the seed's"


def altered(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a record differs; that one is missing whole, no line of a packed file can tell."""
    return "" if all(each in plain(whole) for each in plain(value)) else "a record differs from the seed's"


def not_finite(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a number read is not finite."""
    return "" if all(math.isfinite(x) for x in numbers(plain(value))) else "a number is not finite"


def miscounted(value: Any, whole: Any, mutation: str) -> str:
    """Not finite, or lines lost or doubled within what the file counts; what is cut whole at the end none can see."""
    counted = mutation in ("line dropped", "line doubled") and np.shape(value) != np.shape(whole)
    return "another number of frames or atoms" if counted else not_finite(value, whole, mutation)


def not_printed_back(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a parsed name prints as another one, or keeps characters that cannot be seen."""
    text, again = value
    if any(unicodedata.category(c) in ("Cc", "Cf", "Cs") for c in text):
        return "a control character is kept"
    return "" if text == again else "does not print back"


def nothing_printed(value: Any, whole: Any, mutation: str) -> str:
    """Silent where a command did nothing and said nothing."""
    return "" if value else "exit status 0, nothing printed"


def plain(value: Any) -> Any:
    """Nested plain values of arrays, tensors and mappings; NaN as a text, so that it equals itself."""
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in sorted(value.items(), key=str)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if hasattr(value, "tolist"):
        return [list(value.shape), str(value.dtype), plain(value.tolist())]
    return float(value) if isinstance(value, np.floating) else value


def numbers(value: Any) -> Any:
    """The numbers in plain values."""
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from numbers(each)
    elif isinstance(value, float):
        yield value


def in_file(name: str, reader: Callable[[Path], Any]) -> Callable[[Any, Path], Any]:
    """Writes an input to a file of the folder and reads it."""

    def read(content: Any, folder: Path) -> Any:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        return reader(path)

    return read


# Seeds and readers. They import what they read with, so that each kind costs what it needs.


def suite(path: Path) -> Any:
    from geoequiv.bench.suite import read_suite

    return [run.config for run in read_suite(path).runs]


def structured(text: str, rng: random.Random) -> tuple[str, str]:
    """A suite damaged as text, or as values."""
    if rng.random() < 0.5:
        return malformed.damage_text(text, rng)
    name, value = malformed.damage_value(yaml.safe_load(text), rng)
    return name, json.dumps(value)  # which is YAML, but for Infinity and NaN


def structured_json(text: str, rng: random.Random) -> tuple[str, str]:
    """JSON damaged as text, or as values."""
    if rng.random() < 0.7:
        return malformed.damage_text(text, rng)
    name, value = malformed.damage_value(json.loads(text), rng)
    return name, json.dumps(value)


def clouds(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    pos, numbers = rng.normal(size=(12, 3, 3)), np.array([1, 6, 8])
    return {"pos": pos, "numbers": numbers, "energy": rng.normal(size=12), "forces": rng.normal(size=(12, 3, 3))}


def archive(folder: Path) -> bytes:
    file = io.BytesIO()
    np.savez(file, **clouds(folder))
    return file.getvalue()


def frames(folder: Path) -> str:
    arrays, text = clouds(folder), ""
    for pos, energy, forces in zip(arrays["pos"], arrays["energy"], arrays["forces"], strict=True):
        text += f'3\nProperties=species:S:1:pos:R:3:forces:R:3 energy={energy:.6f} pbc="F F F"\n'
        for symbol, x, f in zip("HCO", pos, forces, strict=True):
            text += f"{symbol} {' '.join(f'{v:.6f}' for v in (*x, *f))}\n"
    return text


def own_task(path: Path) -> Any:
    from geoequiv.tasks.files import files

    task = files(path=str(path), signature=CLOUD, normalise=False)
    return {name: [dict(split.inputs), dict(split.targets)] for name, split in task.splits.items()}


def molecules(path: Path) -> Any:
    from geoequiv.tasks.data.sources import read

    own_task(path)
    source = read(path)
    arrays = [source.get(name)[0] for name in ("pos", "energy", "forces")]
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], 1)


def skeleton(path: Path) -> Any:
    from geoequiv.tasks.data.asf_amc import read_amc, read_asf
    from geoequiv.tasks.data.skeleton import forward_kinematics

    read = read_asf(path.with_suffix(".asf"))
    if not path.with_suffix(".amc").exists():
        path.with_suffix(".amc").write_text(AMC)
    return forward_kinematics(read, read_amc(path.with_suffix(".amc"), read))


def with_skeleton(folder: Path) -> str:
    (folder / "a.asf").write_text(ASF)
    return AMC


def bvh(path: Path) -> Any:
    from geoequiv.tasks.data.bvh import read_bvh

    return read_bvh(path).positions()


def markers(folder: Path) -> bytes:
    import ezc3d

    rng = np.random.default_rng(0)
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [100.0]
    file["parameters"]["POINT"]["LABELS"]["value"] = ["LASI", "RASI", "LKNE"]
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    values = np.ones((4, 3, 5))
    values[:3] = 100 * rng.normal(size=(3, 3, 5))
    file["data"]["points"] = values
    file["data"]["meta_points"]["residuals"] = np.zeros((1, 3, 5))
    file.write(str(folder / "seed.c3d"))
    return (folder / "seed.c3d").read_bytes()


def c3d(path: Path) -> Any:
    from geoequiv.errors import DataError
    from geoequiv.tasks.data.c3d import read_c3d

    found = read_c3d(path)
    if np.isnan(found.positions).any():  # not seen, which tasks refuse
        raise DataError("a marker is missing")
    return [list(found.names), found.positions, found.rate, found.unit]


def trained(folder: Path) -> bytes:
    import torch

    from geoequiv.training.checkpoint import save_checkpoint

    weights = {"weight": torch.arange(40.0).reshape(8, 5), "bias": torch.zeros(8, dtype=torch.float64)}
    progress = {"best_weights": weights, "epoch": 3, "losses": [0.5, 0.25]}
    save_checkpoint(folder / "seed.ckpt", {"identity": {"lr": 1e-3}, "progress": progress})
    return (folder / "seed.ckpt").read_bytes()


def checkpoint(path: Path) -> Any:
    import torch

    from geoequiv.training.checkpoint import load_checkpoint

    return load_checkpoint(path, torch.device("cpu"))


def state_dict(folder: Path) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save({"weight": torch.arange(40.0).reshape(8, 5), "bias": torch.zeros(8)}, file)
    return file.getvalue()


def tensors(path: Path) -> Any:
    from geoequiv.cli.subject import read_tensors

    return read_tensors(path)


def record(folder: Path) -> str:
    from geoequiv.records.run_directory import write_record

    (folder / "run").mkdir()
    write_record(folder / "run", first_records(1)[0])
    return (folder / "run/record.json").read_text(encoding="utf-8")


def read_record(path: Path) -> Any:
    from geoequiv.records.run_directory import read_record as read

    return read(path.parent).as_json()


def first_records(count: int) -> Any:
    from geoequiv.records import read

    return read(RESULTS).records[:count]


def packed(folder: Path) -> str:
    return "".join(f"{each.text()}\n" for each in first_records(2))


def read_packed(path: Path) -> Any:
    """The records; a line that is left out is named, which is an error that is told."""
    from geoequiv.errors import DataError
    from geoequiv.records import read

    found = read(path)
    if found.left_out:
        raise DataError("; ".join(f"{each.path}: {each.reason}" for each in found.left_out))
    return [each.as_json() for each in found.records]


def items(folder: Path) -> bytes:
    from geoequiv.records.items import encoded

    return encoded({f"{run}/{name}": np.arange(20.0) / 7 for run in ("aa", "bb") for name in ("metric", "item_group")})


def read_items(path: Path) -> Any:
    from geoequiv.records.items import packed_items

    return packed_items(path, "aa")


def logs(folder: Path) -> bytes:
    from geoequiv.records.logs import packed_table

    rows = [{"epoch": str(k), "loss": f"{1 / (k + 1):.6f}"} for k in range(9)]
    return packed_table({"a": rows, "b": rows[::-1]})


def read_logs(path: Path) -> Any:
    from geoequiv.records.logs import packed_logs

    return packed_logs(path)


def signature(text: str, folder: Path) -> Any:
    from geoequiv.fields import Signature

    parsed = Signature.parse(text)
    return str(parsed), str(Signature.parse(str(parsed)))


def group(text: str, folder: Path) -> Any:
    from geoequiv.groups import group as named

    found = named(text)
    found.sample(1)
    return found.name, named(found.name).name


def of_texts(texts: tuple[str, ...]) -> Callable[[Any, random.Random], tuple[str, str]]:
    return lambda seed, rng: malformed.damage_text(rng.choice(texts), rng)


def workplace(folder: Path) -> tuple[str, ...]:
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "clouds.npz").write_bytes(archive(folder))
    shutil.copytree(RESULTS, folder / "packed")
    return COMMANDS


def command_line(commands: tuple[str, ...], rng: random.Random) -> tuple[str, list[str]]:
    words = rng.choice(commands).split(" ")
    words = words[:1] + [word.replace("->", " -> ") for word in words[1:]]
    name, words = malformed.damage_words(words, rng)
    return name, [*words, "--dry-run"] if words[:1] == ["run"] or "suite.yaml" in words else words


def command(words: list[str], folder: Path) -> Any:
    """What a command printed; its errors, told on standard error with exit status 2, are raised again."""
    from geoequiv.cli import main
    from geoequiv.errors import GeoequivError

    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    error = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    before = os.getcwd()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            try:
                status = main(words)
            except SystemExit as leaving:  # of argparse: --help and wrong usage
                status = leaving.code
    finally:
        os.chdir(before)
    out.flush(), error.flush()
    told = error.buffer.getvalue().decode("utf-8").strip()
    if status and "Traceback" not in told and told:
        raise GeoequivError(told)
    printed = out.buffer.getvalue().decode("utf-8") + told
    if status not in (0, 1) or "Traceback" in told:
        raise RuntimeError(f"exit status {status}: {printed[-300:]}")
    return printed


#: kinds of which each input is made of one of several texts
OF_TEXTS = ("signature", "group", "command line")
KINDS = (
    Kind("suite", lambda folder: SUITE, structured, in_file("suite.yaml", suite), not_finite, 8),
    Kind("npz", archive, malformed.damage_bytes, in_file("a.npz", own_task), differs, 6),
    Kind("extxyz", frames, malformed.damage_text, in_file("a.extxyz", molecules), miscounted, 6),
    Kind("asf", lambda folder: ASF, malformed.damage_text, in_file("a.asf", skeleton), not_finite, 4),
    Kind("amc", with_skeleton, malformed.damage_text, in_file("a.amc", skeleton), miscounted, 4),
    Kind("bvh", lambda folder: BVH, malformed.damage_text, in_file("a.bvh", bvh), miscounted, 4),
    Kind("c3d", markers, malformed.damage_bytes, in_file("a.c3d", c3d), not_finite, 2),
    Kind("checkpoint", trained, malformed.damage_bytes, in_file("a.ckpt", checkpoint), differs, 6),
    Kind("weights (.pt)", state_dict, malformed.damage_bytes, in_file("a.pt", tensors), differs, 2),
    Kind("record.json", record, structured_json, in_file("run/record.json", read_record), differs, 5),
    Kind("records.jsonl", packed, malformed.damage_text, in_file("records.jsonl", read_packed), altered, 3),
    Kind("items.npz", items, malformed.damage_bytes, in_file("items.npz", read_items), differs, 3),
    Kind("logs.csv.gz", logs, malformed.damage_bytes, in_file("logs.csv.gz", read_logs), differs, 2),
    Kind("signature", lambda folder: None, of_texts(SIGNATURES), signature, not_printed_back, 8),
    Kind("group", lambda folder: None, of_texts(GROUPS), group, not_printed_back, 8),
    Kind("command line", workplace, command_line, command, nothing_printed, 8),
)  # fmt: skip
