"""`fastsr train` and `fastsr doctor`: images, packs, weights and folders that cannot be used."""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fastsr.cli.main import train_config
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.data.images import find_images
from fastsr.data.pack import pack_images
from tests.fastsr.cli.command_line import (
    TINY,
    Fastsr,
    Trained,
    assert_one_line,
    save_images,
    write_nothing,
    write_text,
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
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{data}/text.png: is not an image, or is damaged" in outcome.out
    assert f"{data}/small.png: is 40x15, smaller than --patch 16" in outcome.out
    assert "5 images" in outcome.out


def test_doctor_says_what_is_missing_for_training(fastsr: Fastsr) -> None:
    outcome = fastsr("doctor", *TINY)
    assert (outcome.code, outcome.err) == (0, "")
    assert (
        "recipe demo: x2, 2 peers (ml), 1 blocks of 4 filters, batch 2 of 16x16, 3 steps"
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
    assert_one_line(
        outcome,
        f"the pack {pixels.parent} is damaged (100 bytes",
        "delete that folder and run again",
    )


def write_cut_archive(file: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, file)
    os.truncate(file, file.stat().st_size // 2)


def write_tensor(file: Path) -> None:
    torch.save(torch.zeros(3), file)


def write_other_weights(file: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3)}, file)


def write_other_shapes(file: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(3)}, file)


def write_numbers(file: Path) -> None:
    torch.save({"features.0.weight": 3}, file)


@pytest.mark.parametrize("name", ["vgg.pth", "vgg.safetensors"])
@pytest.mark.parametrize(
    "write",
    [
        write_text,
        write_nothing,
        write_cut_archive,
        write_tensor,
        write_other_weights,
        write_other_shapes,
        write_numbers,
    ],
    ids=["text", "empty", "cut", "tensor", "other weights", "other shapes", "numbers"],
)
def test_vgg_weights_that_are_none(
    fastsr: Fastsr, data: Path, tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)
    outcome = fastsr(
        "train",
        "--data",
        data,
        *TINY,
        "--content",
        "vgg22",
        "--vgg",
        tmp_path / name,
        "--out",
        "run",
    )
    assert_one_line(outcome, tmp_path / name, "pass --vgg FILE", "--content random-vgg")
    assert not Path("run").exists()


def test_missing_vgg_weights(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg54", "--vgg", "gone.pth")
    assert_one_line(outcome, "--vgg gone.pth does not exist", "--content random-vgg")


class Mischief:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("archive", [False, True], ids=["pickle", "archive of torch"])
def test_code_in_a_weight_file_is_not_run(
    fastsr: Fastsr, data: Path, tmp_path: Path, archive: bool
) -> None:
    weights, folder = tmp_path / "vgg.pth", tmp_path / "made"
    if archive:
        torch.save({"features.0.weight": Mischief(folder)}, weights)
        torch.load(weights, weights_only=False)
    else:
        weights.write_bytes(pickle.dumps(Mischief(folder), protocol=2))
        pickle.loads(weights.read_bytes())
    folder.rmdir()  # it was made: the file does run code where it is let to
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg22", "--vgg", weights)
    assert_one_line(outcome, f"--vgg {weights} cannot be read as weights")
    assert not folder.exists()


def test_vgg_weights_without_a_network(fastsr: Fastsr, data: Path) -> None:
    outcome = fastsr("train", "--data", data, *TINY, "--content", "vgg54", "--out", "run")
    assert outcome.code == 2
    last = outcome.err.splitlines()[-1]
    assert last.startswith("fastsr: the VGG19 weights cannot be fetched (")
    assert all(
        remedy in last
        for remedy in ("pass --vgg FILE", "connect to the network", "--content random-vgg")
    )
    assert not Path("run").exists()


def test_damaged_vgg_weights_in_the_cache_of_torch(
    fastsr: Fastsr, data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "torch/hub/checkpoints/vgg19-dcbb9e9d.pth"
    file.parent.mkdir(parents=True)
    file.write_text("half a download")
    assert_one_line(fastsr("train", "--data", data, *TINY, "--content", "vgg54"), file)


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
