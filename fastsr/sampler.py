"""Training patches as a pure function of (seed, step), in integer tensor operations: every device draws the same.

Axes: N images of a batch, C channels, H W high-resolution and h w low-resolution sides of a patch, I images of a store.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

import torch
from torch import Tensor

from fastsr.bicubic import Border, border_index, filter_axis, halo
from fastsr.errors import UserError
from fastsr.pixels import PixelStore

Probability = Literal["uniform", "area"]
WORD = 0xFFFFFFFF


class PatchSource(Protocol):
    """Whatever gives the patches `lr_NChw, hr_NCHW` of a step, on the training device."""

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]: ...


def multiply_32(a: Tensor, b: int) -> tuple[Tensor, Tensor]:
    """High and low word of the product of 32-bit integers kept in int64, which the full product would overflow."""
    low, high = (a & 0xFFFF) * b, (a >> 16) * b
    middle = high + (low >> 16)
    return middle >> 16, ((middle & 0xFFFF) << 16) | (low & 0xFFFF)


def philox(counter_N: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four random 32-bit integers (in int64) for each counter: Philox4x32-10.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The counter fills the lower two of
    the four words, the seed is the 64-bit key.
    """
    c0, c1 = counter_N & WORD, (counter_N >> 32) & WORD
    c2, c3 = torch.zeros_like(c0), torch.zeros_like(c0)
    k0, k1 = seed & WORD, (seed >> 32) & WORD
    for _ in range(10):
        high_0, low_0 = multiply_32(c0, 0xD2511F53)
        high_2, low_2 = multiply_32(c2, 0xCD9E8D57)
        c0, c1, c2, c3 = high_2 ^ c1 ^ k0, low_2, high_0 ^ c3 ^ k1, low_0
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


def below(random_N: Tensor, bound_N: Tensor) -> Tensor:
    """Maps 32-bit random integers to `[0, bound)`, for bounds below 2^31."""
    return (random_N * bound_N) >> 32


class PatchSampler:
    """Draws aligned pairs of low- and high-resolution patches.

    Crops begin at multiples of the scale and are turned and mirrored in one of 8 ways. The low-resolution patch is
    MATLAB's bicubic of the whole image, cropped: the filter reads beyond the crop, and the border rule holds only at
    the edge of the image, which is first cut to a multiple of the scale.

    Args:
        store: the images. scale: 2, 3, 4 or 8. patch: side of the HR patch in pixels, a multiple of the scale.
        batch: patches in one draw. seed: any integer of up to 64 bits.
        border: what lies beyond an image's edge. probability: draw images alike, or in proportion to their crops.
        augment: turn and mirror.
    Raises:
        UserError: for a patch that is no multiple of the scale or larger than an image.
    """

    def __init__(
        self,
        store: PixelStore,
        *,
        scale: int,
        patch: int,
        batch: int,
        seed: int,
        border: Border = "replicate",
        probability: Probability = "uniform",
        augment: bool = True,
    ) -> None:
        if patch % scale:
            raise UserError(f"--patch {patch} is no multiple of --scale {scale}; use {patch // scale * scale or scale}")
        self.store, self.scale, self.patch, self.batch, self.seed = store, scale, patch, batch, seed
        self.border: Border = border
        self.augment = augment
        device = store.device
        self.rows_I, self.columns_I = ((side // scale - patch // scale + 1) for side in (store.height_I, store.width_I))
        if bool((torch.minimum(self.rows_I, self.columns_I) < 1).any()):
            raise UserError(f"an image is smaller than --patch {patch}; use a smaller patch")
        crops_I = self.rows_I * self.columns_I
        while probability == "area" and int(crops_I.sum()) >= 2**31:
            crops_I = (crops_I + 1) // 2
        self.weight_I = crops_I if probability == "area" else torch.ones_like(crops_I)
        self.cumulative_I = self.weight_I.cumsum(0)
        self.lane_N = torch.arange(batch, device=device)
        margin = halo(scale)
        self.window = torch.arange(-margin, patch + margin, device=device)

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The patches of one step: `lr_NChw, hr_NCHW`, float32 in [0, 1], channels-last.

        Args:
            step: int64 scalar on the store's device; it is not read by the host.
        """
        lr_NhwC, hr_NHWC = self.draw_bytes(step)
        return to_unit(lr_NhwC), to_unit(hr_NHWC)

    def draw_bytes(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """The same patches as uint8 `lr_NhwC, hr_NHWC`."""
        image_N, top_N, left_N, turn_N = self.choose(step)
        window_NHWC = self.gather(image_N, top_N, left_N)
        margin = halo(self.scale)
        hr_NHWC = window_NHWC[:, margin : margin + self.patch, margin : margin + self.patch]
        lr_NhwC = filter_axis(filter_axis(window_NHWC, 1, self.scale), 2, self.scale)
        if not self.augment:
            return lr_NhwC, hr_NHWC.contiguous()
        return orient(lr_NhwC, turn_N), orient(hr_NHWC, turn_N)

    def choose(self, step: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Which image, where its crop begins (HR pixels), and which of 8 orientations, for each patch of a step."""
        r0, r1, r2, r3 = philox(step * self.batch + self.lane_N, self.seed)
        image_N = torch.searchsorted(self.cumulative_I, below(r0, self.cumulative_I[-1]), right=True)
        top_N = below(r1, self.rows_I[image_N]) * self.scale
        left_N = below(r2, self.columns_I[image_N]) * self.scale
        return image_N, top_N, left_N, r3 & 7

    def gather(self, image_N: Tensor, top_N: Tensor, left_N: Tensor) -> Tensor:
        """uint8 windows `[N, patch + 2 halo, patch + 2 halo, 3]` around the crops."""
        height_N, width_N = self.store.height_I[image_N], self.store.width_I[image_N]
        row_NH = self.inside(top_N, height_N)
        column_NW = self.inside(left_N, width_N)
        pixel_NHW = (self.store.start_I[image_N][:, None] + row_NH * width_N[:, None])[:, :, None] + column_NW[:, None]
        return self.store.pixels.view(-1, 3)[pixel_NHW]

    def inside(self, first_N: Tensor, side_N: Tensor) -> Tensor:
        """Rows (or columns) of a window, by the border rule at the edge of the image cut to a multiple of the scale."""
        usable_N1 = (side_N // self.scale * self.scale)[:, None]
        return border_index(first_N[:, None] + self.window, usable_N1, self.border)


def orient(x_NHWC: Tensor, turn_N: Tensor) -> Tensor:
    """One of the 8 symmetries of the square for each image: bit 0 mirrors columns, bit 1 rows, bit 2 transposes."""
    turn_N111 = turn_N[:, None, None, None]
    x_NHWC = torch.where((turn_N111 & 1) > 0, x_NHWC.flip(2), x_NHWC)
    x_NHWC = torch.where((turn_N111 & 2) > 0, x_NHWC.flip(1), x_NHWC)
    return torch.where((turn_N111 & 4) > 0, x_NHWC.transpose(1, 2), x_NHWC).contiguous()


def to_unit(x_NHWC: Tensor) -> Tensor:
    """uint8 `[N, H, W, C]` as float32 `[N, C, H, W]` in [0, 1], channels-last in memory."""
    return (x_NHWC.float() / 255).permute(0, 3, 1, 2)


class HostPatches:
    """Patches of a store in host memory, for training on a device: drawn one step ahead by a thread, then copied.

    The host counts the steps itself, so that the device's counter need not be read.
    """

    def __init__(self, sampler: PatchSampler, device: torch.device) -> None:
        self.sampler, self.device = sampler, device
        self.pool = ThreadPoolExecutor(1)
        self.seek(0)

    def seek(self, step: int) -> None:
        """The step whose patches `draw` gives next."""
        self.step = step
        self.next = self.pool.submit(self.fetch, step)

    def fetch(self, step: int) -> tuple[Tensor, Tensor]:
        lr_NhwC, hr_NHWC = self.sampler.draw_bytes(torch.tensor(step))
        pinned = self.device.type == "cuda"
        return (lr_NhwC.pin_memory(), hr_NHWC.pin_memory()) if pinned else (lr_NhwC, hr_NHWC)

    def draw(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """As `PatchSampler.draw`, for the steps one after the other from `seek` on; `step` itself is not read."""
        lr_NhwC, hr_NHWC = self.next.result()
        self.seek(self.step + 1)
        return (
            to_unit(lr_NhwC.to(self.device, non_blocking=True)),
            to_unit(hr_NHWC.to(self.device, non_blocking=True)),
        )
