"""`fastsr doctor --prove`, on a CPU: what it can, and what it leaves out."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastsr.proof.parts import Part
from tests.fastsr.cli.command_line import TINY, Fastsr, assert_one_line


def test_a_proof_is_printed_and_written(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("doctor", "--prove", "--data", data, *TINY, "--device", "cpu")
    assert outcome.code == 0, outcome.err
    for part in ("proof: gpu none", "passed", "cohort loss", "bit for bit", "skipped", "steps/s", "needs an NVIDIA GPU",
                 "everything that was tried holds. All of it is in proof.json"):  # fmt: skip
        assert part in outcome.out, part
    content = json.loads(Path("proof.json").read_text())
    assert set(content["combination"]) == {"gpu", "driver", "torch", "triton", "fastsr"}
    assert content["settings"]["fused"] is True
    assert {part["name"]: part["outcome"] for part in content["parts"]}["cohort loss"] == "passed"


def test_a_part_that_fails_is_the_exit_status(
    fastsr: Fastsr, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = Part(name="cohort loss", outcome="failed", detail="off by 0.01", remedy="--no-fused")
    monkeypatch.setattr("fastsr.cli.prove.prove", lambda *_: [wrong])
    outcome = fastsr("doctor", "--prove", "--data", data, *TINY)
    assert outcome.code == 1
    assert "cohort loss: off by 0.01; train with --no-fused" in outcome.out


def test_a_proof_that_is_cut_short_leaves_what_was_found(
    fastsr: Fastsr, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_short(*_: object) -> Iterator[Part]:
        yield Part(name="cohort loss", outcome="passed", detail="1 case")
        raise KeyboardInterrupt

    monkeypatch.setattr("fastsr.cli.prove.prove", cut_short)
    assert fastsr("doctor", "--prove", "--data", data, *TINY).code != 0
    (found,) = json.loads(Path("proof.json").read_text())["parts"]
    assert found["name"] == "cohort loss"


def test_nothing_is_proved_unasked(fastsr: Fastsr, data: Path) -> None:
    assert "proof" not in fastsr("doctor", "--data", data, *TINY).out
    assert not Path("proof.json").exists()


def test_a_folder_that_cannot_be_written_is_named(fastsr: Fastsr, data: Path) -> None:
    Path("proof.json").mkdir()
    assert_one_line(
        fastsr("doctor", "--prove", "--data", data, *TINY), "proof.json cannot be written here"
    )
