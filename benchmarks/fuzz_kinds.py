"""The kinds of input that `fuzz.py` damages: for each a valid seed, how it is damaged, read, and judged."""

import contextlib
import io
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import malformed
from fuzz_judges import Kind, altered, differs, in_file, miscounted, not_finite, not_printed_back, nothing_printed
from fuzz_seeds import AMC, ASF, BVH, CLOUD, COMMANDS, GROUPS, SIGNATURES, SPLIT, SUITE

RESULTS = Path(__file__).parent / "results/quickstart"

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


def cached(folder: Path) -> bytes:
    from geoequiv.tasks.data.cache import load_or_build

    return load_or_build("seed/task", {"size": 3}, lambda: clouds(folder), folder).path.read_bytes()


def read_cached(path: Path) -> Any:
    """What `data verify` says of a file of simulated data; one that is named as damaged is an error that is told."""
    from geoequiv.errors import DataError
    from geoequiv.tasks.data.cache import load_or_build, verify

    shutil.copy(path, path.with_name(f"{path.stem}-0123456789ab.npz"))
    if (status := verify(path)) != "ok":
        raise DataError(status)

    def rebuild() -> dict[str, Any]:
        raise DataError("it is built again")

    proper = next(path.parent.glob("seed-task-*.npz"))
    shutil.copy(path, proper)
    return load_or_build("seed/task", {"size": 3}, rebuild, path.parent).arrays


def kept_numbers(folder: Path) -> str:
    from geoequiv.tasks.data.cache import load_or_compute

    load_or_compute(folder / "seed.json", "key", lambda: {"mse": 0.5, "mae": 0.25})
    return (folder / "seed.json").read_text(encoding="utf-8")


def read_kept_numbers(path: Path) -> Any:
    from geoequiv.errors import DataError
    from geoequiv.tasks.data.cache import load_or_compute

    def again() -> dict[str, float]:
        raise DataError("they are computed again")

    return load_or_compute(path, "key", again)


def config(folder: Path) -> str:
    return yaml.safe_dump(first_records(1)[0].as_json()["config"], sort_keys=False)


def read_config(path: Path) -> Any:
    from geoequiv.bench.trained import spec_of

    return spec_of("suite", path).config


def split_index(path: Path) -> Any:
    from geoequiv.tasks.data.rmd17_files import read_index

    return read_index(path, 1000)


def recording(folder: Path) -> bytes:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {f"trial_{k:02d}": rng.normal(size=(9, 31, 3)) for k in (1, 2, 3)}
    arrays["edges"] = np.stack([np.arange(30), np.arange(1, 31)], 1)
    for trial, split in ((1, "train"), (2, "val"), (3, "test")):
        arrays[f"split_{split}_trials"] = np.array([trial])
        arrays[f"split_{split}_{trial}_starts"] = np.arange(5)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def read_recording(path: Path) -> Any:
    from geoequiv.tasks.data.cmu_files import read_packed

    found = read_packed(path)
    return [found.trials, found.edges, found.starts]


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
    Kind("simulated data", cached, malformed.damage_bytes, in_file("a.npz", read_cached), differs, 3),
    Kind("kept numbers", kept_numbers, structured_json, in_file("a.json", read_kept_numbers), differs, 2),
    Kind("recording (.npz)", recording, malformed.damage_bytes, in_file("run.npz", read_recording), differs, 3),
    Kind("split (.csv)", lambda folder: SPLIT, malformed.damage_text, in_file("a.csv", split_index), not_finite, 2),
    Kind("config.yaml", config, structured, in_file("run/config.yaml", read_config), not_finite, 3),
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
