"""Whatever a suite can name can be a user's own: one file each, no edit elsewhere, and a label on the board.

What is built in is no different: its own file, and one row of one table (numbers: tests/measurements/test_table.py).
"""

import ast
import csv
import io
import json
import textwrap
from pathlib import Path

import pytest

import geoequiv
from geoequiv import catalog
from geoequiv.cli import main
from geoequiv.methods import METHODS

ROOT = Path(geoequiv.__file__).parent

OWN = {
    "own_frame.py": '''
        from dataclasses import dataclass

        import torch

        import geoequiv as ge
        from geoequiv.symmetrize import Frame


        @dataclass(frozen=True)
        class TwoPoints(Frame):
            """Gram-Schmidt on the first two points about the centroid."""

            shrink: float = 1.0

            def __call__(self, fields, side="pos: point", layout=None, *, training=False):
                pos = fields["pos"].double()
                centre = pos.mean(-2)
                first, second = (torch.nn.functional.normalize(pos[..., i, :] - centre, dim=-1) for i in (0, 1))
                across = torch.nn.functional.normalize(torch.linalg.cross(first, second), dim=-1)
                axes = torch.stack([first, torch.linalg.cross(across, first), across], dim=-1)
                return ge.Element(axes.to(fields["pos"])[None], centre.to(fields["pos"])[None]), None
    ''',
    "own_model.py": '''
        import torch


        class Drift(torch.nn.Module):
            """A perceptron per point, which no symmetry binds."""

            def __init__(self, width: int = 4):
                super().__init__()
                self.net = torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.SiLU(), torch.nn.Linear(width, 3))

            def forward(self, pos, vel):
                return pos + self.net(torch.cat([pos, vel], dim=-1))
    ''',
    "own_method.py": '''
        import geoequiv as ge


        class Shrunk:
            """The task's loss, with a penalty on the length of what is predicted."""

            def __init__(self, model, signature, loss, penalty: float = 0.1):
                self.task = ge.Augmentation(model, signature, "C1", loss)
                self.model, self.penalty = model, penalty

            def __call__(self, inputs, targets):
                parts = self.task(inputs, targets)
                return parts._replace(total=parts.total + self.penalty * self.model(**inputs).square().mean())


        METHOD = ge.Method.objective(Shrunk, family="other", name="shrunk")
    ''',
    "own_task.py": '''
        import torch

        import geoequiv as ge
        from geoequiv.tasks import Metric, Split, Task

        SIGNATURE = ge.Signature.parse("pos: point, vel: vector -> pos: point")


        def straight(data_dir=None, train: int = 12) -> Task:
            """Points that fly straight on."""
            generator = torch.Generator().manual_seed(0)

            def split(items):
                pos, vel = torch.randn(2, items, 4, 3, generator=generator)
                return Split({"pos": pos, "vel": vel}, {"pos": pos + vel})

            def squared(predictions, targets):
                return (predictions["pos"] - targets["pos"]).square().flatten(1).mean(1)

            return Task(
                name="own/straight",
                protocol=f"own/straight/{train}",
                description="Points that fly straight on.",
                signature=SIGNATURE,
                symmetry="SE(3)",
                splits={"train": split(train), "val": split(4), "test": split(4)},
                loss=torch.nn.functional.mse_loss,
                metric=Metric("mse", "", "lower", squared),
                references=(),
                checksum="none",
                citation="",
            )
    ''',
    "own_measurement.py": '''
        import torch


        @torch.no_grad()
        def flight_length(model, task):
            """Mean distance between a point and where it is predicted to be."""
            inputs = task.splits["test"].inputs
            return (model(**inputs) - inputs["pos"]).norm(dim=-1).mean()
    ''',
}
SUITE = """
    name: own
    task: "own_task:straight"
    train: {epochs: 1, batch_size: 6}
    evaluate: {num_items: 4, num_samples: 2, repeats: 1}
    measure: ["own_measurement:flight_length"]
    entries:
      - model: {name: "own_model:Drift", width: 3}
        symmetry:
          - "own_method:METHOD": {penalty: [0.1, 0.5]}
          - frame_averaging: {group: SE(3), frame: {name: "own_frame:TwoPoints", shrink: 0.5}}
          - frame_averaging: {group: SE(3), frame: {name: stochastic, of: "own_frame:TwoPoints"}}
"""


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A folder with one file for each of a user's own objects, and a suite that names them all."""
    monkeypatch.chdir(tmp_path)
    for name, text in (OWN | {"own.yaml": SUITE}).items():
        Path(name).write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    return tmp_path


def test_own_frame_model_method_task_and_measurement_reach_the_board(own_folder, capsys):
    assert main(["run", "own.yaml", "--output", "results"]) == 0
    capsys.readouterr()

    def rendered(form):
        assert main(["leaderboard", "results", "--format", form, "--output", "-"]) == 0
        return capsys.readouterr().out

    board = json.loads(rendered("json"))
    assert (board["task"], board["protocol"]) == ("own_task:straight", "own/straight/12")
    rows = {row["symmetry"]: row for row in board["rows"]}
    assert set(rows) == {
        "shrunk",
        "shrunk (penalty 0.5)",
        "frame averaging SE(3) (own_frame:TwoPoints, shrink 0.5)",
        "frame averaging SE(3) (stochastic, of own_frame:TwoPoints)",
    }
    assert {row["model"] for row in rows.values()} == {"own_model:Drift"}
    for symmetry, row in rows.items():
        relative = row["equivariance"]["relative"]
        assert relative < 1e-5 if symmetry.startswith("frame") else relative > 1e-3
        assert row["numbers"]["flight_length"]["value"] > 0
    table = list(csv.DictReader(io.StringIO(rendered("csv"))))
    assert all(float(line["flight_length"]) > 0 for line in table)
    for form in ("html", "md"):
        assert "flight length" in rendered(form)


def texts(path):
    """The strings of a file, docstrings among them."""
    return {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}


TEXTS = {path.relative_to(ROOT).as_posix(): texts(path) for path in sorted(ROOT.rglob("*.py"))}
TABLES = {
    "catalog.py": [*catalog.TABLES["model"].values(), *catalog.TABLES["task"].values()],
    "symmetrize/frames/table.py": list(catalog.TABLES["frame"].values()),
    "methods/table.py": [row.target for row in METHODS.values() if row.name != "test_time_averaging"],
    "methods/test_time.py": [METHODS["test_time_averaging"].target],
}
#: objectives of methods that others train with: every wrapper with the task's loss
TRAINED_WITH = {
    "geoequiv.objectives:TaskObjective": {"methods/method.py", "methods/test_time.py"},
    "geoequiv.objectives:Augmentation": {"methods/test_time.py"},
}


@pytest.mark.parametrize(("table", "path"), [(table, path) for table in TABLES for path in TABLES[table]])
def test_what_is_built_in_is_named_in_one_row_of_one_table(table, path):
    public = {"__init__.py"}  # names that are public at the top as well
    assert {file for file, found in TEXTS.items() if path in found} - TRAINED_WITH.get(path, set()) - public == {table}
