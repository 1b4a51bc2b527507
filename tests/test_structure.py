"""The direction of imports, and that documents and scripts say the same."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A module may import from its own line and from lines above it.
LAYERS = (
    (
        "allocator",
        "bicubic",
        "capture",
        "errors",
        "files",
        "flops",
        "measures",
        "metrics",
        "models",
        "samples",
        "streams",
        "__init__",
    ),
    ("config", "images", "quality", "environment", "unpack"),
    ("arguments", "recipes", "toml", "pixels", "precision", "perceptual", "testsets", "datasets"),
    ("fetch",),
    ("sampler", "losses", "weights"),
    ("peer",),
    ("cohort",),
    ("step", "liveness", "checkpoint", "balance", "ema"),
    ("memory",),
    ("estimate", "paper"),
    ("comparison",),
    ("tables",),
    ("run",),
    ("evaluate", "pictures"),
    ("scoreboard", "upscale", "telemetry", "report", "doctor"),
    ("scores",),
    ("prepare",),
    ("train",),
    ("reproduce",),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> list[Path]:
    return sorted((ROOT / "fastsr").rglob("*.py"))


def unit(path: Path) -> str:
    """The first name below fastsr: a module, or a package such as models."""
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


def violations(path: Path, names: set[str], level: dict[str, int]) -> list[str]:
    wrong = []
    for name in names:
        parts = name.split(".")
        if parts[0] in ("bench", "tests"):
            wrong.append(f"{path.name} imports {name}")
        if parts[0] == "fastsr" and len(parts) > 1 and parts[1] in level and level[parts[1]] > level[unit(path)]:
            wrong.append(f"{path.name} (layer {level[unit(path)]}) imports {name} (layer {level[parts[1]]})")
    return wrong


def test_every_module_has_a_layer() -> None:
    assert {unit(path) for path in modules()} <= LEVEL.keys()


def test_imports_go_down_only() -> None:
    assert [wrong for path in modules() for wrong in violations(path, imports(path), LEVEL)] == []


def test_a_planted_import_is_caught() -> None:
    assert violations(ROOT / "fastsr" / "cohort.py", {"fastsr.train.train"}, LEVEL) != []
    assert violations(ROOT / "fastsr" / "train.py", {"bench.baseline"}, LEVEL) != []


def test_evaluation_and_upscaling_do_without_training() -> None:
    for name in ("evaluate", "upscale"):
        assert not any(i.startswith(("fastsr.train", "fastsr.cohort")) for i in imports(ROOT / "fastsr" / f"{name}.py"))


def test_kernels_know_nothing_of_fastsr() -> None:
    for path in (ROOT / "kernels").rglob("*.py"):
        assert not any(name.split(".")[0] == "fastsr" for name in imports(path)), path


def test_help_needs_no_torch() -> None:
    """`fastsr --help` answers at once."""
    code = "import sys; from fastsr.cli import main; main(['--help']); assert 'torch' not in sys.modules"
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
