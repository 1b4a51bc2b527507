"""The script of the first minutes on a GPU, with a program in Python's place that notes what it is asked to run."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
[ "$1" = - ] && cat >/dev/null
echo "$*" >>"$ASKED"
[ -z "$ROW" ] || echo "$ROW" >>bench/results/some-gpu.jsonl
case "$*" in *"$FAILING"*) echo "ModuleNotFoundError: no tyro" >&2; exit 3 ;; esac
case "$*" in *"$HANGING"*) exec sleep 30 ;; esac
"""
TIMEOUT = """#!/bin/sh
echo "timeout $5" >>"$ASKED"
exit 124
"""
NEVER = "nothing of it"
ASIDE = ["capture tests", "fused tests", "kernel tests", "compiling x4"]
FIRST = [
    *ASIDE, "not compiled", "top rung x4", "profile eager", "profile x4", "usual loop", "variants", "proof",
    "other trainers", "top rung x2", "profile x2",
]  # fmt: skip
SHORT = ["training", "other GPU tests", "ladder x4", "peers", "tuning"]
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("timeout"), reason="needs bash and GNU timeout"
)


class Script:
    """The script in a folder of its own, and what it asked Python for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked_file, self.out = folder, folder / "asked", folder / "out"
        (folder / "bench" / "results").mkdir(parents=True)
        (folder / "bench" / "results" / "cpu.jsonl").write_text("{}\n")
        shutil.copy(ROOT / "bench" / "on_gpu.sh", folder / "bench")
        (folder / "tests" / "fastsr" / "cohort").mkdir(parents=True)
        for name in ("test_one.py", "cohort/test_two.py", "three.py"):
            (folder / "tests" / "fastsr" / name).write_text("@pytest.mark.gpu\n")
        (folder / "tests" / "fastsr" / "test_four.py").write_text("nothing")
        self.program("python3", PYTHON)

    def program(self, name: str, text: str) -> None:
        """Puts a program before those of the system."""
        file = self.folder / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def run(
        self, *arguments: str, failing: str = NEVER, hanging: str = NEVER, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        more |= {"PATH": path, "ASKED": str(self.asked_file), "FAILING": failing}
        return subprocess.run(
            ["bash", str(self.folder / "bench" / "on_gpu.sh"), str(self.out), *arguments],
            env={**os.environ, "ROW": "", "HANGING": hanging, **more}, capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip

    @property
    def asked(self) -> list[str]:
        """The calls of Python behind that by which the script looks whether it can start."""
        return self.asked_file.read_text().splitlines()[1:] if self.asked_file.exists() else []


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


def outcomes(printed: str) -> dict[str, str]:
    """The word said of each part."""
    return {line[:18].strip(): line[25:].strip() for line in printed.splitlines()}


def test_it_stops_at_once_where_it_cannot_start(script: Script) -> None:
    done = script.run(failing="-")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line == "cannot start: ModuleNotFoundError: no tyro"
    assert script.asked == []


def test_what_is_missing_is_named_all_at_once(script: Script) -> None:
    """By the check itself, in a Python without any package."""
    script.program("python3", f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n')
    done = script.run()
    assert done.returncode == 2
    assert done.stderr.startswith("cannot start: there is no filelock, hypothesis, ")
    assert " tyro, xdist, yaml; install with: pip install" in done.stderr


def test_wheels_are_installed_without_an_index(script: Script) -> None:
    (script.folder / "wheels").mkdir()
    (script.folder / "wheels" / "tyro-1-py3-none-any.whl").touch()
    script.run(FASTSR_WHEELS=str(script.folder / "wheels"))
    (install,) = (line for line in script.asked_file.read_text().splitlines() if "-m pip" in line)
    assert "--no-index --no-deps" in install and install.endswith("tyro-1-py3-none-any.whl")
    done = script.run(failing="-m pip", FASTSR_WHEELS=str(script.folder / "wheels"))
    assert (done.returncode, done.stderr) == (2, "cannot start: ModuleNotFoundError: no tyro\n")


def test_a_part_that_fails_costs_only_itself(script: Script) -> None:
    done = script.run(failing="profile_step --scale 4")
    found = outcomes(done.stdout)
    assert [*found][4:] == FIRST[4:] and {*found} == {*FIRST}
    assert {name for name, said in found.items() if said != "done"} == {
        "compiling x4", "profile x4"
    }  # fmt: skip
    assert found["profile x4"] == "failed (3)"
    assert done.returncode == 1
    assert "no tyro" in (script.out / "first.log").read_text()
    assert len(script.asked) == len(found)


@pytest.mark.parametrize("half", ["short", "second"])
def test_all_that_fails_is_tried(script: Script, half: str) -> None:
    done = script.run(half, failing="-m ")
    found = outcomes(done.stdout)
    assert {said for name, said in found.items() if not name.startswith("racecheck")} == {
        "failed (3)"
    }
    assert done.returncode == 1


@pytest.mark.parametrize(("half", "names"), [("first", FIRST), ("short", SHORT)])
def test_all_that_takes_too_long_is_given_up(script: Script, half: str, names: list[str]) -> None:
    """Every part in turn, though each takes all of its time."""
    script.program("timeout", TIMEOUT)
    done = script.run(half)
    assert outcomes(done.stdout) == dict.fromkeys(names, "out of time")
    assert done.returncode == 1


def test_it_ends_in_time(script: Script) -> None:
    """Everything hangs, tests side by side as well; what has no time left is said to have none."""
    began = time.monotonic()
    done = script.run("first", "4", hanging="-m ", ROW="{}")
    assert time.monotonic() - began < 20
    assert outcomes(done.stdout) == dict.fromkeys(FIRST, "out of time")
    assert (script.out / "some-gpu.jsonl").read_text().count("{}") >= 2
    assert not (script.out / "cpu.jsonl").exists(), "rows of other machines stay where they are"
    assert {file.name for file in script.out.iterdir()} == {
        "first.log", "first.txt", "some-gpu.jsonl"
    }  # fmt: skip


@pytest.mark.parametrize(("half", "sure", "most"), [("first", 5, 510), ("short", 3, 210)])
def test_what_matters_most_fits_its_time(script: Script, half: str, sure: int, most: int) -> None:
    """Tests side by side, and the first parts after them, even if each takes all of its time."""
    done = script.run(half, "--dry-run")
    assert done.returncode == 0 and script.asked == [] and not script.asked_file.exists()
    planned = {
        name: int(said) for name, said in re.findall(r"^(.{18}) +(\d+) s ", done.stdout, re.M)
    }
    seconds = {name.strip(): count for name, count in planned.items()}
    alone = [name for name in seconds if name not in ASIDE]
    whole = seconds.get(ASIDE[0], 0) + sum(seconds[name] for name in alone[:sure])
    assert whole <= most


def test_the_second_half_trains_then_tunes_and_finds_the_other_gpu_tests(script: Script) -> None:
    done = script.run("second")
    assert [*outcomes(done.stdout)][:7] == [
        "peers", "rest of ladder", "kernels", "precisions", "training", "tuning", "other GPU tests"
    ]  # fmt: skip
    training, tuning = (line for line in script.asked if line.startswith("-m fastsr train"))
    assert "--no-tune" in training and "--no-tune" not in tuning
    (tests,) = (line for line in script.asked if "-m gpu" in line)
    assert tests.endswith("--continue-on-collection-errors tests/fastsr/test_one.py")


def test_another_half_is_refused(script: Script) -> None:
    done = script.run("third")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")
