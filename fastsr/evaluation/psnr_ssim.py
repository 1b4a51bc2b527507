"""PSNR and SSIM by the protocol of super-resolution papers, and PSNR on RGB.

Both images are 8-bit RGB. By that protocol luma is compared, BT.601 studio range (16 to 235, as MATLAB's rgb2ycbcr),
`border` pixels cut from each side, by custom as many as the scale. An original stored in grey is compared on its grey
values (0 to 255) instead, as MATLAB scripts do, which convert only images of three channels.

Axes: H W of the image, C = 3.
"""

import torch
from torch import Tensor

LUMA = (65.481, 128.553, 24.966)
SSIM_WINDOW, SSIM_SIGMA = 11, 1.5


def luma(image_HWC: Tensor, grey: bool = False) -> Tensor:
    """Y of uint8 RGB as fp64 `[H, W]`: 16 to 235, or stretched to 0 to 255 for a grey original."""
    weights = torch.tensor(LUMA, dtype=torch.float64, device=image_HWC.device)
    y_HW = image_HWC.double() @ weights / 255
    return y_HW * 255 / 219 if grey else y_HW + 16


def compared(
    sr_HWC: Tensor, hr_HWC: Tensor, border: int, grey: bool = False
) -> tuple[Tensor, Tensor]:
    """The lumas that are compared, fp64 `[H, W]` without the border, of uint8 `[H, W, 3]`.

    Raises ValueError for sizes that differ or leave nothing inside the border.
    """
    if sr_HWC.shape != hr_HWC.shape:
        raise ValueError(f"images differ in size: {tuple(sr_HWC.shape)} and {tuple(hr_HWC.shape)}")
    if min(hr_HWC.shape[:2]) <= 2 * border:
        raise ValueError(f"nothing is left of {tuple(hr_HWC.shape)} inside a border of {border}")
    sides = slice(border, -border or None)
    sr_HW, hr_HW = (luma(x, grey)[sides, sides] for x in (sr_HWC, hr_HWC))
    return sr_HW, hr_HW


def psnr_y(sr_HWC: Tensor, hr_HWC: Tensor, border: int, grey: bool = False) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal images. Arguments and errors as `compared`."""
    return psnr(*compared(sr_HWC, hr_HWC, border, grey))


def psnr(a: Tensor, b: Tensor) -> float:
    """PSNR in dB over all samples of two fp64 tensors on the scale of 0 to 255; infinite for equal ones."""
    return float(10 * torch.log10(255**2 / (a - b).square_().mean()))


def psnr_rgb(sr_HWC: Tensor, hr_HWC: Tensor) -> float:
    """PSNR in dB over all samples of whole uint8 RGB images, as `tf.image.psnr` has it; infinite for equal images.

    Raises ValueError for sizes that differ.
    """
    if sr_HWC.shape != hr_HWC.shape:
        raise ValueError(f"images differ in size: {tuple(sr_HWC.shape)} and {tuple(hr_HWC.shape)}")
    return psnr(sr_HWC.double(), hr_HWC.double())


def ssim_y(sr_HWC: Tensor, hr_HWC: Tensor, border: int, grey: bool = False) -> float:
    """Structural similarity, at most 1: Gaussian window 11x11, sigma 1.5, on luma rounded to 8 bits as MATLAB has it.

    Arguments and errors as `compared`; what remains must hold one window. Source: Wang et al., 2004.
    """
    return ssim(*compared(sr_HWC, hr_HWC, border, grey))


def ssim(sr_HW: Tensor, hr_HW: Tensor) -> float:
    """`ssim_y` of the lumas that `compared` returns. Raises ValueError where they hold no window."""
    sr_HW, hr_HW = sr_HW.round(), hr_HW.round()
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
