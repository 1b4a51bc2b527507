"""The direction of imports, and that documents and scripts say the same."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FOLDERS = (
    "cli",
    "report",
    "reproduction",
    "training",
    "prediction",
    "evaluation",
    "cohort",
    "models",
    "download",
    "data",
    "config",
    "system",
)
"""From top to bottom: a folder imports only from itself and from folders below it."""
SHARED = ("errors", "files", "console")
"""Modules that everybody may use, and that use only each other."""
LEVEL = {name: level for level, name in enumerate((*SHARED, *reversed(FOLDERS)))}
ENTRANCES = ("__init__", "__main__")


def modules() -> list[Path]:
    return sorted((ROOT / "fastsr").rglob("*.py"))


def unit(path: Path) -> str:
    """The first name below fastsr: a folder, or a module beside the folders."""
    return path.relative_to(ROOT / "fastsr").parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(path: Path, names: set[str]) -> list[str]:
    """Imports that lead upwards, or to benchmarks and tests."""
    wrong = []
    level = LEVEL.get(unit(path), len(LEVEL))
    for name in names:
        parts = name.split(".")
        upwards = parts[0] == "fastsr" and len(parts) > 1 and LEVEL.get(parts[1], -1) > level
        if upwards or parts[0] in ("bench", "tests"):
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    return wrong


def test_every_module_has_a_folder() -> None:
    assert {unit(path) for path in modules()} == {*FOLDERS, *SHARED, *ENTRANCES}


def test_imports_go_down_only() -> None:
    assert [wrong for path in modules() for wrong in violations(path, imports(path))] == []


def test_a_planted_import_is_caught() -> None:
    assert violations(ROOT / "fastsr" / "cohort" / "step.py", {"fastsr.training.train.train"}) != []
    assert violations(ROOT / "fastsr" / "training" / "train.py", {"bench.baseline"}) != []


def test_kernels_know_nothing_of_fastsr() -> None:
    for path in (ROOT / "kernels").rglob("*.py"):
        assert not any(name.split(".")[0] == "fastsr" for name in imports(path)), path


def test_help_needs_no_torch() -> None:
    """`fastsr --help` answers at once."""
    code = "import sys; from fastsr.cli.main import main; main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    for command in ("pip install -e .", "fastsr train --amp --compile", 'pip install -e ".[test]"', "pytest"):
        assert re.search(rf"(^|&& +|\s){re.escape(command)}", readme), f"README lacks: {command}"
        assert re.search(rf"(^|&& +|\s){re.escape(command)}", ci), f".ci/run lacks: {command}"


@pytest.mark.parametrize("path", [p.relative_to(ROOT) for p in modules()], ids=str)
def test_files_stay_readable(path: Path) -> None:
    """No file over 300 lines, no function over 60."""
    text = (ROOT / path).read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path}: {node.name}"
