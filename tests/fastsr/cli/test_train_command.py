"""`fastsr train` and `fastsr doctor`: images, packs and folders that cannot be used."""

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from fastsr.data.images import find_images
from fastsr.data.pack import pack_images
from tests.fastsr.cli.command_line import (
    TINY,
    Fastsr,
    Trained,
    assert_one_line,
    save_images,
)


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_a_missing_data_folder(fastsr: Fastsr, command: str) -> None:
    outcome = fastsr(command, *TINY, "--data", "gone")
    assert_one_line(outcome, "gone does not exist; give a folder of images, or an image file")


@pytest.mark.parametrize("command", ["train", "doctor"])
def test_a_data_folder_without_images(fastsr: Fastsr, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    assert_one_line(
        fastsr(command, *TINY, "--data", "empty"), "empty holds no image", "give another folder"
    )


@pytest.mark.parametrize(
    "words", ["train --data", "eval {run} --sets", "train --data {data} --val"]
)
def test_an_option_for_folders_without_any(fastsr: Fastsr, trained: Trained, words: str) -> None:
    """An empty list, such as a shell's unset variable leaves: not a wish for a demonstration."""
    given = [word.format(run=trained.folder, data=trained.data) for word in words.split()]
    outcome = fastsr(*given, *(TINY if given[0] == "train" else ()))
    assert outcome.code == 2
    assert given[-1] in outcome.err


def test_one_error_lists_all_unusable_images(fastsr: Fastsr, data: Path) -> None:
    (data / "text.png").write_text("no image")
    whole = (data / "0.png").read_bytes()
    (data / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (40, 15)).save(data / "small.png")
    outcome = fastsr("train", "--data", data, *TINY, "--out", "run")
    assert outcome.code == 2
    first, *lines = outcome.err.splitlines()
    assert first == "fastsr: 3 of 6 images cannot be used; mend them or pass --skip-bad:"
    assert [line.strip().partition(": ")[0] for line in lines] == [
        str(data / name) for name in ("cut.png", "text.png", "small.png")
    ]
    assert not Path("run").exists()


def test_doctor_lists_the_images_that_training_would_refuse(fastsr: Fastsr, data: Path) -> None:
    (data / "text.png").write_text("no image")
    Image.new("RGB", (40, 15)).save(data / "small.png")
    outcome = fastsr("doctor", "--data", data, *TINY)
    assert (outcome.code, outcome.err) == (1, "")
    assert f"{data}/text.png: is not an image, or is damaged" in outcome.out
    assert f"{data}/small.png: is 40x15, smaller than --patch 16" in outcome.out
    assert "3 of 5" in outcome.out


def test_doctor_says_what_is_missing_for_training(fastsr: Fastsr) -> None:
    outcome = fastsr("doctor", *TINY)
    assert (outcome.code, outcome.err) == (0, "")
    assert (
        "recipe demo: x2, 2 peers (ml), 1 block of 4 filters, batch 2 of 16x16, 3 steps"
        in re.sub(r" +", " ", outcome.out)
    )


def test_no_image_is_left(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--patch", "48", "--skip-bad")
    assert_one_line(
        outcome, "no image is left to train on; give another folder or a smaller --patch"
    )


def test_images_smaller_than_a_patch(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--patch", "48")
    assert outcome.code == 2
    assert outcome.err.startswith("fastsr: 3 of 3 images cannot be used")
    assert outcome.err.count("is 44x40, smaller than the 48 pixels that a patch needs") == 3


def test_validation_images_too_small_or_unreadable(
    fastsr: Fastsr, data: Path, tmp_path: Path
) -> None:
    val = save_images(tmp_path / "val", 2, height=14)
    (val / "text.png").write_text("no image")
    outcome = fastsr("train", "--data", data, "--val", val, *TINY, "--out", "run")
    assert outcome.code == 2
    first, *lines = outcome.err.splitlines()
    assert first == "fastsr: 3 test images cannot be used; mend or remove them:"
    assert lines[:2] == [f"  {val}/{k}.png: is 44x14, too small to compare at x2" for k in range(2)]
    assert lines[2] == f"  {val}/text.png: is not an image, or is damaged"
    assert not Path("run").exists()


def test_a_missing_validation_folder(fastsr: Fastsr, data: Path) -> None:
    assert_one_line(fastsr("train", "--data", data, "--val", "gone", *TINY), "gone does not exist")


def test_a_cache_that_cannot_be_written(fastsr: Fastsr, data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = fastsr("train", "--data", data, *TINY, "--cache", tmp_path / "file")
    assert_one_line(
        outcome, f"cannot write the pack in {tmp_path}/file/packs", "give another --cache folder"
    )


def test_a_damaged_pack(fastsr: Fastsr, data: Path, tmp_path: Path) -> None:
    pack_images(find_images((data,)), minimum_side=16, cache=tmp_path / "packed")
    (pixels,) = (tmp_path / "packed").rglob("pixels.bin")
    os.truncate(pixels, 100)
    outcome = fastsr("train", "--data", data, *TINY, "--cache", tmp_path / "packed")
    assert (outcome.code, outcome.err) == (0, "")
    (said,) = [line for line in outcome.out.splitlines() if line.startswith("the pack ")]
    assert said.startswith(f"the pack {pixels.parent} is damaged (100 bytes")
    assert said.endswith("; its images are packed again")
