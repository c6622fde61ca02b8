"""DistributedDataParallel around a wrapper: two processes with half a batch each have the gradients of the whole."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name("ddp_worker.py")
spec = importlib.util.spec_from_file_location("ddp_worker", WORKER)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch is built without torch.distributed")
def test_two_processes_share_gradients(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    processes = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(rank), "2", str(tmp_path)], env=environment, stderr=subprocess.PIPE
        )
        for rank in (0, 1)
    ]
    try:
        for process in processes:
            errors = process.communicate(timeout=180)[1]
            assert process.returncode == 0, errors.decode()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    shared = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name, wrapped in worker.wrappers():
        worker.loss(wrapped, worker.clouds()).backward()
        whole = worker.gradients(wrapped)
        assert sum(float(expected.abs().max()) > 0 for expected in whole.values()) > len(whole) / 2
        for parameter, expected in whole.items():
            for found in shared:
                assert torch.allclose(found[name][parameter], expected, atol=1e-6), (name, parameter)
