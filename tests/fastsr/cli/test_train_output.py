"""`fastsr train`: the folder of the run, and what is printed."""

from pathlib import Path

import pytest

from fastsr.cli.configuration import train_config
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from tests.fastsr.cli.command_line import (
    TINY,
    Fastsr,
    Trained,
    assert_one_line,
)


def test_out_that_holds_a_run(fastsr: Fastsr, trained: Trained, run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    outcome = fastsr("train", "--data", trained.data, *TINY, "--out", run)
    assert_one_line(
        outcome, f"{run} holds a run already; add --resume to continue it, or give another --out"
    )
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_out_with_a_file_in_the_way(fastsr: Fastsr, data: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("precious")
    outcome = fastsr("train", "--data", data, *TINY, "--out", tmp_path / out)
    assert_one_line(outcome, f"--out {tmp_path / out} cannot be written", "give another folder")
    assert (tmp_path / "file").read_text() == "precious"


def test_out_that_holds_a_config_of_something_else(
    fastsr: Fastsr, data: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text("precious = true\n")
    outcome = fastsr("train", "--data", data, "--out", tmp_path, *TINY)
    assert_one_line(outcome, f"{tmp_path} holds a config.toml that is no run's; give another --out")
    assert (tmp_path / "config.toml").read_text() == "precious = true\n"


def test_a_generator_that_would_learn_nothing(fastsr: Fastsr, data: Path) -> None:
    words = ("--content-weight", 0, "--adversarial-weight", 0)
    assert_one_line(
        fastsr("train", "--data", data, *TINY, *words), "generators would learn nothing"
    )


def test_what_training_says(trained: Trained) -> None:
    assert f"done: step 3 of 3. Everything is in {trained.folder}\n" in trained.said
    assert "pretraining 1/3" in trained.said
    assert "training 3/3" in trained.said


def test_the_run_keeps_the_configuration(trained: Trained) -> None:
    words = [
        str(w)
        for w in (
            "--data",
            trained.data,
            *TINY,
            "--cache",
            trained.folder.parent / "cache",
            "--out",
            trained.folder,
        )
    ]
    assert from_toml(trained.folder / "config.toml", TrainConfig()) == train_config(words)
