"""`fastsr.load`: what goes in comes out larger, as the same kind."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

import fastsr
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.config.toml import to_toml
from fastsr.models.model_file import save_generator
from tests.fastsr.inference.conftest import small_generator
from tests.images import random_image


@pytest.fixture
def upscaler(model: Path) -> "fastsr.Upscaler":
    return fastsr.load(str(model), device="cpu")


def test_facts_of_the_model(upscaler: "fastsr.Upscaler", model: Path) -> None:
    assert (upscaler.scale, upscaler.device, upscaler.tile) == (2, torch.device("cpu"), None)
    assert (upscaler.info.file, upscaler.info.architecture) == (model, "fastsr.SRResNet")
    assert upscaler.info.parameters == sum(one.numel() for one in small_generator().parameters())
    assert upscaler.to("cpu") is upscaler


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "P", "CMYK", "1"])
def test_pillow_images(upscaler: "fastsr.Upscaler", mode: str) -> None:
    photo = Image.fromarray(random_image(10, 13))
    image = Image.fromarray(np.full((10, 13), 500, np.uint16)) if mode == "I;16" else photo.convert(mode)  # fmt: skip
    image.info["icc_profile"] = b"odd"
    large = upscaler(image)
    assert large.mode == {"P": "RGB", "CMYK": "RGB", "1": "L"}.get(mode, mode)
    assert large.size == (26, 20) and ("icc_profile" in large.info) == (mode != "CMYK")


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", ">u2", "float16", "float32", "float64"])
def test_arrays(upscaler: "fastsr.Upscaler", channels: int | None, dtype: str) -> None:
    photo = np.concatenate([random_image(10, 13), random_image(10, 13, 1)[..., :1]], 2)
    top = {"uint8": 1, "uint16": 257, ">u2": 257}.get(dtype, 1 / 255)
    image = (photo[..., 0] if channels is None else photo[..., :channels]).astype(float) * top
    large = upscaler(image.astype(dtype))
    assert large.dtype == np.dtype(dtype).newbyteorder("=")
    assert large.shape == (20, 26, *image.shape[2:])
    want = upscaler((image / top).astype(np.uint8)).astype(float)
    assert np.abs(large.astype(float) / top - want).max() <= 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
def test_tensors(upscaler: "fastsr.Upscaler", dtype: torch.dtype) -> None:
    photos = torch.from_numpy(np.stack([random_image(10, 13, k) for k in range(2)]))
    x = photos.permute(0, 3, 1, 2)
    large = upscaler(x if dtype == torch.uint8 else (x / 255).to(dtype))
    assert (large.shape, large.dtype) == ((2, 3, 20, 26), dtype)
    unit = large.float() / (255 if dtype == torch.uint8 else 1)
    want = torch.from_numpy(upscaler(photos[1].numpy())).permute(2, 0, 1) / 255
    assert (unit[1] - want).abs().max() <= (0.06 if dtype == torch.bfloat16 else 1 / 255)


def test_views_that_numpy_flips(upscaler: "fastsr.Upscaler") -> None:
    photo = random_image(10, 13)
    assert np.array_equal(upscaler(photo[:, ::-1]), upscaler(np.ascontiguousarray(photo[:, ::-1])))


def test_tiles_may_be_set(upscaler: "fastsr.Upscaler") -> None:
    photo = random_image(70, 60)
    whole = upscaler(photo).astype(int)
    upscaler.tile = 48
    assert upscaler.tile == 48 and np.abs(upscaler(photo).astype(int) - whole).max() <= 1


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 2, 5), np.uint8), "no image has 4 axes"),
        (np.zeros((0, 2, 3), np.uint8), "no image has"),
        (np.zeros(3, np.uint8), "no image has"),
        (np.zeros((2, 2, 3), np.int64), "int64 is no type of samples"),
        (torch.zeros(3, 2, 2), "no image has"),
        (Image.new("F", (2, 2)), "float or 32 bit"),
    ],
)
def test_what_is_no_image_is_refused(upscaler: "fastsr.Upscaler", image: object, message: str) -> None:  # fmt: skip
    with pytest.raises(fastsr.UserError, match=message):
        upscaler(image)  # type: ignore[type-var]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Of two peers."""
    folder = tmp_path / "step-00000001"
    folder.mkdir()
    for k in range(2):
        save_generator(small_generator(seed=k), folder / f"peer-{k}-ema.safetensors")
    return folder


def test_peers_alone_averaged_and_together(checkpoint: Path) -> None:
    photo = random_image(10, 13) // 4 + 96
    first, second, average, ensemble = (
        fastsr.load(checkpoint, device="cpu", peer=peer)(photo).astype(float)
        for peer in (0, 1, "average", "ensemble")
    )
    assert np.abs(first - second).max() > 2
    assert np.abs(ensemble - (first + second) / 2).max() <= 1
    assert np.abs(average - ensemble).max() > 1
    state = small_generator(seed=0)
    for name, value in state.state_dict().items():
        other = small_generator(seed=1).state_dict()[name]
        value.copy_((value + other) / 2)
    save_generator(state, checkpoint / "mean.safetensors")
    want = fastsr.load(checkpoint / "mean.safetensors", device="cpu")(photo)
    assert np.abs(average - want).max() <= 1


def test_an_average_of_peers_that_began_differently_is_said(
    tmp_path: Path, checkpoint: Path
) -> None:
    run, said = tmp_path / "run", list[str]()
    (run / "checkpoints").mkdir(parents=True)
    checkpoint.rename(run / "checkpoints" / checkpoint.name)
    for starts, count in (((0, 1), 1), ((3, 3), 1)):
        config = TrainConfig(cohort=CohortConfig(starts=starts))
        (run / "config.toml").write_text(to_toml(config))
        fastsr.load(run, device="cpu", peer="average", tell=said.append)
        assert len(said) == count and "--peer ensemble" in said[0]


def test_networks_that_have_no_average_are_refused(checkpoint: Path) -> None:
    from fastsr.models import SRResNet

    save_generator(SRResNet(2, blocks=2, filters=4), checkpoint / "peer-1-ema.safetensors")
    with pytest.raises(fastsr.UserError, match=r"another network than .* use --peer ensemble"):
        fastsr.load(checkpoint, peer="average")
    assert fastsr.load(checkpoint, peer="ensemble").scale == 2
    save_generator(SRResNet(4, blocks=1, filters=4), checkpoint / "peer-1-ema.safetensors")
    with pytest.raises(fastsr.UserError, match="enlarges x4, and"):
        fastsr.load(checkpoint, peer="ensemble")


def test_a_profile_of_ink_does_not_end_up_on_a_picture_of_light(upscaler: "fastsr.Upscaler") -> None:  # fmt: skip
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.new("CMYK", (4, 4))
    image.info["icc_profile"] = srgb
    assert "icc_profile" not in upscaler(image).info
