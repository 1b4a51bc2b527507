"""Models of other channels than RGB: grey ones on colours, and planes in files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.errors import UserError
from fastsr.facts import read_facts
from fastsr.inference.files import enlarge_files, plan
from fastsr.inference.picture import read_picture
from fastsr.inference.sources import Source
from fastsr.inference.upscaler import load
from fastsr.models import SRResNet
from fastsr.models.enlarge import Enlarge
from fastsr.models.model_file import save_generator
from tests.images import random_image


def model_of(folder: Path, channels: int, scale: int = 2, detail: float = 0.3) -> Path:
    """A file of a generator that adds details of that size to bicubic."""
    torch.manual_seed(channels)
    generator = SRResNet(scale, blocks=1, filters=4, skip="bicubic", channels=channels)
    with torch.no_grad():
        generator.get_parameter("output_conv.weight").mul_(detail)
    file = folder / f"c{channels}x{scale}.safetensors"
    save_generator(generator.eval(), file)
    return file


def test_a_model_of_grey_enlarges_brightness_and_bicubic_the_rest(tmp_path: Path) -> None:
    image = torch.rand(1, 3, 12, 10)
    upscaler = fastsr.load(model_of(tmp_path, 1), device="cpu")
    large = upscaler.engine.colours(image)
    bicubic = Enlarge(2, "bicubic")(image)
    shares = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    added = large - bicubic
    assert torch.allclose(added, added[:, :1].expand(-1, 3, -1, -1), atol=1e-6)
    brightness = upscaler.engine.colours((image * shares).sum(1, keepdim=True))
    assert torch.allclose((large * shares).sum(1, keepdim=True), brightness, atol=1e-6)
    assert added.abs().max() > 1e-3


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_a_model_of_grey_takes_any_picture(tmp_path: Path, mode: str) -> None:
    pixels = Image.fromarray(random_image(12, 10))
    image = (
        Image.fromarray(random_image(12, 10)[..., 0].astype(np.uint16) * 257)
        if mode == "I;16"
        else pixels.convert(mode)
    )
    large = fastsr.load(model_of(tmp_path, 1), device="cpu")(image)
    assert (large.mode, large.size) == (mode, (20, 24))


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_other_models_take_just_their_channels(tmp_path: Path, channels: int) -> None:
    file = model_of(tmp_path, channels)
    assert read_facts(file).channels == channels
    upscaler = load(file, device="cpu")
    assert upscaler(np.zeros((6, 7, channels), np.uint8)).shape == (12, 14, channels)
    with pytest.raises(UserError, match=f"has 3 channels, and the model takes {channels}"):
        upscaler(np.zeros((6, 7, 3), np.uint8))


def test_planes_come_back_in_the_files_that_they_came_in(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 65536, (6, 7, 5)).astype(np.uint16)
    np.save(tmp_path / "a.npy", planes)
    first, *others = (Image.fromarray(planes[..., c].copy()) for c in range(5))
    first.save(tmp_path / "b.tif", save_all=True, append_images=others)
    sources = [Source(tmp_path / name, Path(name)) for name in ("a.npy", "b.tif")]
    upscaler = load(model_of(tmp_path, 5), device="cpu")
    outcome = enlarge_files(upscaler, plan(sources, tmp_path / "out", 2, None), tmp_path / "out")
    assert not outcome.bad
    want = upscaler(planes)
    assert np.array_equal(np.load(tmp_path / "out" / "a-x2.npy"), want)
    with Image.open(tmp_path / "out" / "b-x2.tif") as large:
        for c in range(5):
            large.seek(c)
            assert np.array_equal(np.array(large), want[..., c])


def test_planes_that_a_file_cannot_hold_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((6, 7, 5), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((6, 7, 4), np.uint8))
    sources = [Source(tmp_path / name, Path(name)) for name in ("a.npy", "b.npy")]
    upscaler = load(model_of(tmp_path, 5), device="cpu")
    outcome = enlarge_files(upscaler, plan(sources, tmp_path / "out", 2, "png"), tmp_path / "out")
    assert "planes that png cannot keep" in outcome.bad[tmp_path / "a.npy"]
    assert "has 4 channels, and the model takes 5" in outcome.bad[tmp_path / "b.npy"]


def test_a_cmyk_file_is_no_picture_for_a_model_of_four_channels(tmp_path: Path) -> None:
    file = tmp_path / "print.tif"
    Image.new("CMYK", (7, 6)).save(file)
    with pytest.raises(UserError, match=r"is CMYK.*\.npy array"):
        read_picture(file, 4)
    assert read_picture(file).pixels.shape == (6, 7, 3)


def test_models_of_different_channels_do_not_go_together(tmp_path: Path) -> None:
    folder = tmp_path / "step-00000001"
    folder.mkdir()
    for k, channels in enumerate((1, 3)):
        model_of(tmp_path, channels).rename(folder / f"peer-{k}-ema.safetensors")
    with pytest.raises(UserError, match="is for 3 channels"):
        load(folder, device="cpu", peer="ensemble")
