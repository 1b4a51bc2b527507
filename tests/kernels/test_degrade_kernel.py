"""The Triton kernels of the degradations, interpreted or on a GPU, against the reference: stages, order, memory."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from degrade_cases import degradation
from devices import where_kernels_run
from fastsr_kernels.degrade import Degradation, blur, pack, reference
from fastsr_kernels.degrade.draw import Drawn, draw
from fastsr_kernels.degrade.settings import unpack
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from fastsr.system.live_bytes import LiveBytes
from tests.images import random_image

pytest.importorskip("triton")
from fastsr_kernels.degrade import kernel

pytestmark = where_kernels_run
SIDE, SEED, STEP = 28, 5, 3
SMALL = degradation({"resize_range": (0.3, 1.1)}, blur_taps=(3, 5), scale=2)


def pictures(batch: int, channels: int = 3) -> Tensor:
    images = [np.concatenate([random_image(SIDE, SIDE + 4, n)] * 5, 2) for n in range(batch)]
    x = torch.tensor(np.stack(images))[..., :channels].float() / 255
    return x.permute(0, 3, 1, 2)


def planned(x: Tensor, what: Degradation, device: str, tile: int = -1) -> kernel.Plan:
    """Launched, on memory that was full of NaN and of bytes that are not 0."""
    x, step = x.to(device), torch.tensor(STEP, device=device)
    plan = kernel.Plan(x, what.frame, pack(what, device), SEED, step, tile)
    given = {plan.numbers_F.data_ptr(), step.data_ptr(), x.data_ptr()}
    for launch in plan.launches:
        for value in launch.arguments.values():
            if isinstance(value, Tensor) and value.dtype.is_floating_point:
                is_given = any(value.untyped_storage().data_ptr() == p for p in given)
                _ = value if is_given or value.device.type != device else value.fill_(torch.nan)
    return plan


def run(plan: kernel.Plan) -> tuple[Tensor, Tensor]:
    for launch in plan.launches:
        launch.run()
    lr, hr = plan.outputs
    return lr.cpu(), hr.cpu()


def differences(what: Degradation, device: str, channels: int, batch: int = 2) -> Tensor:
    """Levels of LR that kernel and reference differ by; their HR must be equal to a part in a million."""
    x = pictures(batch, channels)
    got_lr, got_hr = run(planned(x, what, device))
    lr, hr = reference.degrade(x, what.frame, pack(what), SEED, torch.tensor(STEP))
    assert (got_lr.stride(), got_hr.stride()) == (lr.stride(), hr.stride())
    assert float((got_hr - hr).abs().max()) < 2e-6
    return ((got_lr - lr) * 255).round().abs()


@pytest.mark.parametrize(
    ("what", "channels"),
    [
        (SMALL, 3),
        (SMALL._replace(shuffle=True, usm=True, context=8), 1),
    ],
    ids=["in order", "grey, shuffled, sharpened, cut"],
)
def test_equals_the_reference(what: Degradation, channels: int, device: str) -> None:
    """A sum that is just between two levels may end on either, and JPEG then makes a few levels of it in its block."""
    off = differences(what, device, channels)
    assert float(off.mean()) < 0.2, off.flatten(1).amax(1)
    assert float(off.max()) <= 8
    assert int((off.flatten(1).amax(1) == 0).sum()) >= 1


def test_jpeg_alone_is_equal_bit_for_bit(device: str) -> None:
    """Both of them on whole levels, at x1: whole numbers throughout."""
    only = {
        "noise_prob": 0.0,
        "blur_prob": 0.0,
        "resize_prob": (0.0, 0.0, 1.0),
        "jpeg_range": (1, 100),
        "resize_range": (0.5, 1.0),
    }
    what = degradation(only, final_sinc_prob=0.0, scale=1, blur_taps=(3, 3))
    for channels in (3, 2):
        assert float(differences(what, device, channels).max()) == 0


def test_every_kind_and_size_of_blur(device: str) -> None:
    """Parameters are equal bit for bit; kernels to a part in a million."""
    kinds = {"kernel_prob": (1.0,) * 6, "sinc_prob": 0.2, "blur_prob": 0.8}
    what = degradation(kinds, scale=2, shuffle=True, context=8)
    batch = 24
    plan = planned(pictures(batch), what, device)
    for launch in plan.launches[:2]:
        launch.run()
    numbers = drawn_by_plan(what, batch)
    assert torch.equal(plan.table.cpu(), numbers.table())
    for r, drawn in enumerate(numbers[:2]):
        expected = blur.round_kernels(drawn, 21)
        assert float((without_margin(plan)[r] - expected).abs().max()) < 2e-6
    expected = blur.final_kernels(numbers.final, 21)
    assert float((without_margin(plan)[2] - expected).abs().max()) < 2e-6


def without_margin(plan: kernel.Plan) -> Tensor:
    """Blur kernels, and above and below them nothing but zeros."""
    above, kernels, below = plan.kernels_3NTT.cpu().split([plan.margin, 21, plan.margin], 2)
    assert float(above.abs().sum() + below.abs().sum()) == 0
    return kernels


def drawn_by_plan(what: Degradation, batch: int) -> Drawn:
    size = SIDE, SIDE + 4
    return draw(what.frame, unpack(pack(what)), SEED, torch.tensor(STEP), batch, size)


def test_memory_without_launches_is_that_with_them(device: str) -> None:
    """The bytes that are predicted are those of all buffers that the operator has at once, and of its arguments."""
    what = SMALL._replace(usm=True, shuffle=True, context=8)
    x, numbers_F = pictures(1, 1)[..., :12, :12].to(device), pack(what, device)
    step = torch.tensor(STEP, device=device)

    def count(operator: Callable[..., object]) -> int:
        with LiveBytes() as live:
            operator(x.clone(), what.frame, numbers_F.clone(), SEED, step.clone())
        return live.most.total()

    with FakeTensorMode(allow_non_fake_inputs=True):
        predicted = count(kernel.allocate)
    assert predicted == count(kernel.degrade) > x.nbytes


def test_tiles_of_any_size(device: str) -> None:
    """Last tiles reach beyond their picture, where the next one begins."""
    what = SMALL._replace(scale=4)
    x = pictures(2, 1)
    for a, b in zip(run(planned(x, what, device)), run(planned(x, what, device, 512)), strict=True):
        assert torch.equal(a, b)


def test_without_anything_pictures_stay_as_they_are(device: str) -> None:
    """Nothing drawn at x1: what comes out is what went in, through every launch."""
    nothing = {
        "noise_prob": 0.0,
        "blur_prob": 0.0,
        "jpeg_prob": 0.0,
        "resize_prob": (0.0, 0.0, 1.0),
    }
    what = degradation(nothing, final_sinc_prob=0.0, scale=1, blur_taps=(3, 3), context=4)
    lr, hr = run(planned(pictures(2), what, device))
    assert float((lr - hr).abs().max()) < 1e-6
