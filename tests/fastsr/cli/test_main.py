"""The command line: what a person reads who got a word or a value wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastsr import __version__
from tests.fastsr.cli.command_line import TINY, Fastsr, Outcome, assert_one_line


def test_version(fastsr: Fastsr) -> None:
    assert fastsr("--version") == Outcome(0, f"fastsr {__version__}\n", "")


@pytest.mark.parametrize(
    ("word", "meant"), [("trian", "is train meant? "), ("--data", ""), ("", ""), ("xyz", "")]
)
def test_an_unknown_command_is_one_line(fastsr: Fastsr, word: str, meant: str) -> None:
    said = f"fastsr: no command '{word}'; {meant}fastsr --help lists them\n"
    assert fastsr(word) == Outcome(2, "", said)


def test_the_exit_status_reaches_the_shell() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "fastsr", "trian"], capture_output=True, text=True, check=False
    )
    assert process.returncode == 2
    assert process.stderr.startswith("fastsr: no command 'trian'; ")


UNPARSED = [
    ("train --nonsense 3", "fastsr train has no option --nonsense; fastsr train --help lists them"),
    ("train --blocs 3", "fastsr train has no option --blocs; is --blocks meant?"),
    ("train stray", "fastsr train has no use for 'stray'; see fastsr train --help"),
    ("train --batch x", "--batch x cannot be used; use a whole number; see fastsr train --help"),
    ("train --batch 3 4", "fastsr train has no use for '4'"),
    ("train --batch", "--batch lacks its value, N"),
    ("train --batch --steps 3", "--batch lacks its value, N"),
    ("train --lr fast", "--lr fast cannot be used; use a number; see"),
    ("train --content-weight x", "--content-weight x cannot be used; use a number or auto"),
    ("train --temperature -1 x", "--temperature x cannot be used; use a number"),
    ("train --scale 5", "--scale 5 cannot be used; use 1, 2, 3, 4 or 8"),
    ("train --border wrap", "--border wrap cannot be used; use replicate or mirror"),
    ("train --variant dml", "--variant dml cannot be used; use independent, ml or ml-star"),
    ("train --mixing-matrix 0 1", "fastsr train has no option --mixing-matrix"),
    ("train --recipe quick", "--recipe quick cannot be used; use paper, demo, esrgan or real-esrgan"),
    ("train --config", "--config lacks its value, PATH"),
    ("train --out", "--out lacks its value, PATH"),
    ("train --amp=3", "--amp takes no value, and 3 is given"),
    ("train --no-graph 3", "fastsr train has no use for '3'"),
    ("train --resume a b", "fastsr train has no use for 'b'"),
    ("doctor --recipe quick", "--recipe quick"),
    ("doctor --nonsense", "fastsr doctor has no option --nonsense"),
    ("eval", "fastsr eval needs MODEL ..."),
    ("eval model", "fastsr eval needs --sets NAME ..."),
    ("eval model --sets a --border wrap", "--border wrap"),
    ("eval model --sets a --nonsense", "fastsr eval has no option --nonsense"),
    ("eval model --sets a --metrics psmr", "--metrics psmr cannot be used; use psnr, psnr_rgb, ssim"),
    ("eval model --sets a --lr theirs", "--lr theirs cannot be used; use bicubic or given"),
    ("eval model --sets a --weights best", "--weights best cannot be used; use both, ema or raw"),
    ("eval model --sets a --pictures many", "--pictures many"),
    ("reproduce --scales 5", "--scales 5 cannot be used; use 2, 3, 4 or 8"),
    ("reproduce --seeds x", "--seeds x cannot be used; use a whole number"),
    ("reproduce --recipe quick", "--recipe quick"),
    ("reproduce --nonsense", "fastsr reproduce has no option --nonsense"),
    ("reproduce stray", "fastsr reproduce has no use for 'stray'"),
    ("report --out", "--out lacks its value, PATH"),
    ("report", "fastsr report needs RUN ..."),
    ("report run --nonsense", "fastsr report has no option --nonsense"),
    ("data", "fastsr data takes a word more: fetch NAMES, list, packs, or preview"),
    ("data remove", "fastsr data takes a word more: fetch NAMES, list, packs, or preview"),
    ("data fetch", "fastsr data fetch needs some of div2k set5 set14 bsd100 urban100"),
    ("data fetch set6", "set6 cannot be used; use div2k, set5, set14, bsd100 or urban100"),
    ("data fetch set5 --nonsense", "fastsr data fetch has no option --nonsense"),
    ("data list stray", "fastsr data list has no use for 'stray'"),
    ("data packs --prune yes", "fastsr data packs has no use for 'yes'"),
    ("upscale", "fastsr upscale needs MODEL and IMAGE ..."),
    ("upscale model", "fastsr upscale needs IMAGE ...; see fastsr upscale --help"),
    ("upscale model image --scale 2", "fastsr upscale has no option --scale"),
    ("upscale model image --peer bst", "--peer bst cannot be used; use a whole number or best"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "part"), UNPARSED, ids=[words for words, _ in UNPARSED])
def test_words_that_cannot_be_parsed(fastsr: Fastsr, words: str, part: str) -> None:
    outcome = fastsr(*words.split())
    assert_one_line(outcome, part)
    assert outcome.err.startswith(f"fastsr: {part}")
    assert outcome.out == ""


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


@pytest.mark.parametrize("command", ["eval r --sets Set5", "reproduce", "doctor"])
def test_commands_of_one_process_are_refused_once_under_torchrun(
    fastsr: Fastsr, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("fastsr.cli.configuration.FAREWELL_SECONDS", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    name = command.split()[0]
    said = (
        f"fastsr: fastsr {name} runs in one process, and 2 were started (WORLD_SIZE); "
        "start it without torchrun\n"
    )
    assert fastsr(*command.split()) == Outcome(2, "", said)
    monkeypatch.setenv("RANK", "1")
    assert fastsr(*command.split()) == Outcome(2, "", "")
