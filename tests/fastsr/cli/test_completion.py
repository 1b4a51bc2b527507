"""Completion of the command line by shells."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fastsr.cli.completion import COMMANDS, DATA
from tests.fastsr.cli.command_line import Fastsr, assert_one_line, run_without_torch

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    process = run_without_torch("--tyro-print-completion", "bash")
    assert (process.returncode, process.stderr) == (0, "")
    file = tmp_path_factory.mktemp("completion") / "fastsr.bash"
    file.write_text(process.stdout)
    return file


def completed(script: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words behind fastsr."""
    line = " ".join(("fastsr", *words))
    (function,) = re.findall(r"^complete -F (\w+) fastsr$", script.read_text(), re.MULTILINE)
    program = f"""source {script}
        COMP_WORDS=({line} {"" if words[-1:] != ("",) else "''"}); COMP_CWORD={len(words)}
        COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}
        {function} fastsr; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


@needs_bash
def test_bash_completes_commands_options_and_values(script: Path) -> None:
    assert completed(script, "up") == ["upscale"]
    assert {*COMMANDS, "data"} <= set(completed(script, ""))
    assert set(DATA) <= set(completed(script, "data", ""))
    assert completed(script, "eval", "--met") == ["--metrics", "--metric-weights"]
    assert completed(script, "train", "--variant", "ml-") == ["ml-star"]


def test_what_is_completed_are_the_commands_that_there_are(fastsr: Fastsr) -> None:
    commands = re.findall(r"^  (\w+) ", fastsr().out, re.MULTILINE)
    assert sorted(commands) == sorted((*COMMANDS, "data"))


def test_a_script_for_zsh(fastsr: Fastsr) -> None:
    assert fastsr("--tyro-print-completion", "zsh").out.startswith("#compdef fastsr")


@pytest.mark.parametrize(
    "words", [["--tyro-print-completion"], ["--tyro-print-completion", "fish"]]
)
def test_a_shell_has_to_be_named(fastsr: Fastsr, words: list[str]) -> None:
    assert_one_line(fastsr(*words), "--tyro-print-completion takes the name of a shell: bash, zsh")
