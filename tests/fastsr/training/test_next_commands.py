"""The commands that are printed after a training: they have to work for its images."""

from pathlib import Path

import pytest

from fastsr.config.degrade import DegradeConfig
from fastsr.config.settings import ImagesConfig, ModelConfig, TrainConfig
from fastsr.evaluation.command import evaluation_command

LIGHT = DegradeConfig(degrade="light")


@pytest.mark.parametrize(
    ("config", "ends"),
    [
        (TrainConfig(), "--sets Set5 Set14"),
        (TrainConfig(model=ModelConfig(channels=1)), "--sets Set5 Set14"),
        (TrainConfig(model=ModelConfig(channels=4)), "--sets FOLDER"),
        (TrainConfig(degrade=LIGHT), "--sets Set5 Set14 --degrade 'my runs/a/config.toml'"),
        (
            TrainConfig(model=ModelConfig(scale=1, channels=13), degrade=LIGHT),
            "--sets FOLDER --degrade 'my runs/a/config.toml'",
        ),
        (
            TrainConfig(model=ModelConfig(scale=1), images=ImagesConfig(lr_data=(Path("soft"),))),
            "--sets FOLDER --lr given",
        ),
    ],
)
def test_the_evaluation_fits_what_was_trained(config: TrainConfig, ends: str) -> None:
    assert evaluation_command(config, Path("my runs/a")) == f"fastsr eval 'my runs/a' {ends}"
