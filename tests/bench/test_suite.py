"""Suite files: lists expand, ids are stable, and every mistake is named with its line before anything runs."""

import subprocess
import sys

import pytest

from geoequiv.bench.spec import RunSpec
from geoequiv.bench.suite import read_suite
from geoequiv.errors import ConfigError
from geoequiv.records.identity import identity
from geoequiv.session import Session

HEAD = "name: tiny\ntask: {name: nbody/charged, train: 32}\n"


def complaints(path):
    with pytest.raises(ConfigError) as caught:
        read_suite(path)
    return str(caught.value).splitlines()


def labels(suite):
    return [run.title for run in suite.runs]


def test_a_wrong_item_of_a_list_is_said_once(suite_file):
    wrong = complaints(suite_file("- {model: egnn, seeds: [1.5]}\n"))
    assert len(wrong) == 1
    assert "seeds[0]': expected a valid integer, got a number with a fractional part; got 1.5" in wrong[0]


def test_seeds_and_single_configurations_need_no_variant(suite_file):
    suite = read_suite(suite_file("- {model: [egnn, gnn], seeds: [0, 1]}\n"))
    assert {run.variant for run in suite.runs} == {""}


def test_lists_expand_to_sweeps_in_order(suite_file):
    suite = read_suite(
        suite_file("""\
            - model: [{name: gnn, width: [8, 16]}, mlp]
              symmetry: [none, {remul: {group: SO(3), beta: [0.1, 10]}}]
            - model: egnn
              seeds: [3, 4]
        """)
    )
    ways = ("none", "REMUL β=0.1 SO(3)", "REMUL β=10 SO(3)")
    assert labels(suite) == [
        *(f"gnn (model.width={width}) · {way} · seed 0" for width in (8, 16) for way in ways),
        *(f"mlp · {way} · seed 0" for way in ways),
        "egnn · none · seed 3",
        "egnn · none · seed 4",
    ]
    assert [run.config["model"].get("width") for run in suite.runs[:6]] == [8, 8, 8, 16, 16, 16]


def test_defaults_are_filled_in_and_entries_override(suite_file):
    [run] = read_suite(
        suite_file("- {model: egnn, train: {lr: 5e-4}, evaluate: {group: E(3)}}", HEAD + "train: {lr: 1, epochs: 7}\n")
    ).runs
    config = run.config
    assert config["train"]["lr"] == 5e-4
    assert config["train"]["epochs"] == 7
    assert config["train"]["batch_size"] == 100
    assert config["model"]["width"] == 64
    assert config["task"]["val"] == 2000
    assert config["evaluate"]["group"] == "E(3)"


def test_run_ids_are_stable_and_differ_with_every_setting(suite_file):
    entry = "- {model: {name: gnn, width: 8}, symmetry: {remul: {group: SO(3), beta: 1}}, train: {lr: 1}, seeds: [0]}"
    [run] = read_suite(suite_file(entry, HEAD)).runs
    same = [
        entry.replace("beta: 1", "beta: 1.0, alpha: 1"),
        entry.replace("width: 8", "depth: 4, width: 8"),
        entry.replace("lr: 1", "lr: 1e0, checkpoint_seconds: 5"),
        entry + "\n" + entry,
    ]
    for text in same:
        [other] = read_suite(suite_file(text, HEAD)).runs
        assert other.run_id == run.run_id
        assert other.former_id == run.former_id
    [measured] = read_suite(suite_file(entry.replace("seeds", "evaluate: {num_samples: 3}, seeds"), HEAD)).runs
    assert measured.run_id == run.run_id  # what is measured afterwards is no part of it
    assert measured.former_id != run.former_id
    different = {
        entry.replace("beta: 1", "beta: 2"),
        entry.replace("SO(3)", "O(3)"),
        entry.replace("gnn", "egnn"),
        entry.replace("width: 8", "width: 9"),
        entry.replace("lr: 1", "lr: 2"),
        entry.replace("seeds: [0]", "seeds: [1]"),
    }
    ids = {read_suite(suite_file(text, HEAD)).runs[0].run_id for text in different}
    ids.add(read_suite(suite_file(entry, HEAD.replace("32", "33"))).runs[0].run_id)
    assert len(ids | {run.run_id}) == len(different) + 2


@pytest.mark.parametrize(
    ("entry", "task", "other_entry", "other_task"),
    [
        ("{name: gnn, width: 64}", "{name: nbody/charged}", '{name: gnn, width: "64"}', "{name: nbody/charged}"),
        ("gnn", "{name: nbody/charged, train: 500}", "gnn", '{name: nbody/charged, train: "500"}'),
        ("gnn", "{name: nbody/gravity, train: 20}", "gnn", "{name: nbody/gravity, train: 20.0}"),
        ("gnn", "{name: nbody/gravity, limit: 5}", "gnn", '{name: nbody/gravity, limit: "5"}'),
        ("gnn", "{name: nbody/gravity, limit: 5}", "gnn", "{name: nbody/gravity, limit: 5.0}"),
    ],
)
def test_numbers_written_otherwise_are_the_same_numbers(suite_file, entry, task, other_entry, other_task):
    [run] = read_suite(suite_file(f"- model: {entry}", f"name: x\ntask: {task}\n")).runs
    [other] = read_suite(suite_file(f"- model: {other_entry}", f"name: x\ntask: {other_task}\n")).runs
    assert other.canonical == run.canonical


def test_the_id_does_not_depend_on_the_order_of_keys_and_never_changes():
    config = {"task": {"name": "a"}, "model": {"name": "b"}, "train": {"lr": 0.5}, "seed": 0}
    other = {"seed": 0, "train": {"checkpoint_seconds": 9, "lr": 0.5}, "model": {"name": "b"}, "task": {"name": "a"}}
    assert RunSpec.of("x", config).run_id == RunSpec.of("y", other).run_id == "a198d3902b47"


def test_every_mistake_is_listed_with_its_line(suite_file):
    lines = complaints(
        suite_file(
            """\
            - model: gnm
              symmetry: [none, {remull: {group: SO(3)}}]
            - model: {name: gnn, widht: 8, depth: many}
              symmetry: {remul: {group: SOO(3), beta: 1}}
              train: {epochs: -1}
            - model: egnn
              symetry: none
            - model: egnn
              symmetry: [{frame_averaging: {frame: pcaa}}, {group_averaging: {}}, 7]
            - model: gnn
              symmetry: {frame_averaging: {frame: {name: weighted, treshold: 0.5}}}
            """,
            "name: tiny\ntask: {name: nbody/charged, trian: 32}\ntrain: {epohcs: 3}\n",
        )
    )
    expected = [
        ("line 2, key 'task.trian'", "Did you mean 'train'"),
        ("line 3, key 'train.epohcs'", "Did you mean 'epochs'"),
        ("line 5, key 'entries[0].model'", "Unknown model 'gnm'. Did you mean 'gnn'"),
        ("line 6, key 'entries[0].symmetry[1].remull'", "Did you mean 'remul'"),
        ("line 7, key 'entries[1].model.widht'", "Unknown option of model 'gnn' 'widht'. Did you mean 'width'"),
        ("line 7, key 'entries[1].model.depth'", "expected a valid integer"),
        ("line 8, key 'entries[1].symmetry.remul.group'", "Unknown group 'SOO(3)'"),
        ("line 9, key 'entries[1].train.epochs'", "got -1"),
        ("line 11, key 'entries[2].symetry'", "Did you mean 'symmetry'"),
        ("line 13, key 'entries[3].symmetry[0].frame_averaging.frame'", "Unknown frame 'pcaa'. Did you mean 'pca'"),
        ("line 13, key 'entries[3].symmetry[1].group_averaging'", "needs the option 'group'"),
        ("line 13, key 'entries[3].symmetry[2]'", "expected a name or"),
        ("line 15, key 'entries[4].symmetry.frame_averaging.frame.treshold'", "'treshold'. Did you mean 'threshold'"),
    ]
    assert len(lines) == len(expected), "\n".join(lines)
    for line, (place, message) in zip(lines, expected, strict=True):
        assert place in line
        assert message in line


@pytest.mark.parametrize(
    ("entry", "place", "message"),
    [
        ("{model: {name: gnn, width: 0}}", "model.width", "expected greater than or equal to 1; got 0"),
        ("{model: {name: gnn, width: [8, -1]}}", "model.width[1]", "expected greater than or equal to 1; got -1"),
        (
            "{model: gnn, symmetry: {remul: {group: SO(3), beta: -1}}}",
            "symmetry.remul.beta",
            "greater than or equal to 0",
        ),
        (
            "{model: gnn, symmetry: {remul: {group: SO(3), beta: .nan}}}",
            "symmetry.remul.beta",
            "finite number; got nan",
        ),
        (
            "{model: gnn, symmetry: {remul: {group: SO(3), alpha: .inf}}}",
            "symmetry.remul.alpha",
            "finite number; got inf",
        ),
        ("{model: gnn, symmetry: {remul: {group: SO(3), alpha: 0, beta: 0}}}", "symmetry.remul.beta", "not both be 0"),
        (
            "{model: gnn, symmetry: {remul: {group: SO(3), weighting: constrained}}}",
            "symmetry.remul.weighting",
            "needs epsilon",
        ),
        (
            "{model: gnn, symmetry: {remul: {group: SO(3), epsilon: 0.1}}}",
            "symmetry.remul.epsilon",
            "goes with weighting",
        ),
        (
            "{model: gnn, symmetry: {remul: {group: SO(3), sampling: adversarial}}}",
            "symmetry.remul.sampling",
            "give two or more",
        ),
        (
            "{model: gnn, symmetry: {group_averaging: {group: O, subgroup: Q}}}",
            "symmetry.group_averaging.subgroup",
            "Unknown group",
        ),
        *(
            (
                f"{{model: gnn, symmetry: {{{name}: {{group: SO(3), num_samples: 0}}}}}}",
                f"symmetry.{name}.num_samples",
                "greater than or equal to 1",
            )
            for name in ("group_averaging", "test_time_averaging")
        ),
        ("{model: gnn, symmetry: {frame_averaging: {frame: 3}}}", "symmetry.frame_averaging.frame", "expected a valid"),
        (
            "{model: gnn, symmetry: {frame_averaging: {frame: {name: sorting, budget: many}}}}",
            "symmetry.frame_averaging.frame.budget",
            "valid integer",
        ),
        (
            "{model: gnn, symmetry: {frame_averaging: {frame: {name: stochastic, of: minimall}}}}",
            "symmetry.frame_averaging.frame.of",
            "Did you mean 'minimal'",
        ),
    ],
)
def test_values_are_checked_before_anything_runs(suite_file, entry, place, message):
    [line] = complaints(suite_file(f"- {entry}", HEAD))
    assert f"suite.yaml, line 4, key 'entries[0].{place}': " in line
    assert message in line


def test_a_run_is_measured_in_one_way(suite_file):
    [line] = complaints(suite_file("- model: egnn\n- {model: egnn, evaluate: {num_items: 3}}\n- model: egnn", HEAD))
    assert "the same run as in entries[0], measured in another way" in line


def test_a_former_key_is_named_with_what_it_is_called_now(suite_file):
    [line] = complaints(suite_file("- model: egnn", HEAD + "otherwise: nbody/gravity\n"))
    assert "line 3, key 'otherwise': 'otherwise' is called 'fallback' now: write that." in line


def test_own_measurements_are_imported_when_the_suite_is_read(suite_file):
    [run] = read_suite(suite_file("- model: egnn", HEAD + "measure: my_models:largest_input\n")).runs
    assert run.config["measure"] == ["my_models:largest_input"]
    assert run.run_id == read_suite(suite_file("- model: egnn", HEAD)).runs[0].run_id
    [line] = complaints(suite_file("- model: egnn", HEAD + "measure: [my_models:largest_input, my_models:Shfit]\n"))
    assert "line 3, key 'measure[1]': " in line
    assert "Did you mean 'Shift'" in line
    [line] = complaints(suite_file("- model: egnn", HEAD + "measure: [my_models:Shift]\n"))
    assert "line 3, key 'measure[0]': 'my_models:Shift' cannot be called with (model, task): too many" in line


def test_angles_of_barriers_are_finite(suite_file):
    [line] = complaints(suite_file("- model: egnn", HEAD + "align: {angles: [30, .nan]}\n"))
    assert "line 3, key 'align.angles[1]': expected a finite number; got nan." in line


def test_precision_and_compilation_are_part_of_a_run_and_devices_are_not(suite_file):
    path = suite_file("- model: egnn", HEAD)
    [plain] = read_suite(path).runs
    [rough] = read_suite(path, overrides=["train.precision=bf16-mixed"]).runs
    [compiled] = read_suite(path, overrides=["train.compile=true"]).runs
    [double] = read_suite(path, overrides=["train.precision=64"]).runs
    [several] = read_suite(path, overrides=["train.devices=2", "train.precision=32"]).runs
    assert (plain.precision, rough.precision, double.precision) == ("32", "bf16-mixed", "64")
    assert len({each.run_id for each in (plain, rough, compiled, double)}) == 4
    assert several.run_id == plain.run_id


def test_ids_of_runs_are_those_of_former_versions(suite_file):
    """These had precision and compilation beside `train`, and only where they were not the default."""
    path = suite_file("- model: egnn", HEAD)
    for settings in ({}, {"precision": "bf16-mixed"}, {"compile": True, "precision": "bf16-mixed"}):
        overrides = [f"train.{name}={str(value).lower()}" for name, value in settings.items()]
        [spec] = read_suite(path, overrides=overrides).runs
        former = spec.config
        for name in ("precision", "compile", "devices"):
            del former["train"][name]
        former |= settings
        assert identity(former) == spec.run_id
        assert RunSpec.of("suite", former).config["train"].get("precision", "32") == spec.precision


def test_a_device_must_have_the_precision(suite_file):
    head = HEAD + "train: {precision: 16-mixed}\n"
    [line] = complaints(suite_file("- model: egnn", head))
    assert "line 3, key 'train.precision': Precision 16-mixed needs a GPU: on a cpu, take bf16-mixed." in line
    assert len(read_suite(suite_file("- model: egnn", head), session=Session(device="cuda:1")).runs) == 1
    path = suite_file("- {model: egnn, train: {precision: 64}}", HEAD)
    assert read_suite(path).runs[0].precision == "64"
    with pytest.raises(ConfigError, match=r"line 4, key 'entries\[0\]\.train\.precision': Precision 64 needs float64"):
        read_suite(path, session=Session(device="mps"))


@pytest.mark.parametrize("text", ["precision: 16", "precision: true", "compile: 3", "devices: 0", "devices: true"])
def test_values_of_the_keys_of_computing_are_checked(suite_file, text):
    [line] = complaints(suite_file("- model: egnn", HEAD + f"train: {{{text}}}\n"))
    assert f"line 3, key 'train.{text.partition(':')[0]}': " in line


def test_reading_a_suite_of_built_in_names_does_not_import_torch(suite_file):
    path = suite_file(
        """\
        - model: [{name: gnn, width: [8, 16]}, nequip]
          symmetry: [none, {remul: {group: SO(3), beta: [0.1, 10]}}, {frame_averaging: {group: SE(3), frame: minimal}}]
        """,
        HEAD + "evaluate: {group: O(3)}\n",
    )
    code = (
        "import sys; from geoequiv.bench.suite import read_suite; read_suite(sys.argv[1]);"
        "assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == 0


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("task: nbody/charged\n", "key 'name': missing"),
        ("name: a/b\ntask: nbody/charged\n", "key 'name': a suite's name may hold"),
        ("name: x\n", "key 'task': missing"),
        ("name: x\ntask: nbody/chraged\n", "Did you mean 'nbody/charged'"),
        ("name: x\ntask: [nbody/charged]\n", "key 'task': expected a name or"),
        ("name: x\ntask: nbody/charged\nseeds: many\n", "key 'seeds': expected a valid tuple"),
        ("name: x\ntask: nbody/charged\nseeds: []\n", "key 'seeds': Tuple should have at least 1 item"),
        ("name: x\ntask: nbody/charged\nseeds: [true]\n", "key 'seeds': expected whole numbers, not true or false"),
        ("name: x\ntask: {name: nbody/charged, limit: many}\n", "key 'task.limit': expected a valid integer"),
        ("name: x\ntask: {name: nbody/charged, limit: '0'}\n", "key 'task.limit': expected greater than or equal to 1"),
    ],
)
def test_mistakes_at_the_top(suite_file, head, message):
    [line] = complaints(suite_file("- model: egnn", head))
    assert message in line


def test_an_empty_file_and_an_empty_list(tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert [line.partition("key ")[2] for line in complaints(path)] == [
        "'name': missing: the key 'name' must be given.",
        "'task': missing: the key 'task' must be given.",
        "'entries': missing: the key 'entries' must be given.",
    ]
    path.write_text("name: x\ntask: nbody/charged\nentries: []\n")
    assert "at least 1 item" in complaints(path)[0]


def test_an_entry_without_seeds_is_a_mistake(suite_file):
    [line] = complaints(suite_file("- {model: egnn, seeds: []}"))
    assert "key 'entries[0].seeds'" in line


def test_a_run_asked_for_twice_stands_at_its_first_place(suite_file):
    assert labels(read_suite(suite_file("- model: [egnn, mlp]\n- model: [gnn, egnn]"))) == [
        f"{model} · none · seed 0" for model in ("egnn", "mlp", "gnn")
    ]


def test_models_of_the_user(suite_file):
    [run] = read_suite(suite_file("- model: {name: 'my_models:Shift', scale: 2}")).runs
    assert run.config["model"] == {"name": "my_models:Shift", "scale": 2.0}
    [line] = complaints(suite_file("- model: {name: 'my_models:Shift', scael: 2}"))
    assert "Did you mean 'scale'" in line
    [line] = complaints(suite_file("- model: my_models:Shfit"))
    assert "Did you mean 'Shift'" in line
