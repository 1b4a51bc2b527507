"""Generators on whole images."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fastsr.models import SRResNet
from fastsr.models.inference import super_resolve, upscale_files
from fastsr.models.weights import save_generator
from tests.images import random_image, write_images

CPU = torch.device("cpu")


def test_inference_uses_cudnn_without_searching(tmp_path: Path) -> None:
    """Every image has another size: an algorithm search for each would cost more than it gains."""
    seen: list[tuple[bool, bool]] = []
    generator = SRResNet(2, blocks=1, filters=4).eval()
    cudnn = torch.backends.cudnn
    generator.register_forward_hook(lambda *_: seen.append((cudnn.enabled, cudnn.benchmark)))
    with cudnn.flags(enabled=True, benchmark=True):
        super_resolve(generator, torch.zeros(8, 8, 3, dtype=torch.uint8))
    assert seen == [(True, False)]


def test_upscaled_files_are_what_the_generator_gives(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "small", 2, 12)
    generator = SRResNet(4, blocks=1, filters=4).eval()
    save_generator(generator, tmp_path / "mine.safetensors")
    written = list(upscale_files(tmp_path / "mine.safetensors", (folder,), tmp_path / "out", CPU))
    assert [p.name for p in written] == ["0-x4.png", "1-x4.png"]
    got = np.asarray(Image.open(written[1]))
    assert got.shape == (48, 68, 3)
    want = super_resolve(generator, torch.from_numpy(random_image(12, 17, 1)))
    assert np.abs(got.astype(int) - want.numpy().astype(int)).max() <= 1
