"""Imports and their moment: torch takes seconds, so whatever can do without it starts without it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fastsr.report.report_fixture import write_run

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "triton", "tensorboard", "scipy", "pyiqa", "fastsr_kernels"}
COMMANDS = (
    "train",
    "eval",
    "upscale",
    "export",
    "convert",
    "card",
    "push",
    "report",
    "info",
    "doctor",
    "reproduce",
    "data",
    "data fetch",
    "data list",
    "data preview",
    "data packs",
)
COMMAND = "from fastsr.cli.main import main; sys.exit(main({words!r}))"
EVERY_MODULE = """
from importlib import import_module
for name in {names!r}:
    import_module(name)
    assert "torch" not in sys.modules, name
"""


def imported(code: str) -> set[str]:
    """Top-level names of what a program imports, in a process of its own, if it ends well."""
    program = f"import atexit, sys\natexit.register(lambda: print('\\0', *sys.modules, sep='\\n'))\n{code}"
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT
    )
    assert process.returncode == 0, process.stderr
    return {name.partition(".")[0] for name in process.stdout.rpartition("\0")[2].split()}


def test_what_is_imported_is_seen() -> None:
    assert {"fastsr", "torch"} <= imported("import fastsr.models")


def test_fastsr_itself_imports_nothing() -> None:
    third_party = imported("import fastsr") - imported("") - sys.stdlib_module_names
    assert third_party == {"fastsr"}


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_light(command: str) -> None:
    found = imported(COMMAND.format(words=[*command.split(), "--help"]))
    assert "fastsr" in found and not found & HEAVY


def test_every_command_is_tested() -> None:
    program = COMMAND.format(words=["--help"])
    shown = subprocess.run(
        [sys.executable, "-c", f"import sys; {program}"], capture_output=True, text=True
    ).stdout
    names = {line.split()[0] for line in shown.splitlines() if line.startswith("  ")}
    assert names == {command.split()[0] for command in COMMANDS}


def test_a_report_is_light(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", side=64)
    found = imported(COMMAND.format(words=["report", str(run)]))
    assert (run / "report.html").exists() and not found & HEAVY


@pytest.mark.parametrize(
    "part", ["config", "download", "report", "errors.py", "files.py", "console.py", "facts.py"]
)
def test_no_module_leads_to_torch(part: str) -> None:
    """Neither itself nor through what it imports."""
    place = ROOT / "fastsr" / part
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    names = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in files
    ]
    assert names and not imported(EVERY_MODULE.format(names=names)) & HEAVY
