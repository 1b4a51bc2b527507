"""The help of each command."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from fastsr.cli.arguments import (
    REPRODUCE_DECIDES,
    DoctorArguments,
    EvalArguments,
    FetchArguments,
    InfoArguments,
    ListArguments,
    PacksArguments,
    ReportArguments,
    ReproduceArguments,
    TrainArguments,
)
from fastsr.cli.configuration import parse, train_arguments
from fastsr.cli.convert import ConvertArguments
from fastsr.cli.export import ExportArguments
from fastsr.cli.preview import PreviewArguments
from fastsr.cli.publish import CardArguments, PushArguments
from fastsr.cli.upscale import UpscaleArguments
from fastsr.config.degrade import DegradeConfig
from fastsr.config.settings import TrainConfig
from tests.fastsr.cli.command_line import Fastsr, Trained, run_without_torch

COMMANDS = (
    "train", "eval", "upscale", "export", "convert", "card", "push", "report", "info", "data", "reproduce", "doctor",
)  # fmt: skip


def test_help_without_words(fastsr: Fastsr) -> None:
    outcome = fastsr()
    assert (outcome.code, outcome.err) == (0, "")
    assert re.findall(r"^  (\w+) ", outcome.out, re.MULTILINE) == list(COMMANDS)
    assert fastsr("--help") == fastsr("-h") == outcome


TOML_ONLY = ("mixing_matrix", "labels", "adversarial_factors")


def options_of(config: TrainConfig) -> list[str]:
    groups = [getattr(config, group.name) for group in fields(config)]
    groups = [group for group in groups if not isinstance(group, DegradeConfig)]
    names = [field.name for group in groups if is_dataclass(group) for field in fields(group)]
    names.append("degrade")  # whose ranges are settings of a TOML file alone
    named = ["from" if name == "resume_from" else name for name in names]
    return [f"--{name.replace('_', '-')}" for name in named if name not in TOML_ONLY]


TRAIN = ["--config", "--recipe", *options_of(TrainConfig())]
KEPT = [option for option in TRAIN if option not in REPRODUCE_DECIDES]
HELP: list[tuple[str, list[str]]] = [
    ("train", TRAIN),
    ("doctor", TRAIN),
    ("eval", ["Runs, checkpoints", "--sets", "--data-root", "--out", "--weights", "--metrics", "--metric-weights",
              "--lr", "--border", "--pictures", "--amp", "--device"]),
    ("upscale", ["A run or checkpoint", "Image files", "--out", "--peer", "--device"]),
    ("reproduce", [*KEPT, "--scales", "--seeds", "--sets", "--data-root", "--metric-weights"]),
    ("report", ["Runs, or the folder of a reproduction", "--out", "--overwrite"]),
    ("info", ["A run, a folder of runs"]),
    ("data fetch", ["Data sets", "div2k", "set5", "set14", "bsd100", "urban100", "--root", "--cache"]),
    ("data list", ["--root"]),
    ("data packs", ["--cache", "--prune"]),
    ("data preview", ["--data", "--degrade", "--scale", "--patch", "--count", "--seed", "--cache", "--out"]),
]  # fmt: skip


PAGES = ["", "data", *(command for command, _ in HELP)]
ARGUMENTS = {
    "train": TrainArguments, "doctor": DoctorArguments, "reproduce": ReproduceArguments, "eval": EvalArguments,
    "upscale": UpscaleArguments, "report": ReportArguments, "data fetch": FetchArguments, "data list": ListArguments,
    "data packs": PacksArguments, "data preview": PreviewArguments, "info": InfoArguments,
    "export": ExportArguments, "convert": ConvertArguments, "card": CardArguments, "push": PushArguments,
}  # fmt: skip


def of_option(text: str, option: str) -> str:
    """The lines that help has on an option, as one."""
    (found,) = re.findall(
        rf"^  {option}(?![\w-])(.*?)(?=^  --|^\S|^$)", text, re.MULTILINE | re.DOTALL
    )
    return " ".join(found.split())


@pytest.mark.parametrize(("command", "options"), HELP)
def test_help_lists_every_option(fastsr: Fastsr, command: str, options: list[str]) -> None:
    outcome = fastsr(*command.split(), "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"usage: fastsr {command} ")
    assert [
        option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", outcome.out)
    ] == []
    assert fastsr(*command.split(), "-h") == outcome


@pytest.mark.parametrize("columns", [80, 160])
@pytest.mark.parametrize("page", PAGES)
def test_help_fits_the_terminal_in_ascii(
    fastsr: Fastsr, page: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = fastsr(*page.split(), "--help").out
    assert text.isascii()
    assert [line for line in text.splitlines() if len(line) > min(columns, 100)] == []


@pytest.mark.parametrize("page", PAGES)
def test_help_shows_nothing_that_only_programs_understand(fastsr: Fastsr, page: str) -> None:
    text = fastsr(*page.split(), "--help").out
    for word in ("None", "(default", "train.", "INT", "STR", "FLOAT"):
        assert word not in text


@pytest.mark.parametrize("command", ARGUMENTS)
def test_help_ends_with_two_examples_that_can_be_parsed(fastsr: Fastsr, command: str) -> None:
    first, *examples = (
        fastsr(*command.split(), "--help").out.rpartition("examples:\n")[2].splitlines()
    )
    assert len(examples) == 1
    for example in (first, *examples):
        assert example.startswith(f"  fastsr {command}")
        words = shlex.split(example.removeprefix(f"  fastsr {command}"))
        kind = ARGUMENTS[command]
        if issubclass(kind, TrainArguments):
            train_arguments(words, kind)
        else:
            parse(command, kind, words)


def test_help_of_train_shows_the_papers_defaults_and_where_the_demo_differs(fastsr: Fastsr) -> None:
    text = fastsr("train", "--help").out
    assert of_option(text, "--blocks").endswith("Default: 32 (demo: 4).")
    assert of_option(text, "--content").endswith("Default: vgg54 (demo: pixel).")
    assert of_option(text, "--lr").endswith("Default: 0.0001 (demo: 0.001).")
    assert of_option(text, "--peers").endswith("Default: 2.")
    assert of_option(text, "--amp").endswith("Default: off.")
    assert "Default: off" in of_option(text, "--skip-bad")
    assert of_option(text, "--vgg").count("Default: ") == 1
    assert fastsr("train", "--data", "images", "--recipe", "demo", "--help").out == text


@pytest.mark.parametrize("command", ["eval", "reproduce"])
def test_other_commands_know_no_demo(fastsr: Fastsr, command: str) -> None:
    assert "(demo: " not in fastsr(command, "--help").out


def test_options_are_in_groups_with_names_for_people(fastsr: Fastsr) -> None:
    titles = re.findall(r"^(\w+):$", fastsr("train", "--help").out, re.MULTILINE)
    sections = [group.name for group in fields(TrainConfig) if group.name != "recipe"]
    assert titles == ["options", *sections, "examples"]


def test_help_of_reproduce_leaves_out_what_it_refuses(fastsr: Fastsr) -> None:
    text = fastsr("reproduce", "--help").out
    assert [
        option for option in REPRODUCE_DECIDES if re.search(rf"^  {option}\b(?!-)", text, re.M)
    ] == []
    for option in REPRODUCE_DECIDES:
        assert f"decides about {option}" in fastsr("reproduce", option, "1").err


def test_scores_are_shown_on_a_terminal_of_ascii_too(trained: Trained, tmp_path: Path) -> None:
    sets = ["--sets", trained.data, "--metrics", "psnr", "--out", tmp_path / "scores"]
    process = subprocess.run(
        [sys.executable, "-m", "fastsr", "eval", trained.folder, *sets, "--device", "cpu"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stdout.isascii()) == (0, True), process.stderr
    assert "PSNR (dB) ^" in process.stdout


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_of_data_names_its_commands(fastsr: Fastsr, word: str) -> None:
    outcome = fastsr("data", word)
    assert (outcome.code, outcome.err) == (0, "")
    assert "fetch" in outcome.out and "list" in outcome.out


@pytest.mark.parametrize("command", [command for command, _ in HELP])
def test_help_is_quick_because_torch_is_not_imported(command: str) -> None:
    process = run_without_torch(*command.split(), "--help")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith(f"usage: fastsr {command} ")
