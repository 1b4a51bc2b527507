"""Degradations for tests, and plain accounts of them by other libraries."""

import io
from typing import Any

import numpy as np
import torch
from fastsr_kernels.degrade import Degradation, Round, pack
from fastsr_kernels.degrade.draw import Drawn, draw
from fastsr_kernels.degrade.settings import unpack
from PIL import Image
from scipy import ndimage, special
from torch import Tensor

FIRST = Round(
    1.0, (0.45, 0.25, 0.12, 0.03, 0.12, 0.03), 0.1, (0.2, 3.0), (0.5, 4.0), (1.0, 2.0), (0.2, 0.7, 0.1), (0.15, 1.5),
    1.0, 0.5, (1.0, 30.0), (0.05, 3.0), 0.4, 1.0, (30, 95),
)  # fmt: skip
"""The published numbers of Real-ESRGAN."""
SECOND = FIRST._replace(
    blur_prob=0.8,
    blur_sigma=(0.2, 1.5),
    resize_prob=(0.3, 0.4, 0.3),
    resize_range=(0.3, 1.2),
    noise_range=(1.0, 25.0),
    poisson_scale_range=(0.05, 2.5),
)
REAL_ESRGAN = Degradation(4, 0, False, False, (7, 21), FIRST, SECOND, 0.8)


def degradation(first: dict[str, Any] | None = None, **changes: Any) -> Degradation:
    """Real-ESRGAN's, with other values in both rounds or elsewhere."""
    rounds = {
        "first": FIRST._replace(**(first or {})),
        "second": SECOND._replace(**(first or {})),
    }
    return REAL_ESRGAN._replace(**{**rounds, **changes})


def drawn_by(what: Degradation, batch: int, side: int, seed: int = 0, step: int = 0) -> Drawn:
    numbers = unpack(pack(what))
    return draw(what.frame, numbers, seed, torch.tensor(step), batch, (side, side))


def sizes(*pairs: tuple[int, int]) -> Tensor:
    return torch.tensor(pairs, dtype=torch.int64)


def on_canvas(pictures: list[np.ndarray], height: int, width: int) -> Tensor:
    """Pictures `[h, w, C]` of bytes in the corners of canvases that are otherwise full of noise and infinities."""
    canvas = torch.rand(len(pictures), pictures[0].shape[2], height, width) * 9 - 4
    for n, picture in enumerate(pictures):
        h, w = picture.shape[:2]
        canvas[n, :, :h, :w] = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255
    return canvas


def levels(x_CHW: Tensor) -> np.ndarray:
    """Whole levels `[H, W, C]`."""
    return (x_CHW * 255).round().permute(1, 2, 0).numpy().astype(int)


def saved_as_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """`[h, w, C]` through Pillow and its libjpeg; grey or colour with 4:2:0."""
    file = io.BytesIO()
    image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    back = np.asarray(Image.open(io.BytesIO(file.getvalue())), dtype=int)
    return back.reshape(picture.shape)


def kernel_of(
    kind: int, side: int, sigma_x: float, sigma_y: float, theta: float, beta: float, omega: float
) -> np.ndarray:
    """A blur kernel as its definition has it, in fp64: by the inverse of the covariance and by SciPy's J1."""
    offset = np.arange(side) - side // 2
    x, y = np.meshgrid(offset, offset)
    if kind == 6:
        r = np.hypot(x, y)
        r[side // 2, side // 2] = 1
        kernel = omega * special.j1(omega * r) / (2 * np.pi * r)
        kernel[side // 2, side // 2] = omega**2 / (4 * np.pi)
    else:
        turn = np.array([[np.cos(theta), -np.sin(theta)], [np.sin(theta), np.cos(theta)]])
        inverse = np.linalg.inv(turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T)
        xy = np.stack([x, y], -1)
        q = np.einsum("yxi,ij,yxj->yx", xy, inverse, xy)
        kernel = 1 / (1 + q**beta) if kind > 3 else np.exp(-0.5 * q**beta)
    return kernel / kernel.sum()


def filtered(picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """`[h, w, C]` by correlation, in fp64; borders reflected without the edge."""
    return np.stack(
        [
            ndimage.correlate(plane.astype(float), kernel, mode="mirror")
            for plane in np.moveaxis(picture, -1, 0)
        ],
        -1,
    )


def interpolated(picture: np.ndarray, size: tuple[int, int], mode: int) -> np.ndarray:
    """`[h, w, C]` by torch's own interpolation, in fp64."""
    name = ("area", "bilinear", "bicubic")[mode]
    x = torch.from_numpy(picture).double().permute(2, 0, 1)[None]
    align = {} if name == "area" else {"align_corners": False}
    return torch.nn.functional.interpolate(x, size, mode=name, **align)[0].permute(1, 2, 0).numpy()
