"""The direction of imports, the length of files, and that documents and scripts say the same."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

FOLDERS = (
    "cli",
    "report",
    "reproduction",
    "training",
    "proof",  # launches steps and predicts their memory, before a training and without one
    "prediction",
    "export",
    "integrations",
    "evaluation",
    "distributed",
    "cohort",
    "inference",
    "models",
    "download",
    "data",
    "config",
    "system",
)
"""From top to bottom: a folder imports only from itself and from folders below it."""
SHARED = ("errors", "files", "console", "checkpoints", "facts")
"""Modules that everybody may use, and that use only each other."""
LEVEL = {name: level for level, name in enumerate((*SHARED, *reversed(FOLDERS)))}
ENTRANCES = ("__init__", "__main__")
WITHOUT_TORCH = (
    "fastsr.report",
    "fastsr.config",
    "fastsr.download",
    "fastsr.checkpoints",
    "fastsr.facts",
    "fastsr.cli.info",
)
"""Folders and modules that are read, or answer, before torch could be imported."""
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 60


def modules() -> list[Path]:
    return sorted((ROOT / "fastsr").rglob("*.py"))


def unit(path: Path) -> str:
    """The first name below fastsr: a folder, or a module beside the folders."""
    return path.relative_to(ROOT / "fastsr").parts[0].removesuffix(".py")


def imports(path: Path, *, on_import: bool = False) -> set[str]:
    """Full names of what a file imports: everywhere, or only by being imported itself, functions left out."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif not (on_import and (isinstance(node, ast.FunctionDef) or is_for_checkers(node))):
            waiting += ast.iter_child_nodes(node)
    return found


def is_for_checkers(node: ast.AST) -> bool:
    """True for `if TYPE_CHECKING:`, which never runs."""
    return (
        isinstance(node, ast.If)
        and isinstance(node.test, ast.Name)
        and node.test.id == "TYPE_CHECKING"
    )


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(path): path for path in modules()}


def resolved(name: str) -> set[str]:
    """The modules of fastsr that importing a name loads: `fastsr.a.b.C` loads fastsr, fastsr.a and fastsr.a.b."""
    parts = name.split(".")
    return {".".join(parts[:k]) for k in range(1, len(parts) + 1)} & FILES.keys()


def reached(start: str) -> set[str]:
    """Everything that importing a module loads, by full names: modules of fastsr, and what those import from others."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [other for other in resolved(name) if other != name]
            waiting += imports(FILES[name], on_import=True) if name in FILES else ()
    return seen


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


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle; none where imports have an order."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_every_module_has_a_folder() -> None:
    assert {unit(path) for path in modules()} == {*FOLDERS, *SHARED, *ENTRANCES}


def test_imports_go_down_only() -> None:
    assert [wrong for path in modules() for wrong in violations(path, imports(path))] == []


def test_a_planted_import_is_caught() -> None:
    assert violations(ROOT / "fastsr" / "cohort" / "step.py", {"fastsr.training.train.train"}) != []
    assert violations(ROOT / "fastsr" / "training" / "train.py", {"bench.ladder"}) != []


def test_no_folder_has_a_cycle() -> None:
    graph = {
        name: {other for imported in imports(path) for other in resolved(imported) if other != name}
        - {module_name(path.parent / "__init__.py")}
        for name, path in FILES.items()
        if path.name != "__init__.py"
    }
    assert cycle(graph) == []


def test_a_planted_cycle_is_caught() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


def imports_torch(names: set[str]) -> bool:
    return any(name.split(".")[0] == "torch" for name in names)


@pytest.mark.parametrize("start", [name for name in FILES if name.startswith(WITHOUT_TORCH)])
def test_neither_a_module_nor_what_it_imports_imports_torch(start: str) -> None:
    assert not imports_torch(reached(start))


def test_torch_is_seen_behind_other_modules() -> None:
    assert [
        name
        for name in FILES
        if not imports_torch(imports(FILES[name])) and imports_torch(reached(name))
    ] != []


@pytest.mark.parametrize("start", ["fastsr.evaluation.evaluate", "fastsr.inference.files"])
def test_evaluation_and_upscaling_do_without_training(start: str) -> None:
    assert not {
        name for name in reached(start) if name.startswith(("fastsr.training", "fastsr.cohort"))
    }
    assert not any("tensorboard" in name for name in reached(start))


def test_kernels_know_nothing_of_fastsr() -> None:
    for path in (ROOT / "kernels").rglob("*.py"):
        assert not any(name.split(".")[0] == "fastsr" for name in imports(path)), path


def test_ci_runs_the_commands_of_the_readme() -> None:
    readme, ci = (ROOT / "README.md").read_text(), (ROOT / ".ci" / "run").read_text()
    for command in (
        "pip install -e .",
        "fastsr train --amp --compile",
        'pip install -e ".[test]"',
        "pytest",
    ):
        assert re.search(rf"(^|&& +|\s){re.escape(command)}", readme), f"README lacks: {command}"
        assert re.search(rf"(^|&& +|\s){re.escape(command)}", ci), f".ci/run lacks: {command}"


SOURCES = [
    p.relative_to(ROOT)
    for name in ("fastsr", "kernels", "bench", "tests")
    for p in (ROOT / name).rglob("*.py")
]


@pytest.mark.parametrize("path", sorted(SOURCES), ids=str)
def test_files_stay_readable(path: Path) -> None:
    """No file over 300 lines, no function over 60."""
    text = (ROOT / path).read_text()
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MOST_LINES_OF_A_FUNCTION, (
                f"{path}: {node.name}"
            )
