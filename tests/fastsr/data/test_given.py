"""Given pairs: partners, sizes, places; patches that share crops and orientation; stores of other samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.config.presets import light
from fastsr.config.settings import TrainConfig
from fastsr.console import lasting_console
from fastsr.data.alignment import pair_problems
from fastsr.data.bicubic import downscale
from fastsr.data.given import partners_of
from fastsr.data.images import find_images
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import HostPatches, PatchSampler
from fastsr.errors import UserError
from fastsr.training.sources import fingerprint, open_images
from tests.images import random_image

SIZES = ((60, 75), (64, 48), (49, 90))


def shrunk(image: np.ndarray, scale: int = 2) -> np.ndarray:
    height, width = (side // scale * scale for side in image.shape[:2])
    return downscale(torch.from_numpy(image[:height, :width].copy()), scale).numpy()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """HR and LR files; LR files are MATLAB's bicubic, named as DIV2K's are, and one as its partner."""
    high, low = tmp_path / "high", tmp_path / "low"
    high.mkdir()
    low.mkdir()
    for k, (h, w) in enumerate(SIZES):
        image = random_image(h, w, k)
        Image.fromarray(image).save(high / f"{k}.png")
        Image.fromarray(shrunk(image)).save(low / (f"{k}x2.png" if k else "0.png"))
    return high, low


def given(config: TrainConfig, folders: tuple[Path, Path]) -> TrainConfig:
    high, low = folders
    return replace(config, images=replace(config.images, data=(high,), lr_data=(low,)))


def test_given_bicubic_is_bicubic(tiny_config: TrainConfig, folders: tuple[Path, Path]) -> None:
    """Patches of given pairs are those that bicubic makes, with the same crops and turns, where LR files are that."""
    config = given(tiny_config, folders)
    store = open_images(config, lasting_console())
    alone = open_images(
        replace(config, images=replace(config.images, lr_data=())), lasting_console()
    )
    assert store.nbytes > alone.nbytes
    assert fingerprint(store) != fingerprint(alone)
    made, taken = (PatchSampler.from_config(s, config) for s in (alone, store))
    for step in range(4):
        pairs = zip(made.draw(torch.tensor(step)), taken.draw(torch.tensor(step)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_given_pairs_of_some_images(tiny_config: TrainConfig, folders: tuple[Path, Path]) -> None:
    """Images that are left out take their partners along."""
    store = open_images(given(tiny_config, folders), lasting_console())
    last = PatchSampler.from_config(store.only(torch.tensor([False, False, True])), tiny_config)
    lr, hr = last.draw_bytes(torch.tensor(0))
    choice = last.choose(torch.tensor(0))
    assert lr.shape == (2, 8, 8, 3)
    low = np.asarray(Image.open(folders[1] / "2x2.png"))
    top, left = int(choice.top_N[0]) // 2, int(choice.left_N[0]) // 2
    assert sorted(lr[0].flatten().tolist()) == sorted(
        low[top : top + 8, left : left + 8].ravel().tolist()
    )
    assert hr.dtype == torch.uint8


def test_missing_partners_are_listed(folders: tuple[Path, Path]) -> None:
    high, low = folders
    (low / "1x2.png").rename(low / "one.png")
    with pytest.raises(UserError, match="2 files") as error:
        partners_of(find_images((high,)), find_images((low,)), 2)
    assert str(high / "1.png") in str(error.value)
    assert str(low / "one.png") in str(error.value)
    assert len(pair_problems(find_images((high,)), find_images((low,)), 2)) == 2


def test_names_that_two_files_have(folders: tuple[Path, Path]) -> None:
    high, low = folders
    Image.open(low / "0.png").save(low / "0.bmp")
    with pytest.raises(UserError, match="rename one"):
        partners_of(find_images((high,)), find_images((low,)), 2)


def test_sizes_of_another_scale(tiny_config: TrainConfig, folders: tuple[Path, Path]) -> None:
    config = given(tiny_config, folders)
    low = Image.open(folders[1] / "2x2.png")
    low.resize((low.width + 1, low.height)).save(folders[1] / "2x2.png")
    with pytest.raises(UserError, match="1 of 3 pairs") as error:
        open_images(config, lasting_console())
    assert "is 90x49, and its low resolution 46x24, not 45x24 as at x2" in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda low: np.roll(low, (-1, 3), (0, 1)), "shifted by 3 pixels to the right and -1 down"),
        (lambda low: random_image(*low.shape[:2], 77), "another picture"),
        (lambda low: low[:, ::-1], "another picture"),
        (lambda low: low // 2 + 60, None),
    ],
    ids=["shifted", "another", "mirrored", "paler"],
)
def test_pairs_that_do_not_fit(
    folders: tuple[Path, Path], change: object, words: str | None
) -> None:
    high, low = folders
    image = np.asarray(Image.open(low / "0.png"))
    Image.fromarray(np.ascontiguousarray(change(image))).save(low / "0.png")  # type: ignore[operator]
    problems = pair_problems(find_images((high,)), find_images((low,)), 2)
    assert len(problems) == (words is not None)
    assert words is None or (str(high / "0.png") in problems[0] and words in problems[0])


def test_settings_that_exclude_each_other(
    tiny_config: TrainConfig, folders: tuple[Path, Path]
) -> None:
    config = given(tiny_config, folders)
    with pytest.raises(UserError, match=r"--lr-data gives.*--degrade light makes"):
        open_images(replace(config, degrade=light()), lasting_console())
    with pytest.raises(UserError, match=r"--lr-data .*low needs --data"):
        open_images(replace(config, images=replace(config.images, data=())), lasting_console())


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 4])
def test_stores_of_other_samples(channels: int, depth: type) -> None:
    """Grey stays one channel; a thread of the host draws what the device does."""
    rng = np.random.default_rng(0)
    most = np.iinfo(depth).max
    images = [rng.integers(0, most, (30, 40, channels)).astype(depth) for _ in range(2)]
    store = PixelStore.from_images(images)
    assert np.array_equal(store.image(1).numpy(), images[1])
    assert store.to(torch.device("cpu")).nbytes == sum(image.nbytes for image in images)
    sampler = PatchSampler(store, scale=2, patch=16, batch=2, seed=1)
    lr, hr = sampler.draw(torch.tensor(3))
    assert (lr.shape, hr.shape) == ((2, channels, 8, 8), (2, channels, 16, 16))
    host = HostPatches(sampler, torch.device("cpu"))
    host.seek(3)
    host.load()
    assert all(torch.equal(a, b) for a, b in zip(host.draw(torch.tensor(3)), (lr, hr), strict=True))
