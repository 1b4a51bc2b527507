"""What is said before training where images or settings are hardly meant."""

import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from fastsr.cohort.content import PixelContent
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.training.setup import prepare
from fastsr.training.train import train
from tests.fastsr.training.training_cases import quiet


def said(config: TrainConfig) -> list[str]:
    """Lines of warning, and of what is left out, before the first step."""
    console = Console(width=400, record=True, file=StringIO())
    prepare(config, console).run.close()
    lines = console.export_text().splitlines()
    return [line for line in lines if line.startswith(("warning", "images that fastsr made"))]


def test_nothing_is_said_of_what_is_well(config: TrainConfig) -> None:
    assert said(config) == []


def test_validation_images_that_are_trained_on(config: TrainConfig, tmp_path: Path) -> None:
    """Known by their pixels, in another file of another format; validation crops to a multiple of the scale."""
    with Image.open(tmp_path / "train/1.png") as image:
        image.crop((0, 0, 47, 39)).save(tmp_path / "train/odd.bmp")
    shutil.copy(tmp_path / "train/odd.bmp", tmp_path / "val/other.bmp")
    assert said(config) == [
        "warning: 1 of 3 images of --val is among the training images; "
        "such scores say little about other images"
    ]


def test_images_that_are_there_twice(config: TrainConfig, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "train/0.png", tmp_path / "train/again.png")
    (line,) = said(config)
    assert line == (
        "warning: 1 of 4 images in --data is there more than once and drawn more often, "
        f"such as {tmp_path}/train/again.png, which is {tmp_path}/train/0.png"
    )


def test_black_images_are_warned_of_and_a_dead_loss_is_refused_on_them_too(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a night sky: nothing on them shows whether losses are alive."""
    for path in (tmp_path / "train").iterdir():
        Image.new("RGB", (48, 48)).save(path)
    assert "warning: 8 batches have hardly a patch with anything on it to learn from" in said(
        config
    )
    shutil.rmtree(tmp_path / "run")
    monkeypatch.setattr(PixelContent, "forward", lambda _, hr, sr: 0 * (hr - sr).sum())
    with pytest.raises(UserError, match="gradient of zero"):
        said(config)


@pytest.mark.parametrize("where", ["runs/mine", ""], ids=["below", "itself"])
def test_a_run_inside_the_data_can_be_resumed(
    config: TrainConfig, tmp_path: Path, where: str
) -> None:
    out = tmp_path / "train" / where
    first = replace(config, output=replace(config.output, out=out))
    run = train(first, quiet())
    assert len(list(run.pictures.iterdir())) == 3
    again = replace(
        first,
        optim=replace(config.optim, steps=7),
        output=replace(first.output, resume=True),
    )
    (line,) = said(again)
    assert line == f"images that fastsr made are left out: {run.pictures} (3)"
