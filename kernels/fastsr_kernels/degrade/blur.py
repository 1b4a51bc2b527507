"""Blur: kernels of every sample, the filter, and unsharp masking.

Axes: N samples, C channels, H W sides of a canvas, T side of the kernels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from fastsr_kernels.degrade.draw import SINC, FinalDrawn, RoundDrawn

USM_WEIGHT, USM_THRESHOLD = 0.5, 10 / 255


def bessel_j1_over_t(t: Tensor) -> Tensor:
    """J1(t) / t for t >= 0, within 1e-7. Source: Abramowitz and Stegun, 9.4.4 and 9.4.6."""
    s = (t.clamp(max=3.0) / 3) ** 2
    near = 0.5 + s * (-0.56249985 + s * (0.21093573 + s * (-0.03954289 + s * (0.00443319 + s * (
        -0.00031761 + s * 0.00001109)))))  # fmt: skip
    far_t = t.clamp(min=3.0)
    v = 3 / far_t
    amplitude = 0.79788456 + v * (0.00000156 + v * (0.01659667 + v * (0.00017105 + v * (
        -0.00249511 + v * (0.00113653 + v * -0.00020033)))))  # fmt: skip
    phase = far_t - 2.35619449 + v * (0.12499612 + v * (0.00005650 + v * (-0.00637879 + v * (
        0.00074348 + v * (0.00079824 + v * -0.00029166)))))  # fmt: skip
    return torch.where(t <= 3, near, amplitude * phase.cos() / (far_t * far_t.sqrt()))


def grid(side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows `[T, 1]` and columns `[1, T]` from the centre of a kernel."""
    offset = torch.arange(side, device=device).float() - side // 2
    return offset[:, None], offset[None, :]


def normalised(weights_NTT: Tensor, taps_N: Tensor, applied_N: Tensor) -> Tensor:
    """Kernels of sum one within their own sides, and the identity where none is applied."""
    y, x = grid(weights_NTT.shape[-1], weights_NTT.device)
    reach = torch.maximum(y.abs(), x.abs())
    inside_NTT = (2 * reach < taps_N[:, None, None]).float()
    weights_NTT = weights_NTT * inside_NTT
    weights_NTT = weights_NTT / weights_NTT.sum((1, 2), keepdim=True)
    return torch.where(applied_N[:, None, None] > 0, weights_NTT, (reach == 0).float())


def sinc_weights(omega_N: Tensor, side: int) -> Tensor:
    """The circular low-pass filter, up to a factor."""
    y, x = grid(side, omega_N.device)
    return bessel_j1_over_t(omega_N[:, None, None] * (y * y + x * x).sqrt())


def round_kernels(drawn: RoundDrawn, side: int) -> Tensor:
    """Blur kernels of a round, `[N, T, T]`.

    With q the squared distance in units of sigma along the turned axes: exp(-q^beta / 2) for Gaussians, generalised or
    not, and 1 / (1 + q^beta) for plateaus.
    """
    y, x = grid(side, drawn.theta.device)

    def wide(value_N: Tensor) -> Tensor:
        return value_N[:, None, None]

    cos, sin = wide(drawn.theta).cos(), wide(drawn.theta).sin()
    along, across = cos * x + sin * y, cos * y - sin * x
    q = (along / wide(drawn.sigma_x)) ** 2 + (across / wide(drawn.sigma_y)) ** 2
    power = q ** wide(drawn.beta)
    bell, plateau = (-0.5 * power).exp(), 1 / (1 + power)
    kind = wide(drawn.kind)
    weights = torch.where(kind >= 4, plateau, bell)
    weights = torch.where(kind == SINC, sinc_weights(drawn.omega, side), weights)
    return normalised(weights, drawn.taps, drawn.blurs)


def final_kernels(drawn: FinalDrawn, side: int) -> Tensor:
    """Sinc filters of the end, `[N, T, T]`."""
    return normalised(sinc_weights(drawn.omega, side), drawn.taps, drawn.blurs)


def reflect(index: Tensor, length: Tensor) -> Tensor:
    """Mirrors positions beyond `[0, length)` at the edge pixels, which are not repeated, as often as it takes."""
    period = (2 * length - 2).clamp(min=1)
    folded = torch.remainder(index, period)
    return torch.minimum(torch.minimum(folded, period - folded), length - 1)


def padded(x_NCHW: Tensor, size_N2: Tensor, margin: int) -> Tensor:
    """The valid part of each canvas with reflected margins: `[N, C, H + 2 margin, W + 2 margin]`."""
    batch, _, height, width = x_NCHW.shape
    device = x_NCHW.device
    row_NH, column_NW = (
        reflect(torch.arange(-margin, side + margin, device=device), size_N2[:, k : k + 1])
        for k, side in enumerate((height, width))
    )
    index_N = torch.arange(batch, device=device)[:, None, None]
    taken_NHWC = x_NCHW.movedim(1, -1)[index_N, row_NH[:, :, None], column_NW[:, None, :]]
    return taken_NHWC.movedim(-1, 1)


def blur(x_NCHW: Tensor, size_N2: Tensor, kernels_NTT: Tensor) -> Tensor:
    """Filters each sample by its own kernel, by correlation. What lies beyond the valid size means nothing."""
    batch, channels, height, width = x_NCHW.shape
    side = kernels_NTT.shape[-1]
    windows = padded(x_NCHW, size_N2, side // 2).reshape(
        1, batch * channels, height + side - 1, width + side - 1
    )
    weights = kernels_NTT[:, None].expand(batch, channels, side, side).reshape(-1, 1, side, side)
    return F.conv2d(windows, weights, groups=batch * channels).view(x_NCHW.shape)


def smooth(x_NCHW: Tensor, taps: Tensor) -> Tensor:
    """Blur by the same taps along rows and columns, borders reflected."""
    batch, channels, height, width = x_NCHW.shape
    size_N2 = torch.stack(
        [torch.full((batch,), side, device=x_NCHW.device) for side in (height, width)], 1
    )
    x = padded(x_NCHW, size_N2, len(taps) // 2).flatten(0, 1)[:, None]
    x = F.conv2d(F.conv2d(x, taps[None, None, :, None]), taps[None, None, None, :])
    return x.view(batch, channels, height, width)


def sharpen(x_NCHW: Tensor, taps: Tensor) -> Tensor:
    """Unsharp masking where the picture differs from its blur by more than 10 levels. Values in [0, 1] stay there."""
    residual = x_NCHW - smooth(x_NCHW, taps)
    mask = smooth((residual.abs() > USM_THRESHOLD).float(), taps)
    sharp = (x_NCHW + USM_WEIGHT * residual).clamp(0, 1)
    return mask * sharp + (1 - mask) * x_NCHW
