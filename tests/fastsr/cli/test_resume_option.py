"""`fastsr train --resume`: which run is meant, what may change, and runs that are damaged."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from fastsr.cli.main import train_config
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.errors import UserError
from tests.fastsr.cli.command_line import TINY, Fastsr, Trained, assert_one_line, checkpoint

UNLIKE: list[tuple[str, str]] = [
    ("--lr 3e-4", "--lr was 0.0001 in {run} and is 0.0003 now"),
    ("--batch 4", "--batch was 2 in {run} and is 4 now"),
    ("--peers 3", "--peers was 2 in {run} and is 3 now"),
    ("--no-augment", "--augment was True in {run} and is False now"),
    ("--pretrain-steps 2", "--pretrain-steps was 1 in {run} and is 2 now"),
]


@pytest.mark.parametrize(("words", "message"), UNLIKE, ids=[words for words, _ in UNLIKE])
def test_resume_with_a_changed_setting(fastsr: Fastsr, run: Path, words: str, message: str) -> None:
    outcome = fastsr("train", "--resume", run, *words.split())
    assert_one_line(
        outcome,
        message.format(run=run),
        "leave it as it was, or start a new run with another --out",
    )


def test_resume_with_other_images_of_the_same_sizes(
    fastsr: Fastsr, run: Path, trained: Trained, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for path in sorted(trained.data.iterdir()):
        with Image.open(path) as image:
            ImageOps.invert(image.convert("RGB")).save(other / path.name)
    outcome = fastsr("train", "--resume", run, "--data", other)
    assert_one_line(outcome, f"the images are not those that {run} was trained on")


def test_resume_with_moved_images_and_again_with_what_was_asked_then(
    fastsr: Fastsr, run: Path, trained: Trained, tmp_path: Path
) -> None:
    """Images are known by their pixels; what is asked for on the first resume holds for the second."""
    moved = Path(shutil.copytree(trained.data, tmp_path / "moved"))
    outcome = fastsr("train", "--resume", run, "--data", moved, "--steps", 6, "--val", moved)
    assert (outcome.code, outcome.err) == (0, "")
    shutil.rmtree(sorted((run / "checkpoints").iterdir())[-1])
    outcome = fastsr("train", "--resume", run)
    assert (outcome.code, outcome.err) == (0, "")
    assert "done: step 7 of 7" in outcome.out
    config = from_toml(run / "config.toml", TrainConfig())
    assert (config.optim.steps, config.images.val, config.images.data) == (6, (moved,), (moved,))


def test_resume_with_a_config_file(fastsr: Fastsr, run: Path, tmp_path: Path) -> None:
    (tmp_path / "more.toml").write_text("[optim]\nsteps = 5\n")
    outcome = fastsr("train", "--resume", run, "--config", tmp_path / "more.toml")
    assert (outcome.code, outcome.err) == (0, "")
    assert "done: step 6 of 6" in outcome.out


def test_resume_with_other_images_in_the_folder(
    fastsr: Fastsr, tmp_path: Path, data: Path, trained: Trained
) -> None:
    run = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    config = (run / "config.toml").read_text()
    (run / "config.toml").write_text(config.replace(str(trained.data), str(data)))
    Image.new("RGB", (50, 50)).save(data / "9.png")
    outcome = fastsr("train", "--resume", run)
    assert_one_line(
        outcome,
        f"the images are not those that {run} was trained on; restore them, or start a new run",
    )


def test_resume_without_any_run(fastsr: Fastsr) -> None:
    outcome = fastsr("train", "--resume")
    assert_one_line(outcome, "--resume: there is no run in runs/; name one with --out RUN")


def test_resume_of_a_run_that_is_not_there_trains_no_demonstration() -> None:
    """With images it starts the run, so that a command can be given again and again; a name alone is a slip."""
    with pytest.raises(UserError, match="runs/typo"):
        train_config(["--resume", "runs/typo"])


def test_resume_starts_a_run_where_there_is_none(fastsr: Fastsr, data: Path) -> None:
    words = ["--resume", "--out", "new", "--data", data, *TINY]
    config = train_config([str(word) for word in words])
    assert (config.output.out, config.output.resume) == (Path("new"), True)
    assert (config.recipe, config.images.data, config.model.blocks) == ("paper", (data,), 1)
    outcome = fastsr("train", *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert checkpoint(Path("new")).name == "step-00000003"


def cut_file(name: str) -> Callable[[Path], Path]:
    def cut(run: Path) -> Path:
        os.truncate(checkpoint(run) / name, 20)
        return checkpoint(run)

    return cut


def remove_file(name: str) -> Callable[[Path], Path]:
    def remove(run: Path) -> Path:
        (checkpoint(run) / name).unlink()
        return checkpoint(run)

    return remove


def cut_config(run: Path) -> Path:
    os.truncate(run / "config.toml", 30)
    return run / "config.toml"


def remove_config(run: Path) -> Path:
    (run / "config.toml").unlink()
    return run / "config.toml"


@pytest.mark.parametrize(
    "harm",
    [
        cut_file("state.json"),
        remove_file("state.json"),
        cut_file("peer-1-discriminator.safetensors"),
        remove_file("peer-0-generator-adam.safetensors"),
        cut_file("metrics-ring.safetensors"),
        cut_config,
        remove_config,
    ],
    ids=[
        "state cut",
        "state gone",
        "weights cut",
        "Adam gone",
        "metrics cut",
        "config cut",
        "config gone",
    ],
)
def test_resume_of_a_damaged_run(fastsr: Fastsr, run: Path, harm: Callable[[Path], Path]) -> None:
    named = harm(run)
    outcome = fastsr("train", "--resume", run)
    assert_one_line(outcome, named)
    assert "--config" not in outcome.err  # nobody gave that option


def test_resume_continues_with_more_steps(fastsr: Fastsr, run: Path) -> None:
    outcome = fastsr("train", "--resume", run, "--steps", "3")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"continuing {run} at step 3" in outcome.out
    assert f"done: step 4 of 4. Everything is in {run}" in outcome.out
    assert (run / "checkpoints/step-00000004").is_dir()


def test_resume_with_fewer_steps_than_done_is_no_success_beyond_the_end(
    fastsr: Fastsr, run: Path
) -> None:
    outcome = fastsr("train", "--resume", run, "--steps", "1")
    assert_one_line(outcome, f"{run} is at step 3 already; give more than --steps 1")
    assert "done" not in outcome.out


def test_resume_of_one_run_into_another_folder_is_a_contradiction(trained: Trained) -> None:
    with pytest.raises(UserError, match="--out other"):
        train_config(["--resume", str(trained.folder), "--out", "other"])


def test_resume_names_the_run_in_three_ways(trained: Trained) -> None:
    name = str(trained.folder)
    saved = from_toml(trained.folder / "config.toml", TrainConfig())
    expected = replace(saved, output=replace(saved.output, out=trained.folder, resume=True))
    assert train_config(["--resume", name]) == expected
    assert train_config([f"--resume={name}"]) == expected
    assert train_config(["--resume", "--out", name]) == expected
    assert train_config(["--out", name, "--resume"]) == expected


def test_a_resumed_run_goes_before_the_recipe_and_options_before_it(trained: Trained) -> None:
    config = train_config(
        ["--resume", str(trained.folder), "--recipe", "demo", "--steps", "9", "--keep", "1"]
    )
    assert (config.optim.steps, config.output.keep) == (9, 1)
    assert (config.recipe, config.images.data, config.model.blocks) == ("paper", (trained.data,), 1)


def test_a_run_that_was_moved_is_resumed_where_it_is(run: Path) -> None:
    assert train_config(["--resume", str(run)]).output.out == run


def test_resume_without_a_name_takes_the_latest_run(run: Path) -> None:
    for name, time in (("old", 1_000), ("new", 3_000), ("older", 500)):
        copy = Path(shutil.copytree(run, f"runs/{name}"))
        os.utime(checkpoint(copy), (time, time))
    assert train_config(["--resume"]).output.out == Path("runs/new")


@pytest.mark.parametrize("flag", [[], ["--resume"]], ids=["new", "resumed"])
def test_options_read_early_are_found_in_the_configuration(
    trained: Trained, flag: list[str]
) -> None:
    config = train_config(["--out", str(trained.folder), *flag])
    assert config.output.out == trained.folder
    assert config.output.resume == bool(flag)
