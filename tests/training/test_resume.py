import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from geoequiv.errors import DataError, RunError
from geoequiv.signals import Ended
from geoequiv.training import FitResult
from geoequiv.training.checkpoint import DamagedCheckpoint, load_checkpoint
from geoequiv.training.data import Batches

from .killed_run import run
from .small_task import NoisyObjective


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, FitResult]:
    """The uninterrupted run."""
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("whole")
    model, result = run(directory)
    return directory, model, result


def assert_same_run(directory: Path, model: Any, result: FitResult, whole: tuple[Path, Any, FitResult]) -> None:
    expected_directory, expected_model, expected = whole
    assert (directory / "log.csv").read_bytes() == (expected_directory / "log.csv").read_bytes()
    assert (result.best_epoch, result.best_validation, result.epochs_run) == (
        expected.best_epoch,
        expected.best_validation,
        expected.epochs_run,
    )
    for name, tensor in expected_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    saved = [torch.load(d / "checkpoint.ckpt", weights_only=True) for d in (directory, expected_directory)]
    for part in ("model", "average"):  # the last weights as well, not the best alone
        assert all(torch.equal(saved[0][part][name], saved[1][part][name]) for name in saved[1][part])


def test_kill_9_and_resume_equals_an_uninterrupted_run(tmp_path: Path, whole: Any) -> None:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    log = tmp_path / "log.csv"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.training.killed_run", str(tmp_path)], cwd=root, env=environment
    )
    try:
        deadline = time.monotonic() + 120
        while not (log.exists() and log.read_text().count("\n") > 4):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    saved = torch.load(tmp_path / "checkpoint.ckpt", weights_only=True)
    assert 3 <= saved["progress"]["epoch"] < 15
    assert_same_run(tmp_path, *run(tmp_path), whole)


class Crash(Exception):
    pass


@pytest.mark.parametrize("step", [1, 7, 8, 59])
def test_a_crash_at_any_step_and_resume(tmp_path: Path, whole: Any, step: int, monkeypatch: Any) -> None:
    """Four batches an epoch: in the first epoch, in the middle, around the end of an epoch, at the very last step."""
    monkeypatch.setattr(Batches, "PACE", 0.0)  # a checkpoint after every single step

    class Crashing(NoisyObjective):
        calls = 0

        def __call__(self, inputs: Any, targets: Any) -> Any:
            self.calls += 1
            if self.calls > step:
                raise Crash
            return super().__call__(inputs, targets)

    with pytest.raises(Crash):
        run(tmp_path, Crashing)
    saved = torch.load(tmp_path / "checkpoint.ckpt", weights_only=True)["progress"]
    assert (saved["epoch"], saved["batch"]) == divmod(step, 4)
    seconds = saved["seconds"]
    model, result = run(tmp_path)
    assert_same_run(tmp_path, model, result, whole)
    assert result.train_seconds > seconds > 0


def test_a_finished_run_returns_at_once(tmp_path: Path, whole: Any) -> None:
    class Unused(NoisyObjective):
        def __call__(self, inputs: Any, targets: Any) -> Any:
            raise AssertionError("trained again")

    directory, _, result = whole
    model, again = run(directory, Unused)
    assert again == result
    assert_same_run(directory, model, again, whole)


ENDED = {signal.SIGINT: None, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 138, signal.SIGUSR2: 140}


@pytest.mark.parametrize(
    ("signum", "call"),  # of 60, four an epoch
    [
        *((signal.SIGTERM, call) for call in (1, 8, 10, 60)),
        *((signum, 10) for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)),
    ],
)
def test_a_signal_saves_and_stops_where_the_run_can_go_on(
    tmp_path: Path, whole: Any, signum: signal.Signals, call: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Batches, "PACE", 0.0)

    class Signalled(NoisyObjective):
        calls = 0

        def __call__(self, inputs: Any, targets: Any) -> Any:
            self.calls += 1
            if self.calls == call:
                signal.raise_signal(signum)
            return super().__call__(inputs, targets)

    before = {s: signal.getsignal(s) for s in ENDED}
    with pytest.raises(KeyboardInterrupt if signum == signal.SIGINT else Ended) as caught:
        run(tmp_path, Signalled, checkpoint_seconds=1000)
    if signum == signal.SIGINT:
        assert "its state was saved: run it again to go on" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    else:
        assert caught.value.code == ENDED[signum]
    assert {s: signal.getsignal(s) for s in before} == before
    assert torch.load(tmp_path / "checkpoint.ckpt", weights_only=True)["progress"]["steps"] >= call
    assert_same_run(tmp_path, *run(tmp_path), whole)


def test_the_handler_of_the_caller_is_called(tmp_path: Path) -> None:
    class Signalled(NoisyObjective):
        def __call__(self, inputs: Any, targets: Any) -> Any:
            signal.raise_signal(signal.SIGTERM)
            return super().__call__(inputs, targets)

    heard: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda signum, frame: heard.append(signum))
    try:
        with pytest.raises(Ended):
            run(tmp_path, Signalled)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert heard == [signal.SIGTERM]


@pytest.mark.parametrize("code", [None, 0, 3, "usage"])
def test_a_model_that_exits_is_an_error(tmp_path: Path, code: Any) -> None:
    class Exiting(NoisyObjective):
        def __call__(self, inputs: Any, targets: Any) -> Any:
            sys.exit(code)

    with pytest.raises(RunError, match=r"called sys\.exit\(.*\) during training"):
        run(tmp_path, Exiting)


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    class Impatient(NoisyObjective):
        def __call__(self, inputs: Any, targets: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt, match="last checkpoint is kept"):
        run(tmp_path, Impatient)
    assert not (tmp_path / "checkpoint.ckpt").exists()


def test_an_ignored_ctrl_c_stays_ignored_and_other_threads_can_train(tmp_path: Path, whole: Any) -> None:
    class Signalled(NoisyObjective):
        def __call__(self, inputs: Any, targets: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            return super().__call__(inputs, targets)

    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert_same_run(tmp_path / "ignored", *run(tmp_path / "ignored", Signalled), whole)
    finally:
        signal.signal(signal.SIGINT, former)
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(run(tmp_path / "thread")))
    thread.start()
    thread.join()
    assert_same_run(tmp_path / "thread", *done[0], whole)


def test_a_keyboard_interrupt_out_of_the_model_stays_one(tmp_path: Path) -> None:
    class Raising(NoisyObjective):
        def __call__(self, inputs: Any, targets: Any) -> Any:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="run it again"):
        run(tmp_path, Raising)
    assert signal.getsignal(signal.SIGINT) is handler


def damaged(content: bytes, damage: str) -> bytes:
    """A checkpoint's content, cut in half, gone, or with another sign of a weight."""
    if damage == "sign":
        weight = torch.load(io.BytesIO(content), weights_only=True)["model"]["net.0.weight"].numpy().tobytes()
        return flipped(content, 8 * (content.index(weight) + 3) + 7)
    return content[: len(content) // 2] if damage == "truncated" else b""


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("damage", ["truncated", "empty", "sign"])
@pytest.mark.parametrize("former", ["sound", "damaged", "absent"])
def test_a_damaged_checkpoint_is_set_aside(
    tmp_path: Path, whole: Any, damage: str, former: str, monkeypatch: Any, caplog: Any
) -> None:
    monkeypatch.setattr(Batches, "PACE", 0.0)

    class Crashing(NoisyObjective):
        calls = 0

        def __call__(self, inputs: Any, targets: Any) -> Any:
            self.calls += 1
            if self.calls > 10:
                raise Crash
            return super().__call__(inputs, targets)

    with pytest.raises(Crash):
        run(tmp_path, Crashing)
    path, other = tmp_path / "checkpoint.ckpt", tmp_path / "checkpoint.former.ckpt"
    steps = [torch.load(each, weights_only=True)["progress"]["steps"] for each in (path, other)]
    assert steps == [10, 9]
    path.write_bytes(damaged(path.read_bytes(), damage))
    if former == "damaged":
        other.write_bytes(damaged(other.read_bytes(), damage))
    elif former == "absent":
        other.unlink()
    assert_same_run(tmp_path, *run(tmp_path), whole)
    assert "checkpoint.ckpt is damaged" in caplog.text
    assert "set aside as checkpoint.ckpt.damaged" in caplog.text
    assert (tmp_path / "checkpoint.ckpt.damaged").exists()
    assert not other.exists()


def test_no_wrong_bit_of_a_checkpoint_goes_unnoticed(tmp_path: Path) -> None:
    run(tmp_path, epochs=2)
    path = tmp_path / "checkpoint.ckpt"
    content, cpu = path.read_bytes(), torch.device("cpu")
    expected = load_checkpoint(path, cpu)
    found = 0
    for bit in random.Random(0).sample(range(8 * len(content)), 200):
        path.write_bytes(flipped(content, bit))
        try:
            read = load_checkpoint(path, cpu)
        except DamagedCheckpoint:
            found += 1
        else:  # a bit that says nothing, such as one of the padding
            assert repr(read) == repr(expected)
            for name, tensor in expected["model"].items():
                assert torch.equal(read["model"][name], tensor)
    assert found > 50


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.ckpt"
    torch.save({"weights": torch.zeros(2)}, path)
    with pytest.raises(DataError, match=r"checkpoint\.ckpt .*Delete it to train this run from the beginning"):
        run(tmp_path, epochs=2)


def test_a_checkpoint_of_other_options_is_refused(tmp_path: Path) -> None:
    run(tmp_path, epochs=2, lr=1e-2)
    run(tmp_path, epochs=2, lr=1e-2, checkpoint_seconds=5)  # this one changes no number
    with pytest.raises(RunError, match=r"another run: epochs was 2, now 3; lr was 0\.01, now 0\.02"):
        run(tmp_path, epochs=3, lr=2e-2)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    run(tmp_path, epochs=2)
    path = tmp_path / "checkpoint.ckpt"
    saved = torch.load(path, weights_only=True)
    saved["model"]["net.0.weight"] = torch.zeros(5, 5)
    torch.save(saved, path)
    with pytest.raises(DataError, match=r"does not fit this model .*net\.0\.weight"):
        run(tmp_path, epochs=2)


def test_a_log_that_ran_ahead_of_the_checkpoint_is_cut_back(tmp_path: Path, whole: Any, monkeypatch: Any) -> None:
    class Crashing(NoisyObjective):
        calls = 0

        def __call__(self, inputs: Any, targets: Any) -> Any:
            self.calls += 1
            if self.calls > 20:
                raise Crash
            return super().__call__(inputs, targets)

    with pytest.raises(Crash):
        run(tmp_path, Crashing)
    with (tmp_path / "log.csv").open("a") as log:
        log.write("6,0.1,0.2,0.3,0.4,half a li")
    assert_same_run(tmp_path, *run(tmp_path), whole)
