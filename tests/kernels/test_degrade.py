"""The degradations as a whole: against SciPy, torch and Pillow with what was drawn, and what they depend on."""

import numpy as np
import pytest
import torch
from degrade_cases import (
    degradation,
    drawn_by,
    filtered,
    interpolated,
    kernel_of,
    levels,
    saved_as_jpeg,
)
from fastsr_kernels.degrade import Degradation, degrade, pack, reference
from fastsr_kernels.degrade.draw import FinalDrawn, RoundDrawn
from fastsr_kernels.degrade.settings import unpack
from torch import Tensor

from tests.images import random_image

RESIZE_BEFORE_BLUR = (0, 2, 3)
"""Orders of reference.ORDER_SLOTS."""


def pictures(batch: int, side: int, channels: int = 3) -> Tensor:
    images = [random_image(side, side, n) for n in range(batch)]
    planes = [np.concatenate([image] * 5, 2)[..., :channels] for image in images]
    return torch.tensor(np.stack(planes)).permute(0, 3, 1, 2).float() / 255


def run(x: Tensor, what: Degradation, seed: int = 0, step: int = 0) -> tuple[Tensor, Tensor]:
    return degrade(x, what.frame, pack(what), seed, torch.tensor(step))


def blurred(x: np.ndarray, d: RoundDrawn | FinalDrawn, n: int) -> np.ndarray:
    if d.blurs[n] == 0:
        return x
    values = [float(getattr(d, name)[n]) for name in ("sigma_x", "sigma_y", "theta", "beta")] if (
        isinstance(d, RoundDrawn)
    ) else [1.0] * 4  # fmt: skip
    kind = int(d.kind[n]) if isinstance(d, RoundDrawn) else 6
    return filtered(x, kernel_of(kind, int(d.taps[n]), *values, float(d.omega[n])))


def compressed(x: np.ndarray, quality: float) -> np.ndarray:
    if not quality:
        return x
    return saved_as_jpeg(np.round(x.clip(0, 1) * 255).astype(np.uint8), int(quality)) / 255


def by_hand(x: np.ndarray, what: Degradation, batch: int, n: int, low: int) -> np.ndarray:
    """One picture without noise, as the paper tells it."""
    drawn = drawn_by(what, batch, len(x))
    for d in drawn[:2]:
        order = "rb" if what.shuffle and int(d.order[n]) in RESIZE_BEFORE_BLUR else "br"
        for step in order:
            size = int(d.height[n]), int(d.width[n])
            x = blurred(x, d, n) if step == "b" else interpolated(x, size, int(d.mode[n]))
        x = compressed(x, float(d.quality[n])) if d is drawn.first else x
    quality, final = float(drawn.second.quality[n]), drawn.final
    x = compressed(x, quality) if final.jpeg_first[n] else x
    x = blurred(interpolated(x, (low, low), int(final.mode[n])), final, n)
    return compressed(x, quality) if not final.jpeg_first[n] else x


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_a_batch_by_hand(shuffle: bool) -> None:
    """Without noise; without the first JPEG, whose rounding passes small differences on as large ones."""
    what = degradation({"noise_prob": 0.0}, shuffle=shuffle)
    what = what._replace(first=what.first._replace(jpeg_prob=0.0))
    batch, side = 12, 64
    x = pictures(batch, side)
    lr, hr = run(x, what)
    assert lr.shape == (batch, 3, side // 4, side // 4)
    assert torch.equal(hr, x)
    for n in range(batch):
        expected = by_hand(x[n].permute(1, 2, 0).numpy(), what, batch, n, side // 4)
        off = np.abs(levels(lr[n]) - np.round(expected.clip(0, 1) * 255))
        assert (off > 1).mean() < 0.02, f"sample {n}: {off.max()}"


def test_first_jpeg_by_hand() -> None:
    """With nothing between it and the LR image but resizing by area."""
    keep = {"noise_prob": 0.0, "blur_prob": 0.0, "resize_prob": (0.0, 0.0, 1.0)}
    what = degradation(keep, final_sinc_prob=0.0)
    what = what._replace(second=what.second._replace(jpeg_prob=0.0))
    x = pictures(4, 64)
    lr, _ = run(x, what)
    for n in range(4):
        expected = by_hand(x[n].permute(1, 2, 0).numpy(), what, 4, n, 16)
        assert np.abs(levels(lr[n]) - np.round(expected.clip(0, 1) * 255)).max() <= 1


@pytest.mark.parametrize("channels", [1, 3, 4, 13])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_shapes(channels: int, scale: int) -> None:
    what = degradation(scale=scale, context=4 * scale, usm=True, shuffle=True)
    lr, hr = run(pictures(2, 36, channels), what)
    side = 36 - 4 * scale
    assert (lr.shape, hr.shape) == (
        (2, channels, side // scale, side // scale),
        (2, channels, side, side),
    )
    for x in (lr, hr):
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal((lr * 255).round() * (1 / 255), lr)


def test_a_sample_depends_on_its_counter_alone() -> None:
    """Sample n of step s is the only one of step s * batch + n where the batch is one."""
    what = degradation(shuffle=True, context=16)
    x = pictures(3, 64)
    together = run(x, what, seed=7, step=5)
    for n in range(3):
        alone = run(x[n : n + 1], what, seed=7, step=15 + n)
        assert all(torch.equal(a[0], b[n]) for a, b in zip(alone, together, strict=True))
    assert not torch.equal(together[0], run(x, what, seed=8, step=5)[0])
    assert not torch.equal(together[0], run(x, what, seed=7, step=6)[0])


def test_patches_are_cut_where_hr_is() -> None:
    """Without degradations LR is the mean of HR's pixels, wherever both are cut."""
    nothing = {
        "noise_prob": 0.0,
        "blur_prob": 0.0,
        "jpeg_prob": 0.0,
        "resize_prob": (0.0, 0.0, 1.0),
    }
    what = degradation(nothing, final_sinc_prob=0.0, context=32)
    what = what._replace(second=what.second._replace(resize_range=(0.3, 1.0)))
    x = pictures(8, 96)
    lr, hr = run(x, what)
    drawn = drawn_by(what, 8, 96)
    assert (
        len({(float(a), float(b)) for a, b in zip(drawn.final.top, drawn.final.left, strict=True)})
        > 4
    )
    area = drawn.second.mode == 0
    assert int(area.sum()) > 0
    mean = torch.nn.functional.avg_pool2d(hr, 4)
    assert float((lr - mean)[area].abs().max()) < 0.003
    assert float((lr - mean).abs().mean()) < 0.03


def test_sharpened_hr_is_target_and_source() -> None:
    what = degradation(usm=True)
    x = pictures(2, 64)
    lr, hr = run(x, what)
    sharp = reference.sharpen(x, unpack(pack(what)).usm_taps)
    assert torch.equal(hr, sharp)
    assert torch.equal(lr, run(sharp, what._replace(usm=False))[0])


def test_misuse_is_named() -> None:
    what = degradation(context=8)
    x, step = pictures(1, 64), torch.tensor(0)
    for wrong, word in (
        ((x.half(), what.frame, pack(what), 0, step), "hr_NCHW"),
        ((x[..., :63], what.frame, pack(what), 0, step), "multiples of the scale"),
        ((x, what.frame._replace(context=6), pack(what), 0, step), "context"),
        ((x, what.frame._replace(taps=8), pack(what), 0, step), "odd"),
        ((x, what.frame, pack(what)[1:], 0, step), "pack"),
        ((x, what.frame, pack(what), -1, step), "seed"),
        ((x, what.frame, pack(what), 0, step.int()), "step"),
    ):
        with pytest.raises(ValueError, match=word):
            degrade(*wrong)


def test_operator_is_registered_soundly() -> None:
    what = degradation(context=8)
    arguments = (pictures(1, 32), pack(what), torch.tensor(0), 0, *what.frame)
    torch.library.opcheck(torch.ops.fastsr.degrade.default, arguments)
