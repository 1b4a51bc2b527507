"""`fastsr train`: the folder of the run, and what is printed."""

import json
import re
import shlex
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


def test_the_first_lines_say_what_will_be_done(trained: Trained) -> None:
    first, second, third, *_ = trained.said.splitlines()
    assert first == "paper: x2, 2 peers (ml), 1 block of 4 filters, batch 2, 1 + 2 steps"
    assert second.startswith("3 images, no validation (--val); float32 on ")
    assert second.endswith(", 1 thread")
    assert re.fullmatch(
        rf"{re.escape(str(trained.folder))}; about \d+ s for all steps, roughly estimated", third
    )


def test_the_last_lines_say_what_to_do_next(trained: Trained) -> None:
    run = shlex.quote(str(trained.folder))
    assert f"next: fastsr upscale {run} IMAGES\n" in trained.said
    assert f"fastsr eval {run} --sets " in trained.said
    assert trained.said.endswith(f"fastsr report {run}\n")
    assert "SSIM" not in trained.said, "nothing was validated"


def test_the_demonstration_ends_with_a_table_and_a_page(fastsr: Fastsr) -> None:
    """Trained too shortly to be any good. The table is the last validation's."""
    outcome = fastsr("train", *TINY, "--log-every", 1, "--val-every", 1, "--out", "demo")
    assert (outcome.code, outcome.err) == (0, "")
    assert "6 sample photos, 2 for validation; " in outcome.out
    assert "validating on 2 images" in outcome.out
    rows = [json.loads(line) for line in Path("demo/metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["kind"] == "validation"][-1]
    table = outcome.out.partition(f"validation at step {last['step']} ")[2]
    assert last["step"] == 3
    for name, scores in last["scores"].items():
        assert re.search(rf"{name} +{scores['psnr']:.2f} dB +{scores['ssim']:.4f}", table)
    assert "curves and pictures: demo/report.html" in outcome.out
    assert "<html" in Path("demo/report.html").read_text()
    assert outcome.out.endswith("fastsr train --data FOLDER --val FOLDER --amp --compile\n")


def test_verbose_may_differ_when_a_run_is_continued(fastsr: Fastsr, run: Path) -> None:
    words = ("--steps", 4, "--log-every", 50, "--verbose")
    outcome = fastsr("train", "--resume", run, *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert "  peer 1: content " in outcome.out
    assert len(json.loads((run / "environment.json").read_text())) == 2


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
