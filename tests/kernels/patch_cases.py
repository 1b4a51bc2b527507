"""Images, what the patch sampler should cut from them, worked out one patch at a time, and comparisons.

Axes: N patches of a batch, C channels, H W high- and h w low-resolution sides of a patch, I images, B bytes.
"""

from typing import Literal

import numpy as np
import torch
from fastsr_kernels.bicubic import filter_axis, halo
from fastsr_kernels.launch import Launch
from fastsr_kernels.patch_sampler import Crop, Images
from torch import Tensor

FLOATS = [torch.float32, torch.float16, torch.bfloat16]
SIZES = (
    (24, 24),
    (40, 57),
    (33, 26),
    (25, 71),
)  # one is no larger than a patch: filters meet all four edges
PATCH = 24


def crop(
    scale: int,
    border: Literal["replicate", "mirror"] = "replicate",
    augment: bool = True,
    batch: int = 2,
) -> Crop:
    return Crop(scale, PATCH, batch, border, augment)


def pictures(sizes: tuple[tuple[int, int], ...] = SIZES, seed: int = 0) -> list[np.ndarray]:
    """Noise with much black and white, where bicubic overshoots and both roundings clamp. uint8 `[H, W, 3]`."""
    rng = np.random.default_rng(seed)
    return [np.clip(rng.integers(-200, 456, (h, w, 3)), 0, 255).astype(np.uint8) for h, w in sizes]


def packed(images: list[np.ndarray], weights: list[int] | None = None) -> Images:
    """One image after the other. Drawn alike, unless there are weights."""
    heights, widths = ([image.shape[axis] for image in images] for axis in (0, 1))
    area = np.array(heights) * np.array(widths)
    tables = (np.cumsum(area) - area, heights, widths, np.cumsum(weights or [1] * len(images)))
    pixels_B = torch.from_numpy(np.concatenate([image.ravel() for image in images]))
    return Images(pixels_B, *(torch.tensor(np.array(table), dtype=torch.int64) for table in tables))


def crops_in(images: list[np.ndarray], scale: int) -> list[int]:
    """The number of patches in each image, as weights to draw images by."""
    return [
        (h // scale - PATCH // scale + 1) * (w // scale - PATCH // scale + 1)
        for h, w, _ in (i.shape for i in images)
    ]


def moved(images: Images, device: str) -> Images:
    return Images(*(x if x is None else x.to(device) for x in images))


def at(step: int, device: str = "cpu") -> Tensor:
    return torch.tensor(step, device=device)


def philox_words(counter: int, seed: int, third: int = 0, fourth: int = 0) -> tuple[int, ...]:
    """Philox4x32-10 in Python's unbounded integers, from the paper; the counter is its lower two words of four."""
    c = [counter & 0xFFFFFFFF, counter >> 32 & 0xFFFFFFFF, third, fourth]
    k = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, p0 >> 32 ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return tuple(c)


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    image = image[:, ::-1] if turn & 1 else image
    image = image[::-1] if turn & 2 else image
    return image.transpose(1, 0, 2) if turn & 4 else image


def shrunk(image: np.ndarray, scale: int, border: str) -> np.ndarray:
    """The whole image by bicubic, the border rule as numpy pads."""
    margin = halo(scale)
    mode: Literal["symmetric", "edge"] = "symmetric" if border == "mirror" else "edge"
    padded = torch.from_numpy(np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode))
    return filter_axis(filter_axis(padded, 0, scale), 1, scale).numpy()


def one_patch(
    images: list[np.ndarray], cumulative: list[int], crop: Crop, seed: int, counter: int
) -> list[np.ndarray]:
    """LR and HR patch of one counter: from a whole image, cut to a multiple of the scale and shrunk as a whole."""
    r0, r1, r2, r3 = philox_words(counter, seed)
    target = r0 * cumulative[-1] >> 32
    image = images[next(i for i, weights in enumerate(cumulative) if weights > target)]
    rows, columns, side = (
        image.shape[0] // crop.scale,
        image.shape[1] // crop.scale,
        crop.patch // crop.scale,
    )
    usable = image[: rows * crop.scale, : columns * crop.scale]
    top, left = r1 * (rows - side + 1) >> 32, r2 * (columns - side + 1) >> 32
    low = shrunk(usable, crop.scale, crop.border)[top : top + side, left : left + side]
    high = usable[crop.scale * top :, crop.scale * left :][: crop.patch, : crop.patch]
    return [turned(patch, r3 & 7 if crop.augment else 0) for patch in (low, high)]


def expected(
    images: list[np.ndarray], crop: Crop, seed: int, step: int, weights: list[int] | None = None
) -> tuple[Tensor, Tensor]:
    """The patches of a step as bytes `lr_NhwC, hr_NHWC`."""
    cumulative = np.cumsum(weights or [1] * len(images)).tolist()
    patches = [
        one_patch(images, cumulative, crop, seed, step * crop.batch + n) for n in range(crop.batch)
    ]
    lr, hr = (torch.from_numpy(np.stack(kind)) for kind in zip(*patches, strict=True))
    return lr, hr


def assert_patches(
    got: tuple[Tensor, Tensor], want: tuple[Tensor, Tensor], truncates: bool = False
) -> None:
    """Patches are these bytes times 1/255 in fp32, then rounded, bit for bit; channels-last in memory.

    `truncates`: where bf16 is cut off, not rounded, as Triton's interpreter does, they may be one step too small.
    """
    for name, a, byte_NHWC in zip(("lr_NChw", "hr_NCHW"), got, want, strict=True):
        unit_NHWC = (byte_NHWC.double() * float(np.float32(1 / 255))).float()
        b_NHWC = unit_NHWC.to(a.dtype)
        a_NHWC = a.permute(0, 2, 3, 1)
        assert a_NHWC.is_contiguous(), f"{name} is not channels-last: {a.stride()}"
        assert a_NHWC.shape == b_NHWC.shape, f"{name} is {tuple(a.shape)}"
        if a.dtype == torch.bfloat16 and truncates:
            b_NHWC = (unit_NHWC.view(torch.int32) >> 16 << 16).view(torch.float32).to(a.dtype)
        wrong = int((a_NHWC.cpu() != b_NHWC).sum())
        assert wrong == 0, f"{name}: {wrong} of {a.numel()} samples differ"


def poison(launch: Launch) -> None:
    """Fills the memory that a launch is to write with NaN."""
    for name in ("lr_NChw", "hr_NCHW"):
        launch.arguments[name].fill_(float("nan"))
