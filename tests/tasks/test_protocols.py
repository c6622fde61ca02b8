"""The register of protocols: ids are those that tasks make, and numbers belong to one; quick looks have their own."""

import dataclasses
import inspect

import numpy as np
import pytest
import torch

from geoequiv import catalog
from geoequiv.cli import main
from geoequiv.errors import ConfigError, GeoequivError
from geoequiv.fields import Signature
from geoequiv.tasks import (
    Split,
    Task,
    cifar10,
    md17_dynamics,
    md17_forces,
    mocap_gait,
    motion_capture,
    nbody_charged,
    nbody_gravity,
    recording,
)
from geoequiv.tasks.limit import limited
from geoequiv.tasks.mean_squared_error import MSE
from geoequiv.tasks.protocols import CITATIONS, PROTOCOLS, checksum_of, protocol, references_of


def made_id(entry):
    """The id that the task itself makes out of the options of an entry and its own defaults."""
    defaults = {k: p.default for k, p in inspect.signature(catalog.load("task", entry.task)).parameters.items()}
    options = {**defaults, **entry.options}
    sizes = {name: entry.splits[name] for name in ("train", "val", "test")}
    if entry.task == "nbody/charged":
        return nbody_charged.charged_id(options["variant"], sizes, options["seed"])
    if entry.task == "nbody/gravity":
        return nbody_gravity.gravity_id(options["protocol"], sizes, options["seed"])
    if entry.task in ("md17/dynamics", "md17-xtb/dynamics"):
        assert options["horizon"] == 3000  # GMN's, not the 5000 that its paper prints
        return md17_dynamics.dynamics_id(
            entry.task, options["molecule"], options["horizon"], options["margin"], sizes, options["seed"]
        )
    if entry.task == "mocap-gait/walk":
        return mocap_gait.gait_id(sizes, options["horizon"], options["seed"])
    if entry.task == "md17-xtb/forces":
        return md17_forces.surrogate_id(options["molecule"], sizes, options["seed"], "")
    if entry.task == "images/cifar10":
        part = entry.id.split("/")[2].removeprefix("part-") if options["path"] else None  # of the file's content
        return cifar10.cifar10_id(sizes, options["seed"], part)
    assert entry.task == "md17/forces"
    return md17_forces.forces_id(options["molecule"], options["split"], sizes)


@pytest.mark.parametrize("identity", [i for i in PROTOCOLS if not i.startswith("mocap/")])
def test_tasks_make_these_ids_out_of_their_options(identity):
    assert made_id(PROTOCOLS[identity]) == identity


@pytest.mark.parametrize(
    ("kind", "trials", "starts", "number"),
    [("walk", 23, None, 0), ("walk", 20, None, 1), ("run", 11, {"train": {}}, 2), ("run", 11, None, 3)],
)
def test_motion_capture_makes_these_ids_too(kind, trials, starts, number):
    entry = [each for each in PROTOCOLS.values() if each.task.startswith("mocap/")][number]
    trials_of = recording.Recording(
        {name: np.zeros((60, 31, 3)) for name in (motion_capture.TWENTY if trials == 20 else map(str, range(trials)))},
        np.zeros((30, 2), dtype=int),
        starts,
    )
    assert motion_capture.mocap_id(kind, trials_of, entry.splits, 30, 0) == entry.id


def test_the_register_is_listed(capsys):
    assert main(["list", "protocols"]) == 0
    printed = capsys.readouterr().out.splitlines()
    for identity in PROTOCOLS:
        assert identity in printed


def test_default_sizes_are_those_of_the_register():
    for entry in PROTOCOLS.values():
        defaults = {k: p.default for k, p in inspect.signature(catalog.load("task", entry.task)).parameters.items()}
        for name in ("train", "val", "test"):
            size = defaults[name]
            if size is None and entry.task == "images/cifar10":  # of the 50 000 and 10 000 images, or of a part's
                learn, held_out = (8000, 2000) if entry.options else (50_000, 10_000)
                size = {"train": learn - learn // 10, "val": learn // 10, "test": held_out}[name]
            elif size is None:
                size = dict(zip(("train", "val", "test"), motion_capture.SIZES.get(entry.task[6:], ()), strict=False))
                size = size.get(name, nbody_gravity.TRAIN.get(entry.options.get("protocol")))
            assert size == entry.splits[name], entry.id


def test_entries_are_whole():
    for identity, entry in PROTOCOLS.items():
        assert entry.id == identity
        assert entry.citation in CITATIONS
        assert entry.seeds
        assert entry.unit
        assert identity.endswith(f"/{entry.metric}")
        assert entry.horizon is None or f"/Δ{entry.horizon}/" in identity
        assert entry.checksum is None or len(entry.checksum) == 64
    checksums = [entry.checksum for entry in PROTOCOLS.values() if entry.checksum]
    assert len(set(checksums)) == len(checksums)


def test_published_forces_have_units_and_states():
    """In meV/Å, the unit of the metric, on the first official split; none on surrogate data."""
    published = {each.id: each.references for each in PROTOCOLS.values() if "forces/" in each.id and each.references}
    assert len(published) == 10
    assert all("/split1/" in identity for identity in published)
    values = {(r.model, r.state): r.value for r in published["md17/forces/ethanol/split1/950-50-1000/force_mae"]}
    assert values == {("NequIP", "M"): 2.8, ("MACE", "S"): 2.1}


def test_numbers_belong_to_one_id():
    assert references_of("nbody/charged/Δ1000/3000-2000-2000/mse")
    assert references_of("nbody/charged/Δ1000/3000-2000-2000/mse/seed7") == ()
    assert references_of("nbody/charged-isotropic/Δ1000/3000-2000-2000/mse") == ()
    assert not any(entry.references for entry in PROTOCOLS.values() if entry.task.startswith("md17-xtb"))
    assert checksum_of("nothing") is None
    with pytest.raises(ConfigError, match="Did you mean 'mocap/run/Δ30/200-240-240/mse'"):
        protocol("mocap/run/Δ30/200-240-240/mae")


def task(**changes):
    pos = torch.arange(30.0).reshape(5, 2, 3)
    split = Split({"pos": pos}, {"pos": pos + 1}, {"odd": torch.arange(5) % 2 == 1})
    made = Task(
        "made/up", "made/up/5-5-5/mse", "", Signature.parse("pos: point -> pos: point"), "E(3)",
        {"train": split, "val": split, "test": split, "test_far": split}, torch.nn.functional.mse_loss, MSE,
        references_of("mocap/run/Δ30/200-240-240/mse"), "0", "", lambda: {"mse": 1.0},
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def test_a_quick_look_has_an_id_of_its_own():
    short = limited(task(), 2)
    assert short.protocol == "made/up/5-5-5/mse/limit2"
    assert short.references == ()
    assert short.symmetry_error is None
    assert {name: len(split) for name, split in short.splits.items()} == dict.fromkeys(short.splits, 2)
    assert short.splits["test_far"].marks["odd"].tolist() == [False, True]
    torch.testing.assert_close(short.splits["val"].inputs["pos"], task().splits["val"].inputs["pos"][:2])
    assert len(limited(task(), 99).splits["test"]) == 5
    for wrong in (0, -1, 2.5, True, "3"):
        with pytest.raises(ConfigError, match="limit must be a number of items"):
            limited(task(), wrong)


def test_limit_is_an_option_of_every_task(tmp_path):
    short = catalog.task("nbody/gravity", data_dir=tmp_path, train=4, val=3, test=5, limit=2)
    assert short.protocol == "nbody/gravity/remul/Δ100/4-3-5/mse/limit2"
    assert len(short.splits["test_shifted"]) == 2
    with pytest.raises(GeoequivError, match="Did you mean 'limit'"):
        catalog.task("nbody/gravity", data_dir=tmp_path, limti=2)
