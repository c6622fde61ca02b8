"""The register of protocols: under which ids numbers compare, what each id stands for, and what was published under it.

An id names task, variant, horizon, split sizes and metric, and whatever departs from the published setting. Tasks make
ids out of their options; those that papers report, or that this project does, stand here. Any other id is as good, but
has no published numbers. Numbers are ranked within one id only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geoequiv.errors import ConfigError, unknown
from geoequiv.tasks.reference import Reference

CITATIONS = {
    "charged": """@inproceedings{satorras2021en,
  title={E(n) Equivariant Graph Neural Networks},
  author={Satorras, V{\\'i}ctor Garcia and Hoogeboom, Emiel and Welling, Max},
  booktitle={International Conference on Machine Learning},
  year={2021}
}""",
    "gravity": """@inproceedings{brehmer2023geometric,
  title={Geometric Algebra Transformer},
  author={Brehmer, Johann and de Haan, Pim and Behrends, S{\\"o}nke and Cohen, Taco},
  booktitle={Advances in Neural Information Processing Systems},
  year={2023}
}""",
    "md17": """@article{chmiela2017machine,
  title={Machine learning of accurate energy-conserving molecular force fields},
  author={Chmiela, Stefan and Tkatchenko, Alexandre and Sauceda, Huziel E. and Poltavsky, Igor and Sch{\\"u}tt, Kristof
    T. and M{\\"u}ller, Klaus-Robert},
  journal={Science Advances},
  volume={3},
  number={5},
  year={2017}
}""",
    "rmd17": """@article{christensen2020role,
  title={On the role of gradients for machine learning of molecular energies and forces},
  author={Christensen, Anders S. and von Lilienfeld, O. Anatole},
  journal={Machine Learning: Science and Technology},
  volume={1},
  number={4},
  year={2020}
}""",
    "gfn2": """@article{bannwarth2019gfn2,
  title={{GFN2-xTB}: An Accurate and Broadly Parametrized Self-Consistent Tight-Binding Quantum Chemical Method},
  author={Bannwarth, Christoph and Ehlert, Sebastian and Grimme, Stefan},
  journal={Journal of Chemical Theory and Computation},
  volume={15},
  number={3},
  year={2019}
}""",
    "cifar10": """@techreport{krizhevsky2009learning,
  title={Learning Multiple Layers of Features from Tiny Images},
  author={Krizhevsky, Alex},
  institution={University of Toronto},
  year={2009}
}""",
    "mocap": """@misc{cmu2003motion,
  title={Carnegie-Mellon Motion Capture Database},
  author={{CMU}},
  year={2003},
  url={http://mocap.cs.cmu.edu}
}""",
    "geoequiv": """@software{geoequiv,
  title={geoequiv: which way of getting symmetry, and how symmetric is it really?},
  author={{The geoequiv authors}},
  note={Version 0.1.0}
}""",
}


@dataclass(frozen=True)
class Protocol:
    """One entry of the register.

    Args:
        id: as the task makes it.
        task: name in the catalog.
        options: of the task, what is not its default.
        splits: split → number of items.
        seeds: what is drawn by which seed, in words.
        horizon: steps or frames ahead, None where nothing is ahead.
        metric: name of the number that ranks.
        unit: of the data, and of the metric where they differ.
        citation: key of `CITATIONS`.
        checksum: of the data as the task states it, None where it is not known: files that could not be had here, or
            simulations that differ in the last digits from one machine to the next.
        references: published numbers.
    """

    id: str
    task: str
    options: Mapping[str, Any]
    splits: Mapping[str, int]
    seeds: str
    horizon: int | None
    metric: str
    unit: str
    citation: str
    checksum: str | None = None
    references: tuple[Reference, ...] = ()


def protocol(identity: str) -> Protocol:
    """The entry of an id; ConfigError with the nearest one if there is none."""
    if identity not in PROTOCOLS:
        raise ConfigError(unknown("protocol", identity, PROTOCOLS))
    return PROTOCOLS[identity]


def references_of(identity: str) -> tuple[Reference, ...]:
    """Numbers published under this very id; none for an id that is not in the register."""
    return PROTOCOLS[identity].references if identity in PROTOCOLS else ()


def checksum_of(identity: str) -> str | None:
    """Checksum of the data that the register has under an id, if it has one."""
    return PROTOCOLS[identity].checksum if identity in PROTOCOLS else None


def _splits(*sizes: int) -> dict[str, int]:
    return dict(zip(("train", "val", "test"), sizes, strict=True))


_MD17 = ("aspirin", "benzene", "ethanol", "malonaldehyde", "naphthalene", "salicylic", "toluene", "uracil")
_EGNN = "Satorras et al. 2021 (EGNN)"
_GMN = "Huang et al. 2022 (GMN)"
_EGNO = "Xu et al. 2024 (EGNO)"
_REMUL = "Elhag et al. 2024 (REMUL)"
_GATR = "README of the GATr repository"


def _charged() -> tuple[Protocol, ...]:
    def entry(variant: str, references: tuple[Reference, ...], checksum: str | None) -> Protocol:
        name = "nbody/charged" if variant == "component" else f"nbody/charged-{variant}"
        options = {} if variant == "component" else {"variant": variant}
        return Protocol(
            f"{name}/Δ1000/3000-2000-2000/mse", "nbody/charged", options, _splits(3000, 2000, 2000),
            "seed 43 of the public generator", 1000, "mse", "that of the simulation", "charged", checksum, references,
        )  # fmt: skip

    mfa = "one seed; L1 loss over 6 random re-orientations per step, up to 10 000 epochs; not exactly equivariant"
    latent = "frames per layer in latent space"
    published = (
        Reference("Linear", 0.0819, _EGNN, "P", "built-in E(3)"),
        Reference("SE(3)-Transformer", 0.0244, _EGNN, "P", "built-in SE(3)", "Fuchs et al. 2020"),
        Reference("TFN", 0.0155, _EGNN, "P", "built-in SE(3)", "Thomas et al. 2018"),
        Reference("GNN", 0.0107, _EGNN, "P", "none"),
        Reference("Radial Field", 0.0104, _EGNN, "P", "built-in E(3)", "Köhler et al. 2019"),
        Reference("EGNN", 0.0071, _EGNN, "P", "built-in E(3)"),
        Reference("FA-GNN", 0.0057, "Puny et al. 2022", "P", "frame averaging E(3)", latent),
        Reference("SEGNN", 0.0043, "Brandstetter et al. 2022", "P", "built-in E(3)"),
        Reference("PONITA", 0.0043, "Bekkers et al. 2024", "P", "built-in SE(3)"),
        Reference("MFA-GNN", 0.00362, "Lin et al. 2024, the code's own log", "P", "minimal frame averaging", mfa),
        Reference("CEGNN", 0.0039, "Ruhe et al. 2023", "M", "built-in E(3)"),
        Reference("Canonicalization", 0.0043, "Kaba et al. 2023", "M", "learned canonicalization"),
        Reference("EGNO", 0.0054, "Xu et al. 2024", "M", "built-in SE(3)"),
    )
    known = "c0c2a5f0abe2f781e31359b6140e24365f7ae379d62f2d765a9bdb669835d4ab"
    return entry("component", published, known), entry("isotropic", (), None)


def _gravity() -> tuple[Protocol, ...]:
    published = {
        "remul": (
            Reference("GATr", 1.49e-3, _REMUL, "S", "built-in E(3)", "rotated by 90–180°: 1.41e-3"),
            Reference("Transformer", 1.94e-3, _REMUL, "S", "REMUL SO(3)", "rotated by 90–180°: 1.83e-3"),
            Reference("Transformer", 4.20e-3, _REMUL, "S", "augmentation SO(3)", "rotated by 90–180°: 4.21e-3"),
            Reference("SE(3)-Transformer", 5.16e-3, _REMUL, "S", "built-in SE(3)", "rotated by 90–180°: 4.85e-3"),
            Reference("Transformer", 8.99e-3, _REMUL, "S", "none", "rotated by 90–180°: 27.06e-3"),
        ),
        "gatr": (
            Reference("GATr", 0.0005, _GATR, "P", "built-in E(3)"),
            Reference("SEGNN", 0.0006, _GATR, "P", "built-in E(3)"),
            Reference("SE(3)-Transformer", 0.0025, _GATR, "P", "built-in SE(3)"),
            Reference("Transformer", 0.0050, _GATR, "P", "none"),
            Reference("MLP", 0.0776, _GATR, "P", "none"),
        ),
    }
    return tuple(
        Protocol(
            f"nbody/gravity/{variant}/Δ100/{train}-5000-5000/mse", "nbody/gravity", {"protocol": variant},
            _splits(train, 5000, 5000) | {"test_rotated": 5000, "test_shifted": 5000}, "seed 0, our simulation", 100,
            "mse", "G = 1, the star at rest", "gravity", None, published[variant],
        )
        for variant, train in (("remul", 100), ("gatr", 1000))
    )  # fmt: skip


def _dynamics() -> tuple[Protocol, ...]:
    """GMN's horizon is 3000 frames; the 5000 that its paper prints is corrected by its authors."""
    frames = "its own random frames"
    published = {  # MSE in Å², in the order of the molecules
        ("Radial Field", _GMN, "E(3)"): (0.1094, 1.0372, 0.0464, 0.1393, 0.0050, 0.0123, 0.1093, 0.0064),
        ("TFN", _GMN, "E(3)"): (0.1237, 0.5848, 0.0481, 0.1362, 0.0049, 0.0103, 0.1089, 0.0084),
        ("SE(3)-Transformer", _GMN, "SE(3)"): (0.1112, 0.6811, 0.0474, 0.1389, 0.0052, 0.0113, 0.1088, 0.0079),
        ("EGNN", _GMN, "E(3)"): (0.1441, 0.6240, 0.0464, 0.1364, 0.0047, 0.0102, 0.1178, 0.0064),
        ("GMN", _GMN, "E(3)"): (0.1014, 0.4812, 0.0483, 0.1311, 0.0040, 0.0091, 0.1022, 0.0059),
        ("EGNO", _EGNO, "E(3)"): (0.0918, 0.4885, 0.0462, 0.1280, 0.0037, 0.0086, 0.1021, 0.0052),
    }
    aspirin = (
        Reference("GNN", 0.0926, _REMUL, "S", "none", frames),
        Reference("GNN", 0.0928, _REMUL, "S", "REMUL", frames),
    )
    found = []
    for k, molecule in enumerate(_MD17):
        for name in ("md17/dynamics", "md17-xtb/dynamics"):
            references = tuple(
                Reference(model, values[k], source, "M", f"built-in {group}", frames)
                for (model, source, group), values in published.items()
            ) + (aspirin if molecule == "aspirin" else ())
            found.append(
                Protocol(
                    f"{name}/{molecule}/Δ3000/500-2000-2000/mse", name, {"molecule": molecule},
                    _splits(500, 2000, 2000), "seed 0 draws the frames, none of the first and last 10 000", 3000, "mse",
                    "Å; Å²", "md17" if name == "md17/dynamics" else "gfn2", None,
                    references if name == "md17/dynamics" else (),
                )
            )  # fmt: skip
    return tuple(found)


def _forces() -> tuple[Protocol, ...]:
    checksums = {  # of split 1
        "aspirin": "c213d949b5d8c2384a81f3c8df14782f12d2c75df00ea644947bab524bea65e7",
        "benzene": "593ea0b725ff6d273bba779e0c3bb0f8095f098504dfef68200e25cd2bb0b972",
        "ethanol": "58cb5ff9af77e779007d3341f0f8ddc4fd89ca919d5fb430dd4e460e462fb8f4",
        "naphthalene": "eee9857eb5508a955a56be0b3963c8a8e716f7fa96317b2ee1c546b3c91feadd",
        "uracil": "f8071ebf070084d23985c9a7fa3fb8a2e077e4ae8cfb9f6a0b1d0f15a3bec118",
    }
    molecules = (
        "aspirin", "azobenzene", "benzene", "ethanol", "malonaldehyde", "naphthalene", "paracetamol", "salicylic",
        "toluene", "uracil",
    )  # fmt: skip
    unnamed = "950 and 50 frames; of which split, or of how many, is not known here"
    mace = {"aspirin": 6.6, "benzene": 0.3, "ethanol": 2.1, "toluene": 1.5}
    nequip = (8.2, 2.9, 0.3, 2.8, 5.1, 1.3, 5.9, 4.0, 1.6, 3.1)  # in the order of the molecules

    def published(k: int, molecule: str) -> tuple[Reference, ...]:
        found = [Reference("NequIP", nequip[k], "Batzner et al. 2022", "M", "built-in E(3)", unnamed)]
        if molecule in mace:
            found.append(Reference("MACE", mace[molecule], "Batatia et al. 2022", "S", "built-in E(3)", unnamed))
        return tuple(found)

    simulated = tuple(
        Protocol(
            f"md17-xtb/forces/{molecule}/950-50-1000/force_mae", "md17-xtb/forces", {"molecule": molecule},
            _splits(950, 50, 1000), "seed 0 draws the frames", None, "force_mae",
            "Å, kcal/mol, kcal/mol/Å; meV/Å", "gfn2",
        )
        for molecule in _MD17
    )  # fmt: skip
    return simulated + tuple(
        Protocol(
            f"md17/forces/{molecule}/split{split}/950-50-1000/force_mae", "md17/forces",
            {"molecule": molecule, "split": split}, _splits(950, 50, 1000),
            f"official split {split}; the last 50 training frames validate", None, "force_mae",
            "Å, kcal/mol, kcal/mol/Å; meV/Å", "rmd17", checksums.get(molecule) if split == 1 else None,
            published(k, molecule) if split == 1 else (),
        )
        for k, molecule in enumerate(molecules)
        for split in range(1, 6)
    )  # fmt: skip


def _mocap() -> tuple[Protocol, ...]:
    unpublished = "trial split not published"
    walk = (
        Reference("Transformer", 0.0495, _REMUL, "S", "REMUL", unpublished),
        Reference("Transformer", 0.0521, _REMUL, "S", "none", unpublished),
        Reference("EGNO", 0.081, _EGNO, "S", "built-in E(3)", f"± 0.016; {unpublished}"),
        Reference("GATr", 0.1006, _REMUL, "S", "built-in E(3)", unpublished),
        Reference("SE(3)-Transformer", 0.1085, _REMUL, "S", "built-in SE(3)", unpublished),
        Reference("GMN", 0.216, _GMN, "M", "built-in E(3)", unpublished),
        Reference("EGNN", 0.287, _EGNO, "S", "built-in E(3)", f"± 0.016; {unpublished}"),
    )
    run = (
        Reference("Transformer", 0.185, _REMUL, "S", "REMUL"),
        Reference("Transformer", 0.2078, _REMUL, "S", "none"),
        Reference("EGNO", 0.339, _EGNO, "S", "built-in E(3)", "± 0.017"),
        Reference("GMN", 0.441, _GMN, "M", "built-in E(3)"),
        Reference("EGNN", 0.509, _EGNO, "S", "built-in E(3)", "± 0.009"),
    )

    def entry(kind: str, sizes: tuple[int, int, int], trials: str, seeds: str, *rest: Any) -> Protocol:
        size = "-".join(map(str, sizes))
        return Protocol(
            f"mocap/{kind}/Δ30/{size}{trials}/mse", f"mocap/{kind}", {}, _splits(*sizes), seeds, 30, "mse",
            "0.45 to the inch; that squared", "mocap", *rest,
        )  # fmt: skip

    twenty = "b37db0dbe301c262a6ea9f3d3a6c299b16414e73919f21bc432ad37174a08b13"
    public = "5fccc498814e100996863f4531f23dfbff11f843b85566acdb90a076f22713cd"
    drawn = "seed 0 deals trials and draws frames"
    return (
        entry("walk", (200, 600, 600), "", drawn, None, walk),
        entry("walk", (200, 600, 600), "/20-trials", drawn, twenty),
        entry("run", (200, 240, 240), "", "EGNO's public trials and frames", public, run),
        entry("run", (200, 240, 240), "/drawn-split", drawn),
        Protocol(
            "mocap-gait/walk/Δ30/200-240-240/mse", "mocap-gait/walk", {}, _splits(200, 240, 240),
            "seed 0 draws walkers and frames, our simulation", 30, "mse", "0.45 to the inch; that squared", "geoequiv",
        ),
    )  # fmt: skip


def _images() -> tuple[Protocol, ...]:
    """Whether the paper held images out for validation, and how it augmented besides flips, is not known."""
    paper, note = "Bökman & Kahl 2023, table of VGG11", "full width; its own split and training"
    values = (
        ("CNN", 0.901, "augmentation flip"), ("CNN", 0.879, "none"), ("CNN", 0.892, "invariance loss flip"),
        ("CNN", 0.902, "late (20%) invariance loss flip"), ("GCNN", 0.899, "built-in flip"),
        ("PGCNN", 0.902, "augmentation flip"), ("PGCNN", 0.915, "late (20%) invariance loss flip"),
    )  # fmt: skip
    published = tuple(Reference(model, value, paper, "P", symmetry, note) for model, value, symmetry in values)
    return (
        Protocol(
            "images/cifar10/45000-5000-10000/accuracy", "images/cifar10", {}, _splits(45000, 5000, 10000),
            "official test images; seed 0 draws those that validate", None, "accuracy", "0 to 255", "cifar10", None,
            published,
        ),
        Protocol(
            "images/cifar10/part-1c6c5261/7200-800-2000/accuracy", "images/cifar10", {"path": "cifar10_subset.npz"},
            _splits(7200, 800, 2000), "seed 0 draws those that validate", None, "accuracy", "0 to 255", "cifar10",
            "fc5082da72a6cb817f81eb1815b89df9659d757caa1261a4cd92aca59cb079b9",
        ),
    )  # fmt: skip


#: id → entry, in the order of `geoequiv list protocols`
PROTOCOLS = {entry.id: entry for entry in (*_charged(), *_gravity(), *_dynamics(), *_forces(), *_mocap(), *_images())}
