"""What can be named in a suite: one table per kind, name → "module:object", imported when it is asked for.

A `package.module:object` of your own works wherever a name does. It is imported, which runs its code: run only suites
you trust. The current directory is on the import path for this.
"""

import inspect
from pathlib import Path
from typing import Any

from geoequiv import declared
from geoequiv.declared import Declaration
from geoequiv.errors import GeoequivError, unknown
from geoequiv.importing import import_object
from geoequiv.symmetrize.frames.table import FRAME_PATHS

TABLES: dict[str, dict[str, str]] = {
    "model": {
        "linear": "geoequiv.models.linear:Linear",
        "mlp": "geoequiv.models.mlp:MLP",
        "deepsets": "geoequiv.models.deepsets:DeepSets",
        "gnn": "geoequiv.models.gnn:GNN",
        "transformer": "geoequiv.models.transformer:Transformer",
        "radial_field": "geoequiv.models.radial_field:RadialField",
        "egnn": "geoequiv.models.egnn:EGNN",
        "pointnet": "geoequiv.models.pointnet:PointNet",
        "dgcnn": "geoequiv.models.dgcnn:DGCNN",
        "fa_gnn": "geoequiv.averaged.fa_gnn:FAGNN",
        "fa_local_pointnet": "geoequiv.averaged.fa_local_pointnet:FALocalPointNet",
        "vn_pointnet": "geoequiv.models.vn_pointnet:VNPointNet",
        "vn_dgcnn": "geoequiv.models.vn_dgcnn:VNDGCNN",
        "gcn": "geoequiv.models.gcn:GCN",
        "gat": "geoequiv.models.gat:GAT",
        "gin": "geoequiv.models.gin:GIN",
        "chebnet": "geoequiv.models.chebnet:ChebNet",
        "gnnml1": "geoequiv.models.gnnml1:GNNML1",
        "gnnml3": "geoequiv.models.gnnml3:GNNML3",
        "ppgn": "geoequiv.models.ppgn:PPGN",
        "gatr": "geoequiv.models.gatr:GATr",
        "gatr_published": "geoequiv.models.gatr_published:PublishedGATr",
        "nequip": "geoequiv.models.nequip:NequIP",
        "painn": "geoequiv.models.painn:PaiNN",
        "ponita": "geoequiv.models.ponita:PONITA",
        "se3_transformer": "geoequiv.models.se3_transformer:SE3Transformer",
        "integrator": "geoequiv.models.integrator:Integrator",
        "second_order": "geoequiv.models.second_order:SecondOrder",
        "segnn": "geoequiv.models.segnn:SEGNN",
        "tfn": "geoequiv.models.tfn:TFN",
        "vgg11": "geoequiv.models.vgg:VGG11",
        "resnet": "geoequiv.models.resnet:ResNet",
        "gcnn": "geoequiv.models.gcnn:GCNN",
        "pgcnn": "geoequiv.models.pgcnn:PGCNN",
    },
    "task": {
        "nbody/charged": "geoequiv.tasks.nbody_charged:charged",
        "nbody/gravity": "geoequiv.tasks.nbody_gravity:gravity",
        "md17/dynamics": "geoequiv.tasks.md17_dynamics:dynamics",
        "md17/forces": "geoequiv.tasks.md17_forces:forces",
        "md17-xtb/dynamics": "geoequiv.tasks.md17_dynamics:surrogate",
        "md17-xtb/forces": "geoequiv.tasks.md17_forces:surrogate",
        "mocap/walk": "geoequiv.tasks.motion_capture:walk",
        "mocap/run": "geoequiv.tasks.motion_capture:run",
        "mocap/files": "geoequiv.tasks.motion_files:trials",
        "mocap-gait/walk": "geoequiv.tasks.mocap_gait:gait",
        "images/cifar10": "geoequiv.tasks.cifar10:cifar10",
        "graphs/graph8c": "geoequiv.tasks.graphs_graph8c:graph8c",
        "normals/shapes": "geoequiv.tasks.normals_shapes:shapes",
        "normals/meshes": "geoequiv.tasks.normals_meshes:meshes",
        "files": "geoequiv.tasks.files:files",
    },
    "frame": FRAME_PATHS,
}


def names(kind: str) -> tuple[str, ...]:
    """Names of one kind ("model", "task", "frame") in the order of the table."""
    return tuple(_table(kind))


def load(kind: str, name: str) -> Any:
    """Import the object behind a name.

    Args:
        kind: "model", "task" or "frame".
        name: a name of the table, or "package.module:object" of your own.

    Raises:
        GeoequivError: the name is unknown (the nearest one is named), or its module cannot be imported.
    """
    table = _table(kind)
    if name not in table and ":" not in name:
        raise GeoequivError(f"{unknown(kind, name, table)} Your own {kind} is written 'package.module:object'.")
    found = import_object(kind, table.get(name, name))
    if not callable(found):
        raise GeoequivError(f"The {kind} '{name}' must be a class or a function, got {type(found).__name__}.")
    return found


def declaration(kind: str, name: str) -> Declaration:
    """What the object behind a name takes, and its docstring; only an object of your own is imported for it.

    Raises:
        GeoequivError: as for ``load``.
    """
    path = _table(kind).get(name)
    return declared.read(path) if path else declared.inspected(load(kind, name))


def describe(kind: str, name: str) -> str:
    """First sentence of the docstring of the object behind a name."""
    return declaration(kind, name).summary


def task(name: str, data_dir: str | Path | None = None, *, limit: int | None = None, **options: Any) -> Any:
    """Build a task by name; simulated data is cached under `data_dir`.

    Args:
        name: a name of `geoequiv list tasks`, or "package.module:function" of your own.
        data_dir: the data cache; else $GEOEQUIV_DATA, else ~/.cache/geoequiv.
        limit: for a quick look, at most so many items of each split, under a protocol id of its own.
        options: the task's own options, such as `train=500`.

    Returns:
        The `Task`.

    Raises:
        GeoequivError: the task or an option is unknown (the nearest one is named), or one that it needs is missing.
    """
    build = load("task", name)
    accepted = inspect.signature(build).parameters if callable(build) else {}
    if "data_dir" not in accepted and not any(each.kind is each.VAR_KEYWORD for each in accepted.values()):
        raise GeoequivError(
            f"'{name}' is no task: a task is a function of data_dir and its options that returns a Task."
        )
    if not any(each.kind is each.VAR_KEYWORD for each in accepted.values()):
        for option in options:
            if option not in accepted:
                known = [*(each for each in accepted if each != "data_dir"), "limit"]
                raise GeoequivError(unknown(f"option of task '{name}'", option, known))
    needed = [each.name for each in accepted.values() if each.kind is each.KEYWORD_ONLY and each.default is each.empty]
    missing = [option for option in needed if option not in options]
    if missing:
        raise GeoequivError(f"The task '{name}' needs {' and '.join(f'{each}=…' for each in missing)}.")
    built = build(data_dir=data_dir, **options)
    if limit is None:
        return built
    from geoequiv.tasks.limit import limited  # loads torch: only when needed

    return limited(built, limit)


def _table(kind: str) -> dict[str, str]:
    if kind not in TABLES:
        raise GeoequivError(unknown("kind", kind, TABLES))
    return TABLES[kind]
