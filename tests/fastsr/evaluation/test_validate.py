"""Validation: mean scores of generators on whole images."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.data.bicubic import downscale, upscale
from fastsr.errors import UserError
from fastsr.evaluation.pairs import load_pairs
from fastsr.evaluation.psnr_ssim import psnr_y, ssim_y
from fastsr.evaluation.validate import Bicubic, Score, evaluate, score
from fastsr.models import SRResNet
from fastsr.models.inference import super_resolve
from tests.images import random_image, write_images


def test_evaluation_averages_whole_images_beside_bicubic(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "set")
    generator = SRResNet(2, blocks=1, filters=4).eval()
    scores = evaluate({"mine": generator}, load_pairs((folder,), 2), 2)
    want = []
    for k in range(2):
        hr = torch.from_numpy(random_image(41, 46, k))[:40, :46]
        lr = downscale(hr, 2)
        with torch.no_grad():
            x = generator(lr.permute(2, 0, 1)[None].float() / 255)[0]
        sr = (x * 255).round().to(torch.uint8).permute(1, 2, 0)
        assert torch.equal(sr, super_resolve(generator, lr))
        want.append((psnr_y(sr, hr, 2), ssim_y(sr, hr, 2), psnr_y(upscale(lr, 2), hr, 2)))
    psnr, ssim, bicubic = np.mean(want, axis=0)
    assert (scores["mine"].psnr, scores["mine"].ssim) == pytest.approx((psnr, ssim), rel=1e-9)
    assert scores["bicubic"].psnr == pytest.approx(bicubic, rel=1e-9)


def test_bicubic_that_is_known_is_not_computed_again(tmp_path: Path) -> None:
    pairs = list(load_pairs((write_images(tmp_path / "set"),), 2))
    generator = SRResNet(2, blocks=1, filters=4).eval()
    bicubic = Bicubic.of(pairs, 2, "replicate", keep=1)
    assert [torch.equal(image, upscale(pairs[0].lr, 2)) for image in bicubic.first] == [True]
    scores = evaluate({"mine": generator}, pairs, 2)
    assert bicubic.score == scores["bicubic"]
    assert evaluate({"mine": generator}, pairs, 2, bicubic=bicubic.score) == scores
    assert list(scores) == ["bicubic", "mine"]
    told = Score(1.0, 0.0)
    assert evaluate({}, pairs, 2, bicubic=told) == {"bicubic": told}


def test_test_images_that_cannot_be_used_are_all_listed(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "set")
    (folder / "broken.png").write_bytes(b"nothing")
    Image.fromarray(random_image(10, 90)).save(folder / "small.png")
    with pytest.raises(
        UserError,
        match=r"(?s)2 test images.*broken\.png: is not an image.*small\.png: is 90x10, too small",
    ):
        list(load_pairs((folder,), 2))


@pytest.mark.gpu
def test_a_gpu_measures_what_a_cpu_measures(tmp_path: Path) -> None:
    """Of the same enlarged images: values of the generators themselves may round differently."""
    (pair, *_) = load_pairs((write_images(tmp_path / "set"),), 2)
    sr = upscale(pair.lr, 2)
    on_cpu, on_gpu = (score(sr.to(device), pair, 2) for device in ("cpu", "cuda"))
    assert (on_gpu.psnr, on_gpu.ssim) == pytest.approx((on_cpu.psnr, on_cpu.ssim), rel=1e-9)
