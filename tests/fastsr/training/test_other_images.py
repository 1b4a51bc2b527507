"""Training on images of other channels and bits, and at x1: from files to a model that enlarges."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.config.check import check
from fastsr.config.networks import ModelConfig
from fastsr.config.presets import preset
from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.inference.deep import write_png
from fastsr.inference.upscaler import load
from fastsr.models.tensors import load_tensors
from fastsr.training.run import Run, resume_config
from fastsr.training.sources import open_validation
from fastsr.training.train import train
from tests.fastsr.training.training_cases import quiet, rows
from tests.images import random_image


def save(pixels: np.ndarray, file: Path) -> None:
    """An image of as many channels and bits as an array has."""
    if pixels.shape[2] > 4:
        np.save(file.with_suffix(".npy"), pixels)
    elif pixels.dtype == np.uint16:
        with file.open("wb") as opened:
            write_png(opened, pixels, None, None)
    else:
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file)


def folders(folder: Path, channels: int, bits: int, side: int = 64) -> dict[str, tuple[Path, ...]]:
    for name, count in (("train", 3), ("val", 1)):
        (folder / name).mkdir()
        for k in range(count):
            rgb = random_image(side, side + 6, k)
            pixels = np.concatenate([rgb, rgb[::-1], rgb[:, ::-1]], 2)[..., :channels]
            wide = pixels.astype(np.uint16) * 257 + np.arange(side, dtype=np.uint16)[:, None, None]
            save(wide if bits == 16 else pixels, folder / name / f"{k}.png")
    return {"data": (folder / "train",), "val": (folder / "val",)}


CASES: dict[str, tuple[dict[str, Any], int, str]] = {
    "grey": ({"channels": 1}, 8, "bicubic"),
    "RGBA": ({"channels": 4, "generator": "msrresnet", "discriminator": "unet"}, 8, "bicubic"),
    "RGB of 16 bits": ({"generator": "compact"}, 16, "bicubic"),
    "planes degraded": ({"channels": 5, "scale": 1, "generator": "rrdb", "growth": 4}, 16, "light"),
}


def case(config: TrainConfig, folder: Path, name: str) -> TrainConfig:
    model, bits, degrade = CASES[name]
    channels = model.get("channels", 3)
    # EMA statistics are of 400 patches, in batches of this size.
    images = replace(config.images, batch=16, bits=bits, **folders(folder, channels, bits))
    changed: ModelConfig = replace(config.model, **model)
    return replace(
        config,
        images=images,
        model=changed,
        degrade=replace(preset(degrade), context=8),
        optim=replace(config.optim, steps=2, pretrain_steps=1),
    )


@pytest.mark.parametrize("name", CASES)
def test_trains_and_enlarges(tiny_config: TrainConfig, tmp_path: Path, name: str) -> None:
    config = case(tiny_config, tmp_path, name)
    run = train(config, quiet())
    assert np.isfinite(rows(run, "train")[-1]["peers"][0]["content"])
    assert rows(run, "validation")
    upscaler = load(run.folder, device="cpu")
    channels, dtype = config.model.channels, np.uint16 if config.images.bits == 16 else np.uint8
    large = upscaler(np.zeros((8, 9, channels), dtype))
    scale = config.model.scale
    assert large.shape == (8 * scale, 9 * scale, channels)
    assert large.dtype == dtype


def test_resumes_exactly(tiny_config: TrainConfig, tmp_path: Path) -> None:
    config = case(tiny_config, tmp_path, "grey")
    longer = replace(config.optim, steps=4)
    whole = train(
        replace(config, optim=longer, output=replace(config.output, out=tmp_path / "whole")),
        quiet(),
    )
    first = train(config, quiet())
    run = train(replace(resume_config(first.folder, config), optim=longer), quiet())
    for k in range(2):
        a, b = (
            load_tensors(latest(one) / f"peer-{k}-generator.safetensors") for one in (whole, run)
        )
        assert all(torch.equal(a[name], b[name]) for name in a)


def latest(run: Run) -> Path:
    folder = run.latest()
    assert folder
    return folder


def test_validation_at_x1_is_on_degraded_images(tiny_config: TrainConfig, tmp_path: Path) -> None:
    """Not on images to which nothing was done; given pairs need low resolutions to validate on."""
    config = case(tiny_config, tmp_path, "planes degraded")
    (pair,) = open_validation(config)
    assert pair.lr.shape == pair.hr.shape
    assert pair.lr.dtype == torch.uint16
    assert 0 < (pair.lr.double() - pair.hr.double()).abs().mean() / 257 < 20
    given = replace(config.images, lr_data=config.images.data)
    with pytest.raises(UserError, match="--val cannot be used at --scale 1"):
        check(replace(config, images=given, degrade=preset("bicubic")))


def test_images_of_other_channels_are_all_listed(tiny_config: TrainConfig, tmp_path: Path) -> None:
    config = case(tiny_config, tmp_path, "grey")
    config = replace(config, model=replace(config.model, channels=4))
    with pytest.raises(UserError) as error:
        train(config, quiet())
    assert str(error.value).startswith("3 of 3 images cannot be used")
    assert "has 1 channel, not 4" in str(error.value)
