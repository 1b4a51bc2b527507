"""Fixtures of the tests of training."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from fastsr.config.settings import TrainConfig
from tests.images import random_image


@pytest.fixture
def config(tiny_config: TrainConfig, tmp_path: Path) -> TrainConfig:
    """The tiny configuration with images to train and validate on."""
    for name, count, side in (("train", 3, 40), ("val", 2, 41)):
        (tmp_path / name).mkdir()
        for k in range(count):
            Image.fromarray(random_image(side, side + 8, k)).save(tmp_path / name / f"{k}.png")
    return replace(
        tiny_config,
        images=replace(tiny_config.images, data=(tmp_path / "train",), val=(tmp_path / "val",)),
    )
