"""The script of the first minutes on a GPU, with a program in Python's place that notes what it is asked to run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAND_IN = """#!/bin/sh
echo "$*" >>"$ASKED"
case "$*" in *"$FAILING"*) echo "ModuleNotFoundError: no tyro" >&2; exit 3 ;; esac
"""
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("timeout"), reason="needs bash and GNU timeout"
)


class Script:
    """The script in a folder of its own, and what it asked Python for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked_file = folder, folder / "asked"
        (folder / "bench" / "results").mkdir(parents=True)
        shutil.copy(ROOT / "bench" / "on_gpu.sh", folder / "bench")
        (folder / "tests" / "fastsr" / "cohort").mkdir(parents=True)
        for name in ("test_one.py", "cohort/test_two.py", "three.py"):
            (folder / "tests" / "fastsr" / name).write_text("@pytest.mark.gpu\n")
        (folder / "tests" / "fastsr" / "test_four.py").write_text("nothing")
        python = folder / "bin" / "python3"
        python.parent.mkdir()
        python.write_text(STAND_IN)
        python.chmod(0o755)

    def run(
        self, *arguments: str, failing: str = "nothing of it"
    ) -> "subprocess.CompletedProcess[str]":
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        more = {"PATH": path, "ASKED": str(self.asked_file), "FAILING": failing}
        return subprocess.run(
            ["bash", str(self.folder / "bench" / "on_gpu.sh"), *arguments],
            env={**os.environ, **more}, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    @property
    def asked(self) -> list[str]:
        """The calls of Python behind those by which the script looks whether it can start."""
        return self.asked_file.read_text().splitlines()[2:]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def outcomes(printed: str) -> dict[str, str]:
    """The word said of each part."""
    return {line[:18].strip(): line[25:].strip() for line in printed.splitlines()}


@pytest.mark.parametrize("lacking", ["import fastsr", "check_triton"])
def test_it_stops_at_once_where_it_cannot_start(script: Script, lacking: str) -> None:
    done = script.run(str(script.folder / "out"), failing=lacking)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("cannot start: ModuleNotFoundError: no tyro")
    assert script.asked == []


def test_a_part_that_fails_costs_only_itself(script: Script) -> None:
    done = script.run(str(script.folder / "out"), failing="profile_step --scale 4")
    found = outcomes(done.stdout)
    assert found == {
        "proof": "done", "step tests": "done", "top rung": "done", "profile x4": "failed (3)",
        "profile x2": "done", "other trainers": "done",
    }  # fmt: skip
    assert done.returncode == 1
    assert "no tyro" in (script.folder / "out" / "first.log").read_text()
    assert len(script.asked) == len(found)


def test_the_second_half_trains_then_tunes_and_finds_the_other_gpu_tests(script: Script) -> None:
    done = script.run(str(script.folder / "out"), "second")
    assert [*outcomes(done.stdout)][:7] == [
        "peers", "rest of ladder", "kernels", "precisions", "training", "tuning", "other GPU tests"
    ]  # fmt: skip
    training, tuning = (line for line in script.asked if line.startswith("-m fastsr train"))
    assert "--no-tune" in training and "--no-tune" not in tuning
    (tests,) = (line for line in script.asked if "tests/kernels tests/fastsr" in line)
    assert tests.endswith("tests/kernels tests/fastsr/test_one.py")


def test_another_half_is_refused(script: Script) -> None:
    done = script.run(str(script.folder / "out"), "third")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")
