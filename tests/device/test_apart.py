"""Runs the tests of the pretend accelerator in a process of their own (see `conftest`)."""

import os
import subprocess
import sys
from pathlib import Path


def test_the_tests_of_the_pretend_device_pass():
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        str(Path(__file__).parent),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        command, env={**environment, "GEOEQUIV_PRETEND_DEVICE": "1"}, capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
