"""Fixtures of the tests of evaluation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastsr.evaluation.request import Request
from tests.fastsr.evaluation.small_models import save_model, write_images


@pytest.fixture
def request_for(tmp_path: Path) -> Any:
    """A request for one small model on one set of two images, changed as wanted."""
    write_images(tmp_path / "mine", [(40, 52), (44, 48)])
    save_model(tmp_path / "model.safetensors")
    base = Request(
        models=(tmp_path / "model.safetensors",), sets=("mine",), data_root=tmp_path, out=tmp_path / "evaluation",
        metrics=("psnr", "ssim"), cache=tmp_path / "cache",
    )  # fmt: skip
    return lambda **changes: replace(base, **changes)
