"""Files of the wrong kind, names of the wrong length, and folders that may not be read or written."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fastsr.cli.configuration import train_config
from fastsr.config.recipes import demo, paper
from fastsr.data.images import find_images, read_rgb8
from fastsr.errors import UserError
from tests.fastsr.cli.command_line import TINY, Fastsr, Trained, assert_one_line, save_images
from tests.permissions import as_nobody, common_folder


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def device(_: Path) -> Path:
    return Path("/dev/zero")


ODD = pytest.mark.parametrize("make", [pipe, folder, device])


@ODD
@pytest.mark.parametrize("command", ["train", "doctor"])
def test_settings_are_read_from_regular_files_only(
    fastsr: Fastsr, tmp_path: Path, command: str, make: Callable[[Path], Path]
) -> None:
    file = make(tmp_path / "settings.toml")
    assert_one_line(fastsr(command, "--config", file), f"--config {file} cannot be read: ")


@ODD
def test_images_are_read_from_regular_files_only(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    file = make(tmp_path / "x.png")
    with pytest.raises(UserError, match=r"is a folder|is no regular file"):
        read_rgb8(file)


@pytest.mark.parametrize("make", [pipe, device])
def test_sources_of_images_are_folders_and_regular_files(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    file = make(tmp_path / "x.png")
    with pytest.raises(UserError, match=f"{file} is neither a folder nor a regular file"):
        find_images((file,))


def test_a_pipe_among_images_is_named(fastsr: Fastsr, data: Path) -> None:
    pipe(data / "pipe.png")
    outcome = fastsr("train", "--data", data, *TINY, "--out", "run")
    assert outcome.code == 2 and f"{data / 'pipe.png'}: is no regular file" in outcome.err
    assert not Path("run").exists()


def test_an_image_that_several_sources_hold_counts_once(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    once = find_images((data,))
    assert find_images((data, data, tmp_path / "link", data / "0.png")) == once
    assert find_images((data / "2.png", data)) == [once[2], *once[:2]]


def test_a_folder_that_cannot_be_read_is_not_passed_over() -> None:
    with common_folder() as images:
        save_images(images / "shown", 1)
        save_images(images / "closed", 1).chmod(0)
        with as_nobody(), pytest.raises(UserError, match="closed cannot be read"):
            find_images((images,))


@pytest.mark.parametrize(("recipe", "expected"), [("paper", paper()), ("demo", demo())])
def test_a_file_may_name_the_recipe(tmp_path: Path, recipe: str, expected: object) -> None:
    (tmp_path / "a.toml").write_text(f'recipe = "{recipe}"\n')
    assert train_config(["--config", str(tmp_path / "a.toml")]) == expected


def test_a_recipe_that_there_is_not_is_refused(fastsr: Fastsr, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('recipe = "foo"\n')
    message = f'{tmp_path}/a.toml: recipe = "foo" cannot be used; use one of paper, demo'
    assert_one_line(fastsr("train", "--config", tmp_path / "a.toml"), message)


@pytest.mark.parametrize("length", [253, 255])
def test_names_that_grow_too_long_are_named(
    fastsr: Fastsr, trained: Trained, tmp_path: Path, length: int
) -> None:
    name = "n" * (length - 4) + ".png"
    Image.new("RGB", (20, 20)).save(tmp_path / name)
    outcome = fastsr("upscale", trained.folder, tmp_path / name, "--out", tmp_path / "out")
    assert_one_line(outcome, "File name too long")


def test_a_run_that_stopped_before_its_first_checkpoint_is_continued(
    fastsr: Fastsr, run: Path
) -> None:
    """As where a disk was full: whoever follows the advice to use --resume gets the run that was meant."""
    begun = Path(shutil.copytree(run, "runs/begun"))
    shutil.rmtree(begun / "checkpoints")
    outcome = fastsr("train", "--resume")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"done: step 3 of 3. Everything is in {begun}" in outcome.out


def test_a_run_that_may_not_be_written_is_named_on_resume(
    fastsr: Fastsr, trained: Trained, tmp_path: Path
) -> None:
    with common_folder() as place:
        run = Path(shutil.copytree(trained.folder, place / "run"))
        for path in (run, *run.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with as_nobody():
            outcome = fastsr("train", "--resume", run, "--steps", 3)
        assert_one_line(outcome, run, "cannot be written (Permission denied)")


SIZES = {
    "train": [
        "--filters 100000",
        "--blocks 1000000000",
        "--peers 100000",
        "--discriminator-filters 100000",
    ],
    "doctor": ["--filters 100000", "--blocks 1000000000", "--filters 16384 --blocks 64"],
    "reproduce": ["--filters 100000", "--blocks 1000000000"],
}


@pytest.mark.parametrize(
    ("command", "words"), [(command, words) for command in SIZES for words in SIZES[command]]
)
def test_sizes_that_no_machine_has_room_for(
    fastsr: Fastsr, data: Path, command: str, words: str
) -> None:
    outcome = fastsr(command, "--data", data, "--device", "cpu", "--out", "run", *words.split())
    assert_one_line(outcome, f"{words.split()[0]} ", "cannot be used")
    assert not Path("run").exists()


@pytest.mark.parametrize("words", ["--scales 2 2", "--seeds 1 0 1"])
def test_a_reproduction_names_each_run_once(fastsr: Fastsr, data: Path, words: str) -> None:
    outcome = fastsr("reproduce", "--data", data, *words.split())
    assert_one_line(outcome, f"{words} names a run twice; give each number once")


def test_a_missing_folder_of_metric_weights_is_said_as_such(
    fastsr: Fastsr, trained: Trained
) -> None:
    outcome = fastsr("eval", trained.folder, "--sets", trained.data, "--metric-weights", "nope")
    assert_one_line(outcome, "--metric-weights nope is no folder")


@pytest.mark.parametrize(
    ("program", "problem"), [("no-such-compiler", "CXX=no-such-compiler is not found"), ("false", "false fails")]
)  # fmt: skip
def test_compiling_without_a_compiler_is_refused_before_training(
    fastsr: Fastsr, data: Path, monkeypatch: pytest.MonkeyPatch, program: str, problem: str
) -> None:
    monkeypatch.setenv("CXX", program)
    outcome = fastsr("train", "--data", data, *TINY, "--out", "run", "--compile")
    assert_one_line(outcome, "--compile cannot be used", problem, "or leave out --compile")
    assert not Path("run").exists()
