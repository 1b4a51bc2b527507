"""`fastsr reproduce`, as a person runs it: planned, stopped, killed, continued, and the same in the end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fastsr.cli.main import main
from tests.images import random_image

pytestmark = pytest.mark.usefixtures("elsewhere")

TINY = (
    "--blocks", "1", "--filters", "4", "--discriminator-filters", "2", "--patch", "16", "--batch", "2",
    "--content", "pixel", "--pretrain-steps", "2", "--device", "cpu", "--save-every", "2", "--log-every", "2",
)  # fmt: skip


def save_images(folder: Path, count: int, side: int = 48) -> None:
    folder.mkdir(parents=True)
    for k in range(count):
        Image.fromarray(random_image(side, side + 4 * k, k)).save(folder / f"{k}.png")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with training and test images."""
    save_images(tmp_path / "photos", 3)
    save_images(tmp_path / "sets/A", 3)
    save_images(tmp_path / "sets/B", 2)
    return tmp_path


def words(out: str, *more: str, steps: int = 3) -> list[str]:
    return [
        "reproduce", "--data", "photos", "--data-root", "sets", "--sets", "A", "B", *TINY, "--steps", str(steps),
        "--out", out, *more,
    ]  # fmt: skip


def tables(out: Path) -> dict[str, Any]:
    return json.loads((out / "tables.json").read_text())


def numbers(out: Path) -> list[Any]:
    return [one["rows"] for one in tables(out)["tables"]]


def test_both_scales_are_trained_evaluated_and_put_beside_the_paper(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words("all", "--seeds", "0", "1")) == 0
    said = capsys.readouterr().out
    assert "six peers each: an Independent, an ML and an ML* pair; about " in said
    written = tables(home / "all")
    assert written["runs"] == ["x2-seed0", "x2-seed1", "x4-seed0", "x4-seed1"]
    assert [(one["scale"], one["metric"], one["seeds"]) for one in written["tables"]] == [
        (scale, metric, 2) for scale in (2, 4) for metric in ("psnr", "psnr_rgb", "ssim")
    ]
    row = written["tables"][0]["rows"][0]
    assert (row["set"], row["images"]) == ("A", 3)
    assert [len(values["peers"]) for values in row["variants"].values()] == [4, 4, 4]
    assert (
        row["differences"]["ML"]["low"]
        < row["differences"]["ML"]["mean"]
        < row["differences"]["ML"]["high"]
    )
    assert "NIQE is not measured" in written["notes"]
    text = (home / "all/tables.md").read_text()
    assert (
        "x2, PSNR (dB)" in text and "x2, PSNR-RGB (dB)" in text and "which is an inference" in text
    )
    assert "x4-seed1" in (home / "all/report.html").read_text()


def test_the_pairs_differ_only_by_who_teaches_whom(home: Path) -> None:
    """Until discriminators begin to teach each other, every pair is the same pair, number for number."""
    assert main(words("all", "--scales", "4", steps=4)) == 0
    rows = [
        json.loads(line) for line in (home / "all/x4-seed0/metrics.jsonl").read_text().splitlines()
    ]
    before, *_, last = (row for row in rows if row["kind"] == "train")
    pixel = [peer["pixel"] for peer in before["peers"]]
    assert pixel[:2] == pixel[2:4] == pixel[4:] and pixel[0] != pixel[1]
    assert [peer["kl_real"] > 0 for peer in last["peers"]] == [False, False, True, True, True, True]
    content = [peer["content"] for peer in last["peers"]]
    assert len(set(content)) == 6


def test_killed_and_started_again_it_ends_with_the_same_numbers(home: Path) -> None:
    assert main(words("whole", steps=12)) == 0
    command = [sys.executable, "-m", "fastsr", *words("killed", steps=12)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    for checkpoint in ("x2-seed0/checkpoints/step-00000006", "x4-seed0/checkpoints/step-00000004"):
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            deadline = time.monotonic() + 120
            while process.poll() is None and not (home / "killed" / checkpoint).exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
    assert main(words("killed", steps=12)) == 0
    assert numbers(home / "killed") == numbers(home / "whole")


def test_test_images_that_are_trained_on_are_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By their pixels: B holds two of three training photos under other names; A is replaced by others."""
    for k in range(3):
        Image.fromarray(random_image(48, 48, 10 + k)).save(home / f"sets/A/{k}.png")
    (home / "sets/B/1.png").rename(home / "sets/B/other.png")
    assert main(words("all", "--scales", "4", steps=1)) == 0
    warned = [one for one in capsys.readouterr().out.splitlines() if one.startswith("warning")]
    assert warned == [
        "warning: 2 of 2 images of the test set B are among the training images; "
        "such scores say little about other images"
    ]


def test_what_is_done_is_not_done_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words("all", "--scales", "4")) == 0
    before = (home / "all/x4-seed0/evaluation/evaluation.json").stat().st_mtime_ns
    capsys.readouterr()
    assert main(words("all", "--scales", "4")) == 0
    said = capsys.readouterr().out
    assert "x4-seed0 is trained" in said and "x4-seed0 is evaluated" in said
    assert (home / "all/x4-seed0/evaluation/evaluation.json").stat().st_mtime_ns == before
    shutil.move(home / "all/x4-seed0/checkpoints", home / "away")  # as a record is kept
    assert main(words("all", "--scales", "4")) == 0
    assert "x4-seed0 is trained" in capsys.readouterr().out
    assert (home / "all/x4-seed0/evaluation/evaluation.json").stat().st_mtime_ns == before
    shutil.move(home / "away", home / "all/x4-seed0/checkpoints")
    # More steps: trained on, and evaluated anew.
    assert main(words("all", "--scales", "4", steps=4)) == 0
    assert (home / "all/x4-seed0/evaluation/evaluation.json").stat().st_mtime_ns > before


def test_tables_alone_are_of_what_is_there(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scales may have unequal numbers of seeds."""
    assert main(words("all", "--scales", "4")) == 0
    everything = words("all", "--scales", "2", "4", "--seeds", "0", "1", "--tables-only")
    capsys.readouterr()
    assert main(everything) == 0
    assert "training" not in capsys.readouterr().out
    assert tables(home / "all")["runs"] == ["x4-seed0"]
    assert not (home / "all/x2-seed0").exists() and not (home / "all/x4-seed1").exists()
    assert main(words("none", "--tables-only")) == 2
    assert (
        "nothing in none is evaluated with these settings; run again without --tables-only"
        in capsys.readouterr().err
    )
    assert not (home / "none").exists()


def test_metrics_can_be_chosen_and_others_are_measured_when_they_are_wanted(home: Path) -> None:
    few = words("all", "--scales", "4", "--metrics", "psnr_rgb")
    assert main(few) == 0
    assert [one["metric"] for one in tables(home / "all")["tables"]] == ["psnr_rgb"]
    assert "SSIM is not measured" in tables(home / "all")["notes"]
    before = (home / "all/x4-seed0/evaluation/evaluation.json").read_text()
    assert main(few) == 0
    assert (home / "all/x4-seed0/evaluation/evaluation.json").read_text() == before
    assert main([*few, "ssim"]) == 0
    assert [one["metric"] for one in tables(home / "all")["tables"]] == ["psnr_rgb", "ssim"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--scale", "4"), "fastsr reproduce decides about --scale; use --scales"),
        (("--seed", "4"), "use --seeds"),
        (("--variant", "ml"), "it trains an Independent, an ML and an ML* pair"),
        (("--resume",), "it goes on by itself"),
        (
            ("--temperature", "1", "2"),
            "--temperature is that of the ML* pair here; give one number",
        ),
        (("--blocks", "0"), "--blocks 0 cannot be used"),
        (("--patch", "90"), "--patch 90 cannot be used; use a multiple of the scale"),
        (("--sets", "A", "C"), "--sets C: no such folder, and --data-root sets holds A, B"),
        (("--sets", "A", "A"), "--sets names two sets called A; evaluate one at a time"),
        (("--perceptual-sets", "C"), "--perceptual-sets C is none of the test sets"),
        (("--scales",), "--scales and --seeds need at least one number each"),
        (("--data", "nothing"), "nothing does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_reproduced_is_said_before_anything_is_trained(
    home: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], message: str
) -> None:
    assert main(words("all", *more)) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (home / "all").exists()


def test_without_images_the_way_to_get_them_is_named(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "--data-root", "sets", "--sets", "A"]) == 2
    assert "fastsr data fetch div2k" in capsys.readouterr().err


def test_settings_of_a_run_that_has_begun_cannot_change(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words("all", "--scales", "4")) == 0
    assert main(words("all", "--scales", "4", "--lr", "0.5", steps=5)) == 2
    assert "--lr was 0.0001 in" in capsys.readouterr().err
