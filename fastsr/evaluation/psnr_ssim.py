"""PSNR and SSIM by the protocol of super-resolution papers, and PSNR on all channels.

By that protocol luma of RGB images is compared, BT.601 studio range (16 to 235, as MATLAB's rgb2ycbcr), `border` pixels
cut from each side, by custom as many as the scale. An original stored in grey is compared on its grey values (0 to 255)
instead, as MATLAB scripts do, which convert only images of three channels; and so is an image of one channel. Images of
any other number of channels are compared on all of them: PSNR over all samples, SSIM as a mean over channels.

Levels of 16 bits are divided by 257, so that white is 255 for them, too, and a peak of 255 here is 65,535 there. What
is rounded is rounded to whole levels of the image's own bits.

Axes: H W of the image, C channels.
"""

import torch
from torch import Tensor

LUMA = (65.481, 128.553, 24.966)
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


def finer(image_HWC: Tensor) -> int:
    """Levels of an image in one of 8 bits."""
    return 1 if image_HWC.dtype == torch.uint8 else 257


def on_255(image_HWC: Tensor) -> Tensor:
    """Samples of uint8 or uint16 as fp64, from 0 to 255."""
    return image_HWC.double() / finer(image_HWC)


def luma(image_HWC: Tensor, grey: bool = False) -> Tensor:
    """Y of RGB as fp64 `[H, W]`: 16 to 235, or stretched to 0 to 255 for a grey original; one channel as it is."""
    if image_HWC.shape[2] == 1:
        return on_255(image_HWC)[..., 0]
    weights = torch.tensor(LUMA, dtype=torch.float64, device=image_HWC.device)
    y_HW = on_255(image_HWC) @ weights / 255
    return y_HW * 255 / 219 if grey else y_HW + 16


def planes(image_HWC: Tensor, grey: bool = False) -> Tensor:
    """The values of an image that are compared: luma `[H, W]`, or all channels `[H, W, C]` where it has no luma."""
    return luma(image_HWC, grey) if image_HWC.shape[2] in (1, 3) else on_255(image_HWC)


def compared(
    sr_HWC: Tensor, hr_HWC: Tensor, border: int, grey: bool = False
) -> tuple[Tensor, Tensor]:
    """The values that are compared, fp64 `[H, W]` or `[H, W, C]` without the border, of `[H, W, C]`, uint8 or uint16.

    Raises ValueError for sizes that differ or leave nothing inside the border.
    """
    if sr_HWC.shape != hr_HWC.shape:
        raise ValueError(f"images differ in size: {tuple(sr_HWC.shape)} and {tuple(hr_HWC.shape)}")
    if min(hr_HWC.shape[:2]) <= 2 * border:
        raise ValueError(f"nothing is left of {tuple(hr_HWC.shape)} inside a border of {border}")
    sides = slice(border, -border or None)
    sr, hr = (planes(x, grey)[sides, sides] for x in (sr_HWC, hr_HWC))
    return sr, hr


def psnr_y(sr_HWC: Tensor, hr_HWC: Tensor, border: int, grey: bool = False) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images. Arguments and errors as `compared`."""
    return psnr(*compared(sr_HWC, hr_HWC, border, grey))


def psnr(a: Tensor, b: Tensor) -> float:
    """PSNR in dB over all samples of two fp64 tensors on the scale of 0 to 255; infinite for equal ones."""
    return float(10 * torch.log10(255**2 / (a - b).square_().mean()))


def psnr_rgb(sr_HWC: Tensor, hr_HWC: Tensor) -> float:
    """PSNR in dB over all samples of whole images, as `tf.image.psnr` has it; infinite for equal images.

    Raises ValueError for sizes that differ.
    """
    if sr_HWC.shape != hr_HWC.shape:
        raise ValueError(f"images differ in size: {tuple(sr_HWC.shape)} and {tuple(hr_HWC.shape)}")
    return psnr(on_255(sr_HWC), on_255(hr_HWC))


def ssim_y(sr_HWC: Tensor, hr_HWC: Tensor, border: int, grey: bool = False) -> float:
    """Structural similarity, 0 to 1: Gaussian window 11x11, sigma 1.5, on luma rounded to 8 bits as MATLAB has it.

    Where images vary against each other, which is below 0 by the paper, it is 0, as pyiqa has it: means over Set14 at
    x4 are 0.0001 higher for it. Arguments and errors as `compared`; what remains must hold one window. Source: Wang et
    al., 2004.
    """
    return ssim(*compared(sr_HWC, hr_HWC, border, grey), finer(hr_HWC))


def ssim(sr: Tensor, hr: Tensor, levels: int = 1) -> float:
    """`ssim_y` of what `compared` returns, of several channels the mean. Raises ValueError where they hold no window.

    Args:
        levels: whole levels of the images in one of 8 bits, as `finer` tells.
    """
    if sr.ndim == 2:
        return ssim_of_plane(sr, hr, levels)
    values = [ssim_of_plane(a, b, levels) for a, b in zip(sr.unbind(2), hr.unbind(2), strict=True)]
    return sum(values) / len(values)


def ssim_of_plane(sr_HW: Tensor, hr_HW: Tensor, levels: int) -> float:
    sr_HW, hr_HW = ((x * levels).round() / levels for x in (sr_HW, hr_HW))
    if min(hr_HW.shape) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs {SSIM_WINDOW}x{SSIM_WINDOW} pixels inside the border, got {tuple(hr_HW.shape)}"
        )
    offset = torch.arange(SSIM_WINDOW, dtype=torch.float64, device=hr_HW.device) - SSIM_WINDOW // 2
    weights = torch.exp(-(offset**2) / (2 * SSIM_SIGMA**2))
    taps = (weights / weights.sum()).tolist()
    moments = torch.stack([sr_HW, hr_HW, sr_HW**2, hr_HW**2, sr_HW * hr_HW])
    mean_x, mean_y, square_x, square_y, product = filtered(filtered(moments, 1, taps), 2, taps)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * (product - mean_x * mean_y) + c2) / (
        square_x - mean_x**2 + square_y - mean_y**2 + c2
    )
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * contrast.clamp(min=0)).mean())


def filtered(x: Tensor, dim: int, taps: list[float]) -> Tensor:
    """Weighted sums of neighbours along one axis, where all lie inside. In fp64 on a CPU 7 times as fast as conv2d."""
    length = x.shape[dim] - len(taps) + 1
    total = x.narrow(dim, 0, length) * taps[0]
    for k, tap in enumerate(taps[1:], 1):
        total.add_(x.narrow(dim, k, length), alpha=tap)
    return total
