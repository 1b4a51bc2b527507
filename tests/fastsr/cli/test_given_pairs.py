"""`--lr-data`, in training and in doctor."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fastsr.data.bicubic import downscale
from tests.fastsr.cli.command_line import TINY, Fastsr
from tests.images import write_images


def test_a_run_on_given_pairs(fastsr: Fastsr, tmp_path: Path) -> None:
    high = write_images(tmp_path / "high", side=42)
    low = tmp_path / "low"
    low.mkdir()
    for path in high.iterdir():
        image = torch.from_numpy(np.array(Image.open(path))[:, :46])
        Image.fromarray(downscale(image, 2).numpy()).save(low / path.name)
    out = tmp_path / "run"
    words = ("--data", str(high), "--lr-data", str(low), "--out", str(out), *TINY)
    assert fastsr("train", *words).code == 0
    doctor = fastsr("doctor", *words)
    assert doctor.code == 0
    assert "given pairs" in doctor.out
    shifted = Image.fromarray(np.roll(np.asarray(Image.open(low / "1.png")), (1, 2), (0, 1)))
    shifted.save(low / "1.png")
    doctor = fastsr("doctor", *words)
    assert doctor.code == 1
    assert "shifted by 2 pixels to the right and 1 down" in " ".join(doctor.out.split())
