"""The command line: what it prints, and the exit codes 0, 1, 2 and 130."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geoequiv.cli import main
from geoequiv.cli.listing import LISTS

CONFIGS = Path(__file__).parents[1] / "configs"
SUITE = """\
name: small
task: {name: nbody/charged, train: 16, val: 4, test: 4}
train: {epochs: 2, batch_size: 8, checkpoint_seconds: 0}
evaluate: {num_items: 4, num_samples: 2, batch_size: 4, repeats: 1}
entries:
  - model: linear
"""
SLOW_MODEL = """
import time
from geoequiv.models.linear import Linear

class Slow(Linear):
    def forward(self, **fields):
        time.sleep(0.05)
        return super().forward(**fields)

class Broken(Linear):
    def forward(self, **fields):
        return super().forward(**fields)[..., 0]
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, data_dir):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOEQUIV_DATA", str(data_dir))
    Path("suite.yaml").write_text(SUITE)
    Path("slow_models.py").write_text(SLOW_MODEL)
    return tmp_path


def test_run_writes_records_and_leaderboards_then_skips(capsys):
    assert main(["run", "suite.yaml"]) == 0
    printed = capsys.readouterr().out
    for name in ("leaderboard.html", "leaderboard.md", "leaderboard.json"):
        assert f"Wrote results/small/{name}" in printed
    [row] = json.loads(Path("results/small/leaderboard.json").read_text())["rows"]
    assert (row["model"], row["symmetry"]) == ("linear", "built-in E(3)")
    [directory] = [path for path in Path("results/small").iterdir() if path.is_dir()]
    assert {"config.yaml", "record.json", "log.csv", "checkpoint.ckpt"} <= {path.name for path in directory.iterdir()}
    assert main(["run", "suite.yaml"]) == 0
    assert "1 finished before" in capsys.readouterr().out

    assert main(["leaderboard", "results/small", "--format", "csv", "--output", "-"]) == 0
    assert "linear" in capsys.readouterr().out
    assert main(["leaderboard", "results/small", "--output", "board.md"]) == 0
    assert Path("board.md").read_text().startswith("#")


def test_a_failed_run_makes_the_exit_status_1(capsys):
    Path("suite.yaml").write_text(SUITE.replace("linear", "[slow_models:Broken, linear]"))
    assert main(["run", "suite.yaml", "--output", "out"]) == 1
    printed = capsys.readouterr().out
    assert "failed: slow_models:Broken" in printed
    assert "linear · none · seed 0  finished" in printed
    assert "Failed runs" in Path("out/leaderboard.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "absent.yaml"], "Cannot read absent.yaml"),
        (["run", "suite.yaml", "--output", "slow_models.py/out"], "Cannot write results to 'slow_models.py/out'"),
        (["leaderboard", "absent"], "absent"),
        (["data", "make", "nbody/chraged"], "Did you mean 'nbody/charged'"),
        (["data", "make", "nbody/charged", "trian=3"], "Did you mean 'train'"),
        (["data", "make", "nbody/charged", "train"], "Expected OPTION=VALUE"),
        (["data", "make", "nbody/charged", "train=many"], "train"),
        (["data", "verify", "nbody/chraged"], "Did you mean 'nbody/charged'"),
    ],
)
def test_bad_input_is_one_message_and_exit_status_2(capsys, arguments, message):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("geoequiv: error: ")
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert main(["--debug", *arguments]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["rnu"], ["run"], ["run", "suite.yaml", "--jobs", "0"], ["run", "suite.yaml", "--jobs", "two"], ["list", "x"]],
)
def test_bad_usage_is_exit_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: geoequiv" in capsys.readouterr().err


def test_a_suite_with_a_mistake_names_the_line(capsys):
    Path("suite.yaml").write_text(SUITE.replace("epochs", "epcohs"))
    assert main(["run", "suite.yaml"]) == 2
    error = capsys.readouterr().err
    assert "suite.yaml, line 3, key 'train.epcohs': Unknown key 'epcohs'. Did you mean 'epochs'?" in error
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("models", ["egnn", "transformer", "width=64"]),
        ("tasks", ["nbody/charged", "nbody/gravity", "train=3000"]),
        ("methods", ["remul", "group_averaging", "beta=1.0", "anchor=null"]),
        ("measurements", ["metric", "ranks", "E_prime", "flops/forward", "in FLOP", "lower is better"]),
        ("train", ["epochs", "100", "(whole number ≥ 1)", "Passes over the training items."]),
        ("evaluate", ["num_samples", "16"]),
        ("align", ["angles", "[]", "(list of numbers)"]),
        ("protocols", ["md17", "checksum"]),
        ("groups", ["SO(3)", "SE(3)", "rotations"]),
        ("frames", ["pca", "stochastic", "budget=5040"]),
    ],
)
def test_list(capsys, what, names):
    assert main(["list", what]) == 0
    printed = capsys.readouterr().out
    for name in names:
        assert name in printed


@pytest.mark.parametrize(
    ("what", "message"),
    [("symmetries", "'symmetries' is now 'methods': geoequiv list methods"), ("modles", "invalid choice: 'modles'")],
)
def test_what_cannot_be_listed(capsys, what, message):
    with pytest.raises(SystemExit):
        main(["list", what])
    assert message in capsys.readouterr().err


def test_what_is_listed_can_be_chosen(capsys):
    assert main(["list", "frames", "sorting", "pca"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines() if line[0] != " "] == ["sorting", "pca"]
    assert main(["list", "frames", "sortign"]) == 2
    assert "Unknown name among frames 'sortign'. Did you mean 'sorting'?" in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 80, 200])
def test_lists_fit_the_terminal(capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for what in ("models", "groups"):
        assert main(["list", what]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= width
        assert max(map(len, lines)) > width - 25 or width == 200


def test_data_is_made_listed_verified_and_damage_is_found(capsys, monkeypatch, folder):
    monkeypatch.setenv("GEOEQUIV_DATA", str(folder / "cache"))
    assert main(["data", "verify"]) == 0
    assert main(["data", "verify", "nbody/charged"]) == 1
    assert "No data of nbody/charged in" in capsys.readouterr().out
    assert main(["data", "make", "nbody/charged", "train=3", "val=2", "test=2", "variant=isotropic"]) == 0
    assert "nbody/charged-isotropic/Δ1000/3-2-2/mse: train 3, val 2, test 2" in capsys.readouterr().out
    assert main(["data", "list"]) == 0
    assert "nbody/charged" in capsys.readouterr().out
    assert main(["data", "verify", "nbody/charged"]) == 0
    [path] = (folder / "cache").glob("*.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert main(["data", "verify"]) == 1
    printed = capsys.readouterr().out
    assert str(path) in printed
    assert "damaged" in printed


@pytest.mark.parametrize("arguments", [[], ["run"], ["leaderboard"], ["list"], ["data"], ["data", "make"]])
def test_help_is_worth_reading(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--help"])
    assert caught.value.code == 0
    assert "usage: geoequiv" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["--version"], *(["list", what] for what in LISTS)]
)
def test_quick_commands_do_not_wait_for_torch(arguments):
    code = (
        "import sys, geoequiv.cli as c\n"
        f"try: c.main({arguments!r})\n"
        "finally: print({'torch', 'numpy', 'scipy', 'lightning'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_run_says_how_to_resume(capsys, jobs):
    Path("suite.yaml").write_text(
        SUITE.replace("epochs: 2", "epochs: 1000").replace("linear", "slow_models:Slow\n    seeds: [0, 1]")
    )
    program = (
        "import signal, sys; from geoequiv.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "run", "suite.yaml", "--output", "out", "--jobs", jobs]
    with open("log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
        deadline = time.monotonic() + 120
        while len(list(Path("out").glob("*/checkpoint.ckpt"))) < int(jobs) and time.monotonic() < deadline:
            assert process.poll() is None, Path("log").read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130, Path("log").read_text()
    printed = Path("log").read_text()
    more = "" if jobs == "1" else " --jobs 2"
    assert f"geoequiv: interrupted. Resume with: geoequiv run suite.yaml --output out{more} --resume" in printed
    assert "Traceback" not in printed
    assert not list(Path("out").glob("*/record.json"))
    assert len(list(Path("out").glob("*/checkpoint.ckpt"))) == int(jobs)
    assert main(["run", "suite.yaml", "--output", "out"]) == 2
    assert "Pass --resume" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error(tmp_path):
    """``geoequiv run SUITE.yaml --dry-run | head -1``, whose table rich prints."""
    (tmp_path / "suite.yaml").write_text(
        "name: many\ntask: nbody/charged\nseeds: ["
        + ", ".join(map(str, range(1500)))
        + "]\nentries: [{model: linear}]\n"
    )
    command = f"{sys.executable} -m geoequiv run suite.yaml --dry-run --output results"
    script = f"{command} 2>errors | head -1 >first; echo ${{PIPESTATUS[0]}} >status"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True)
    assert (tmp_path / "first").read_text().startswith("run ")
    assert (tmp_path / "errors").read_text() == ""
    assert (tmp_path / "status").read_text() == "0\n"


def test_a_name_that_is_not_utf8_is_printed_with_escapes(tmp_path):
    command = [sys.executable, "-m", "geoequiv", "data", "verify", "--data-dir", os.fsencode(tmp_path) + b"/\xff"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\udcff" in done.stdout


def test_an_option_nested_too_deeply_is_one_error(capsys):
    assert main(["data", "info", "files", "path=" + "[" * 5000]) == 2
    assert "nested more than 50 levels deep" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["show", "align", "leaderboard", "run"])
def test_a_path_that_is_too_long_is_one_error(command, capsys):
    assert main([command, "x" * 5000]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
