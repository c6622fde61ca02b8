"""Which meshes of a folder are in which split: by sub-folders, by lists of names, or by a draw."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geoequiv.errors import DataError, unknown
from geoequiv.tasks.data.mesh_files import ENDINGS
from geoequiv.text import read_text

Parts = dict[str, list[Path]]
#: of a draw over all files
SHARES = {"val": 0.1, "test": 0.1}


def mesh_parts(folder: Path, lists: str | None, seed: int) -> Parts:
    """Files of "train", "val" and "test".

    With ``lists``, those named in train.json and test.json (and val.json) of a folder of this name. Else those in the
    sub-folders train, val and test; else all files, of which the seed draws a tenth for each of val and test. Where
    there is no val, a tenth of train is drawn for it.

    Raises:
        DataError: no files, a list that cannot be read, or one that names a mesh that is not there.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not files:
        raise DataError(f"{folder} holds no mesh: files end in {', '.join(ENDINGS)}.")
    if lists is not None:
        return with_val(listed(folder, lists, files), seed)
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        parts = {part: [f for f in files if (folder / part) in f.parents] for part in ("train", "val", "test")}
        for part in ("train", "test"):
            if not parts[part]:
                raise DataError(f"{folder / part} holds no mesh.")
        return with_val(parts, seed)
    order = [files[k] for k in np.random.default_rng(seed).permutation(len(files))]
    val, test = (max(int(share * len(files)), 1) for share in SHARES.values())
    if len(files) < 3:
        raise DataError(f"{folder} holds {len(files)} meshes; three splits need three at least.")
    return {"train": order[val + test :], "val": order[:val], "test": order[val : val + test]}


def with_val(parts: Parts, seed: int) -> Parts:
    """The parts with a tenth of the training files for validation, where there are none."""
    if parts.get("val"):
        return parts
    train = parts["train"]
    if len(train) < 2:
        raise DataError("One training mesh leaves none for validation.")
    order = [train[k] for k in np.random.default_rng(seed).permutation(len(train))]
    count = max(len(train) // 10, 1)
    return {"train": order[count:], "val": order[:count], "test": parts["test"]}


def listed(folder: Path, lists: str, files: list[Path]) -> Parts:
    """The parts that lists name, such as the published abc_512_10k, abc_512_50k and abc_512_100k."""
    places = sorted(path for path in folder.rglob(lists) if (path / "train.json").is_file())
    if not places:
        there = sorted({path.parent.name for path in folder.rglob("train.json")})
        raise DataError(f"{folder}: {unknown('list of meshes', lists, there)} A list is a folder with train.json.")
    by_name = {path.stem: path for path in files}
    parts: Parts = {}
    for part in ("train", "val", "test"):
        path = places[0] / f"{part}.json"
        if part == "val" and not path.is_file():
            continue
        try:
            names = names_in(json.loads(read_text(path)))
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({type(error).__name__}: {error}).") from error
        absent = [name for name in names if name not in by_name]
        if absent or not names:
            example = f", such as '{absent[0]}'" if absent else ""
            raise DataError(f"{path} names {len(names)} meshes, of which {len(absent)} are not in {folder}{example}.")
        parts[part] = [by_name[name] for name in names]
    return parts


def names_in(content: Any) -> list[str]:
    """All names in nested mappings and lists, without endings.

    >>> names_in({"scans": {"all": ["a_512", "b_512.obj"]}})
    ['a_512', 'b_512']
    """
    if isinstance(content, str):
        return [Path(content).stem if Path(content).suffix.lower() in ENDINGS else content]
    if isinstance(content, Mapping):
        content = list(content.values())
    if not isinstance(content, list):
        raise ValueError(f"expected names, got {content!r}")
    return [name for each in content for name in names_in(each)]
