"""`fastsr info`: runs, folders of them, and files."""

import json
import shutil
from pathlib import Path

import pytest

from fastsr.checkpoints import Best, write_best
from tests.fastsr.cli.command_line import (
    Fastsr,
    Outcome,
    Trained,
    assert_one_line,
    checkpoint,
    generator,
    run_without_torch,
    save_images,
)


def facts(outcome: Outcome) -> dict[str, str]:
    """Lines of the table by what they are about, without the next commands."""
    assert (outcome.code, outcome.err) == (0, ""), outcome
    table, _, _ = outcome.out.partition("next: ")
    pairs = (line.split(None, 1) for line in table.splitlines())
    return {about: text.strip() for about, text in pairs}


def test_a_finished_run(fastsr: Fastsr, trained: Trained) -> None:
    outcome = fastsr("info", trained.folder)
    known = facts(outcome)
    assert known["run"] == str(trained.folder)
    assert known["recipe"].startswith("paper: x2, 2 peers (ml), 1 block of 4 filters, batch 2")
    assert known["images"] == str(trained.data)
    assert known["steps"].startswith("3 of 3 (1 of them pre-training) are saved")
    assert known["checkpoints"].startswith("step-00000003, ")
    assert known["best"] == "not kept: no validation (--val), or --no-keep-best"
    assert (known["evaluation"], known["page"]) == ("none yet", "none yet")
    assert "fastsr 0." in known["trained"] and " UTC on " in known["trained"]
    assert f"next: fastsr upscale '{trained.folder}' IMAGES\n" in outcome.out


def test_the_best_is_shown_beside_bicubic(fastsr: Fastsr, run: Path) -> None:
    write_best(run, Best(3, 1, 27.125))
    scores = {"bicubic": {"psnr": 26.5, "ssim": 0.8}, "peer 0": {"psnr": 26, "ssim": 0.8}}
    with (run / "metrics.jsonl").open("a") as lines:
        lines.write(json.dumps({"kind": "validation", "step": 3, "scores": scores}) + "\n")
    best = facts(fastsr("info", run))["best"]
    assert best == "step 3, peer 1: validation PSNR 27.12 dB, bicubic 26.50 dB"


def test_evaluations_and_the_page_are_found(fastsr: Fastsr, run: Path, tmp_path: Path) -> None:
    photos = save_images(tmp_path / "photos", 1)
    assert fastsr("eval", run, "--sets", photos, "--metrics", "psnr", "--device", "cpu").code == 0
    assert fastsr("report", run).code == 0
    known = facts(fastsr("info", run))
    expected = f"{run / 'evaluation'}: photos (1 image) by psnr, at step 3"
    assert known["evaluation"] == expected
    assert known["page"] == str(run / "report.html")


def test_a_run_that_was_interrupted_is_to_be_continued(fastsr: Fastsr, run: Path) -> None:
    settings = (run / "config.toml").read_text()
    (run / "config.toml").write_text(settings.replace("\nsteps = 2", "\nsteps = 9"))
    outcome = fastsr("info", run)
    assert facts(outcome)["steps"].startswith("3 of 10 ")
    assert outcome.out.endswith(f"next: fastsr train --resume {run}\n")
    shutil.rmtree(run / "checkpoints")
    known = facts(fastsr("info", run))
    assert known["steps"].startswith("0 of 10 ")
    assert known["checkpoints"] == "none yet"
    (run / "config.toml").write_text(settings.replace("\nval = []", '\nval = ["photos"]'))
    assert facts(fastsr("info", run))["best"] == "none yet"


def test_a_folder_of_runs_has_a_line_for_each(fastsr: Fastsr, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "runs/one")
    write_best(Path(shutil.copytree(run, tmp_path / "runs/two")), Best(3, 0, 20))
    heading, one, two = fastsr("info", "runs").out.splitlines()
    assert heading.split() == ["run", "recipe", "steps", "best", "PSNR"]
    assert one.split() == ["runs/one", "paper", "x2,", "ml", "3", "of", "3"]
    assert two.split() == ["runs/two", "paper", "x2,", "ml", "3", "of", "3", "20.00", "dB"]


def test_a_file_says_what_it_is(fastsr: Fastsr, tmp_path: Path) -> None:
    file = generator(tmp_path / "small.safetensors", scale=4)
    known = facts(fastsr("info", file))
    assert known["architecture"] == "fastsr.SRResNet"
    assert (known["scale"], known["blocks"]) == ("4", "1")
    assert known["weights"].endswith(" parameters, F32") and known["channels"] == "3"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nope", "nope does not exist; give a run, or a model's .safetensors file"),
        ("text.safetensors", "text.safetensors is damaged or no safetensors file"),
        ("empty", "empty is no run: it has no config.toml"),
    ],
)
def test_what_is_no_run_and_no_model(fastsr: Fastsr, name: str, said: str) -> None:
    Path("text.safetensors").write_text("no weights\n")
    Path("empty").mkdir()
    assert_one_line(fastsr("info", name), said)


def test_of_a_checkpoint_its_run_is_asked_for(fastsr: Fastsr, run: Path) -> None:
    assert_one_line(fastsr("info", checkpoint(run)), f"is a checkpoint; give its run, {run}")


def test_no_torch_is_needed(run: Path) -> None:
    for path in (run, checkpoint(run) / "peer-0-ema.safetensors"):
        process = run_without_torch("info", path)
        assert (process.returncode, process.stderr) == (0, "")
