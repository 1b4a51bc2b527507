"""The same tests once more with the kernels themselves on the CPU: processes in which Triton interprets them."""

import os
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from devices import INTERPRETED, WHY_NOT

from tests.interpreter import why_not_interpreted

HERE = Path(__file__).parent
OPERATORS = ("cohort", "patch", "degrade", "norm")


def files_of(operator: str) -> list[str]:
    return sorted(str(path) for path in HERE.glob(f"test_{operator}_*.py"))


def run_interpreted(operator: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        *files_of(operator),
        "-v",
        "-ra",
        "--maxfail=3",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {
        "TRITON_INTERPRET": "1",
        "FASTSR_KERNELS": "",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        command, env=environment, cwd=HERE.parents[1], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def processes() -> dict[str, Future[subprocess.CompletedProcess[str]]]:
    """All at once: each takes most of a minute."""
    if why_not := why_not_interpreted():
        pytest.skip(why_not)
    pool = ThreadPoolExecutor(len(OPERATORS))
    return {operator: pool.submit(run_interpreted, operator) for operator in OPERATORS}


@pytest.mark.timeout(1200)
@pytest.mark.skipif(INTERPRETED, reason="kernels are interpreted here already")
@pytest.mark.parametrize("operator", OPERATORS)
def test_kernels_pass_in_the_interpreter(
    processes: dict[str, Future[subprocess.CompletedProcess[str]]], operator: str
) -> None:
    files = files_of(operator)
    assert str(HERE / f"test_{operator}_kernel.py") in files
    done = processes[operator].result()
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    assert WHY_NOT not in report, report
    for path in files:
        passed = len(re.findall(rf"{Path(path).name}::\S.* PASSED", report))
        assert passed > 5, f"{passed} tests of {path} passed\n{report}"
