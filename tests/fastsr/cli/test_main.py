"""The command line: help, and what a person reads who got a word or a value wrong."""

import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from fastsr import __version__
from fastsr.config.settings import TrainConfig
from tests.fastsr.cli.command_line import TINY, Fastsr, Outcome, assert_one_line, run_without_torch

COMMANDS = ("train", "eval", "upscale", "report", "data", "reproduce", "doctor")


def test_help_without_words(fastsr: Fastsr) -> None:
    outcome = fastsr()
    assert (outcome.code, outcome.err) == (0, "")
    assert re.findall(r"^  (\w+) ", outcome.out, re.MULTILINE) == list(COMMANDS)
    assert fastsr("--help") == fastsr("-h") == outcome


def test_version(fastsr: Fastsr) -> None:
    assert fastsr("--version") == Outcome(0, f"fastsr {__version__}\n", "")


@pytest.mark.parametrize("word", ["trian", "--data", ""])
def test_an_unknown_command_is_named_beside_the_known_ones(fastsr: Fastsr, word: str) -> None:
    outcome = fastsr(word)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[0] == f"fastsr: no command '{word}'"
    assert all(f"  {command} " in outcome.err for command in COMMANDS)


def test_the_exit_status_reaches_the_shell() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "fastsr", "trian"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stderr.startswith("fastsr: no command 'trian'\n")


def options_of(config: TrainConfig) -> list[str]:
    groups = [getattr(config, group.name) for group in fields(config)]
    names = [field.name for group in groups if is_dataclass(group) for field in fields(group)]
    named = ["from" if name == "resume_from" else name for name in names]
    return [f"--{name.replace('_', '-')}" for name in named if name != "mixing_matrix"]


TRAIN = ["--config", "--recipe", *options_of(TrainConfig())]
HELP: list[tuple[str, list[str]]] = [
    ("train", TRAIN),
    ("doctor", TRAIN),
    ("eval", ["Runs, checkpoints", "--sets", "--data-root", "--out", "--weights", "--metrics", "--metric-weights",
              "--lr", "--border", "--pictures", "--amp", "--device"]),
    ("upscale", ["A run or checkpoint", "Image files", "--out", "--peer", "--device"]),
    ("reproduce", [*TRAIN, "--scales", "--seeds", "--sets", "--data-root", "--metric-weights"]),
    ("report", ["Runs, or the folder of a reproduction", "--out", "--overwrite"]),
    ("data fetch", ["Data sets", "div2k", "set5", "set14", "bsd100", "urban100", "--root", "--cache"]),
    ("data list", ["--root"]),
    ("data packs", ["--cache", "--prune"]),
]  # fmt: skip


@pytest.mark.parametrize(("command", "options"), HELP)
def test_help_lists_every_option(fastsr: Fastsr, command: str, options: list[str]) -> None:
    outcome = fastsr(*command.split(), "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"usage: fastsr {command} ")
    assert [
        option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", outcome.out)
    ] == []


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


UNPARSED: list[tuple[str, str]] = [
    ("train --nonsense 3", "--nonsense"),
    ("train stray", "stray"),
    ("train --batch x", "--batch"),
    ("train --batch", "--batch"),
    ("train --lr fast", "--lr"),
    ("train --scale 5", "--scale"),
    ("train --border wrap", "--border"),
    ("train --variant dml", "--variant"),
    ("train --mixing-matrix 0 1", "--mixing-matrix"),
    ("train --recipe quick", "--recipe"),
    ("train --config", "--config"),
    ("train --out", "--out"),
    ("doctor --recipe quick", "--recipe"),
    ("doctor --nonsense", "--nonsense"),
    ("eval model", "--sets"),
    ("eval model --sets a --border wrap", "--border"),
    ("eval model --sets a --nonsense", "--nonsense"),
    ("eval model --sets a --metrics psmr", "'psmr' for argument '--metrics'"),
    ("eval model --sets a --lr theirs", "'theirs' for argument '--lr'"),
    ("eval model --sets a --weights best", "'best' for argument '--weights'"),
    ("eval model --sets a --pictures many", "--pictures"),
    ("reproduce --scales 5", "'5' for argument '--scales'"),
    ("reproduce --seeds x", "--seeds"),
    ("reproduce --recipe quick", "--recipe"),
    ("reproduce --nonsense", "--nonsense"),
    ("reproduce stray", "stray"),
    ("report --out", "--out"),
    ("report run --nonsense", "--nonsense"),
    ("data", "fetch NAMES, list, or packs"),
    ("data remove", "fetch NAMES, list, or packs"),
    ("data fetch", "give some of div2k set5 set14 bsd100 urban100"),
    ("data fetch set6", "'set6'"),
    ("data fetch set5 --nonsense", "--nonsense"),
    ("data list stray", "stray"),
    ("upscale", "A run or checkpoint"),
    ("upscale model image --scale 2", "--scale"),
]


@pytest.mark.parametrize(("words", "part"), UNPARSED, ids=[words for words, _ in UNPARSED])
def test_words_that_cannot_be_parsed(fastsr: Fastsr, words: str, part: str) -> None:
    outcome = fastsr(*words.split())
    assert (outcome.code, outcome.out) == (2, "")
    assert part in outcome.err
    assert f"fastsr {words.split()[0]}" in outcome.err  # where to find help
    assert "Traceback" not in outcome.err


UNUSABLE: list[tuple[str, str]] = [
    ("--batch 1", "--batch 1 cannot be used; use 2 or more"),
    ("--patch 17", "--patch 17 cannot be used; use a multiple of the scale, such as 16"),
    ("--lr nan", "--lr nan cannot be used; use a number between 0 and 1"),
    ("--lr -1", "--lr -1.0 cannot be used"),
    ("--steps 0 --pretrain-steps 0", "--steps 0 cannot be used; train for at least one step"),
    ("--seed -1", "--seed -1 cannot be used; use 0 or more"),
    ("--ema 1", "--ema 1.0 cannot be used"),
    ("--temperature 2", "--temperature 2.0 softens; --variant ml has none. Use --variant ml-star"),
    (
        "--peers 3 --mixing pairs",
        "--mixing pairs needs an even number of peers, not --peers 3; use 4",
    ),
    ("--variant independent --mixing ring", "--mixing ring contradicts --variant independent"),
    ("--device nonsense", "--device nonsense is no device; use auto, cpu, cuda or cuda:N"),
    ("--device meta", "--device meta is not supported; use auto, cpu, cuda or cuda:N"),
    ("--device cuda:99", "--device cuda:99 does not exist"),
    ("--device cuda:-1", "--device cuda:-1 is no device"),
]


@pytest.mark.parametrize(("words", "message"), UNUSABLE, ids=[words for words, _ in UNUSABLE])
@pytest.mark.parametrize("command", ["train", "doctor"])
def test_values_that_cannot_be_used(
    fastsr: Fastsr, data: Path, command: str, words: str, message: str
) -> None:
    outcome = fastsr(command, "--data", data, *TINY, "--out", "run", *words.split())
    assert_one_line(outcome, message)
    assert outcome.out == ""
    assert not Path("run").exists()


def test_every_seed_that_is_allowed_can_be_used(fastsr: Fastsr, data: Path) -> None:
    assert fastsr("train", "--data", data, *TINY, "--out", "run", "--seed", 2**63 - 1).code == 0


EMPTY = [
    (("train", "--data", ""), "--data is given an empty value"),
    (("train", "--data", "images", ""), "images is given an empty value"),
    (("train", "--val=", "--data", "images"), "--val is given an empty value"),
    (("train", "--out", ""), "--out is given an empty value"),
    (("eval", "run", "--sets", ""), "--sets is given an empty value"),
    (("upscale", "", "photo.png"), "an empty word is given"),
    (("report", "run", "--out", ""), "--out is given an empty value"),
]


@pytest.mark.parametrize(("words", "said"), EMPTY, ids=[" ".join(words) for words, _ in EMPTY])
def test_an_empty_value_does_not_mean_this_folder(
    fastsr: Fastsr, words: tuple[str, ...], said: str
) -> None:
    """Such as that of a variable of a script that is not set."""
    assert_one_line(fastsr(*words), f"fastsr: {said}; write . where this folder is meant")
