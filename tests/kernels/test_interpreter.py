"""The same tests once more with the kernels themselves on the CPU: a process in which Triton interprets them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from devices import INTERPRETED, WHY_NOT

HERE = Path(__file__).parent


@pytest.mark.skipif(INTERPRETED, reason="kernels are interpreted here already")
@pytest.mark.parametrize("operator", ["cohort", "patch"])
def test_kernels_pass_in_the_interpreter(operator: str) -> None:
    pytest.importorskip("triton")
    files = sorted(str(path) for path in HERE.glob(f"test_{operator}_*.py"))
    assert str(HERE / f"test_{operator}_kernel.py") in files
    command = [sys.executable, "-m", "pytest", *files, "-v", "-ra", "--maxfail=3", "-p", "no:cacheprovider"]
    environment = os.environ | {"TRITON_INTERPRET": "1", "FASTSR_KERNELS": ""}
    done = subprocess.run(command, env=environment, cwd=HERE.parents[1], capture_output=True, text=True)
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    assert WHY_NOT not in report, report
    for path in files:
        passed = len(re.findall(rf"{Path(path).name}::\S.* PASSED", report))
        assert passed > 5, f"{passed} tests of {path} passed\n{report}"
