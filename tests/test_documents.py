"""What is published beside the code: links, the site, the notebook, workflows, forms, and the commands in them."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fastsr.cli.completion import COMMANDS, DATA
from fastsr.cli.configuration import checked_words
from fastsr.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/fastsr/fastsr"
RAW = "https://raw.githubusercontent.com/fastsr/fastsr"
PAGES = sorted((ROOT / "docs").glob("*.md"))
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RESULTS = (ROOT / "bench" / "results").is_dir()


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


def test_links_of_the_readme_hold_wherever_it_is_shown() -> None:
    """As on PyPI, which knows no files beside it."""
    for link in links((ROOT / "README.md").read_text()):
        assert link.startswith(("https://", "#")), link


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.name)
def test_links_into_the_repository_lead_to_what_is_there(page: Path) -> None:
    for link in links(page.read_text()):
        path = re.sub(rf"^({REPOSITORY}/(blob|tree)/main|{RAW}/main)/", "", link)
        if path != link and (RESULTS or not path.startswith("bench/results")):
            assert (ROOT / path).exists(), link


def commands(text: str) -> list[str]:
    """Lines of blocks of bash, and of cells, that begin with fastsr."""
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line[line.index("fastsr ") :] for line in lines if re.search(r"(^|\| )fastsr ", line)]


def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text())["cells"]


def check_command(line: str) -> None:
    """Raises UserError where the command line is none."""
    _, first, *words = shlex.split(line.partition(" > ")[0])
    if first == "data":
        first, kind, *words = f"data {words[0]}", DATA[words[0]], *words[1:]
    elif first.startswith("--"):
        return
    else:
        kind = COMMANDS[first]
    special = ("--help", "--no-graph")  # which are no options of their own
    checked_words(first, kind, [word for word in words if word not in special], ("--resume",))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_the_site_can_be_given(page: Path) -> None:
    for line in commands(page.read_text()):
        check_command(line)


def test_a_wrong_command_would_be_found() -> None:
    with pytest.raises(ValueError, match="has no option --mixin"):
        check_command("fastsr train --mixin ring")


@pytest.mark.timeout(600)
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for name in ("mkdocs", "material", "mkdocstrings"):
        pytest.importorskip(name, reason="the extra `docs` is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "PatchSampler" not in (tmp_path / "reference" / "index.html").read_text()
    assert "Patches per step" in (tmp_path / "reference" / "index.html").read_text()


@pytest.mark.timeout(600)
def test_the_notebook_runs(elsewhere: None) -> None:
    """Cell by cell, as IPython runs it, but for the number of steps: a short training, in the cell tagged for that."""
    names: dict[str, Any] = {}
    for cell in cells():
        source = "".join(cell["source"])
        if "parameters" in cell["metadata"].get("tags", ()):
            source = re.sub(r"= \d+, \d+", "= 2, 1", source)
        if cell["cell_type"] == "code" and source.startswith("!fastsr "):
            words = shlex.split(source.removeprefix("!fastsr ").format(**names))
            assert main(words) == 0
        elif cell["cell_type"] == "code":
            exec(source, names)  # the notebook itself is what is tested
    assert Path("quickstart/report.html").is_file()
    assert len(names["enlarged"]) == 2 and len(names["pictures"]) >= 1


def test_the_notebook_is_kept_without_outputs() -> None:
    assert [cell["id"] for cell in cells() if cell.get("outputs")] == []


def loaded(path: Path) -> Any:
    return pytest.importorskip("yaml").safe_load(path.read_text())


def test_workflows_test_every_python_that_is_named() -> None:
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)]
    tests = loaded(ROOT / ".github/workflows/tests.yml")
    assert tests["jobs"]["tests"]["strategy"]["matrix"]["python"] == named
    assert set(tests["jobs"]) == {"tests", "lint", "wheel"}


def test_releases_need_no_token() -> None:
    publish = loaded(ROOT / ".github/workflows/release.yml")["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert "secrets" not in (ROOT / ".github/workflows/release.yml").read_text()


@pytest.mark.parametrize("form", ["bug", "results"])
def test_forms_ask_for_what_doctor_says(form: str) -> None:
    body = loaded(ROOT / f".github/ISSUE_TEMPLATE/{form}.yml")["body"]
    (asked,) = (one for one in body if one["id"] == "doctor")
    assert asked["attributes"]["label"] == "Output of fastsr doctor"
    assert asked["validations"]["required"]


SCHEMAS = {
    "vendor.github-workflows": sorted((ROOT / ".github/workflows").glob("*.yml")),
    "vendor.github-issue-forms": [ROOT / f".github/ISSUE_TEMPLATE/{n}.yml" for n in ("bug", "results")],
    "vendor.github-issue-config": [ROOT / ".github/ISSUE_TEMPLATE/config.yml"],
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
}  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS)
def test_github_can_read_its_files(schema: str) -> None:
    pytest.importorskip("check_jsonschema", reason="the extra `dev` is not installed")
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--default-filetype",
        "yaml",
        "--builtin-schema",
        schema,
    ]
    files = map(str, SCHEMAS[schema])
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert f"\nrepository-code: {PROJECT['urls']['Source']}\n" in citation
    assert PROJECT["urls"]["Source"] == REPOSITORY


def test_the_sources_are_published_without_records_of_benchmarks() -> None:
    sdist = pytest.importorskip("hatchling.builders.sdist", reason="hatchling is not installed")
    builder = sdist.SdistBuilder(str(ROOT))
    files = [file.relative_path for file in builder.recurse_included_files()]
    assert "fastsr/cli/main.py" in files and "docs/index.md" in files
    assert [file for file in files if file.startswith("bench/results")] == []
