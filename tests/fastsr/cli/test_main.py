"""The command line: what a person reads who got a word or a value wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastsr import __version__
from tests.fastsr.cli.command_line import TINY, Fastsr, Outcome, assert_one_line

COMMANDS = ("train", "eval", "upscale", "report", "data", "reproduce", "doctor")


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
    # The recipe, said before torch is there.
    assert outcome.out == "" or outcome.out.startswith("paper: ")
    assert outcome.out.count("\n") <= 1
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
