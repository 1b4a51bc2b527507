"""A small model in a file, and images."""

from pathlib import Path

import pytest
import torch

from fastsr.models import SRResNet
from fastsr.models.model_file import save_generator
from tests.images import write_images


def small_generator(scale: int = 2, seed: int = 0) -> SRResNet:
    """Untrained, with statistics as after training, so that batch normalisation does something."""
    torch.manual_seed(seed)
    generator = SRResNet(scale, blocks=1, filters=4, skip="bicubic")
    for module in generator.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
    return generator.eval().requires_grad_(False)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "mine.safetensors"
    save_generator(small_generator(), file)
    return file


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "small", 3, 12)
