"""Every training image as one flat uint8 buffer.

Axes: I images, B bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastsr.system.memory import available_memory, memory_of


@dataclass(frozen=True, kw_only=True)
class PixelStore:
    """Images as one flat buffer of RGB rows, and where each begins.

    Pixels live in device memory, in pinned host memory or in a mapped file; the tables are on `pixels.device`.
    """

    pixels: Tensor
    """uint8 `[B]`: the images one after the other, each `[height, width, 3]`."""
    start_I: Tensor
    """int64: first pixel (not byte) of each image."""
    height_I: Tensor
    """int64, in pixels."""
    width_I: Tensor
    """int64, in pixels."""
    names: tuple[str, ...]
    """File of each image, for messages."""
    digest: str = ""
    """SHA-256 of the packed pixels, where they came from a pack."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    @property
    def nbytes(self) -> int:
        return self.pixels.numel()

    def image(self, index: int) -> Tensor:
        """One image as uint8 `[height, width, 3]`, a view."""
        start, height, width = (int(t[index]) for t in (self.start_I, self.height_I, self.width_I))
        return self.pixels[3 * start : 3 * (start + height * width)].view(height, width, 3)

    def to(self, device: torch.device) -> "PixelStore":
        tables = {
            name: getattr(self, name).to(device) for name in ("start_I", "height_I", "width_I")
        }
        return replace(self, pixels=self.pixels.to(device), **tables)

    def pin(self) -> "PixelStore":
        """A copy in page-locked host memory, which a GPU can read directly."""
        return replace(self, pixels=self.pixels.pin_memory())

    def only(self, keep_I: Tensor) -> "PixelStore":
        """The images where `keep_I` (bool) is true, on the same pixels."""
        names = tuple(name for name, keep in zip(self.names, keep_I.tolist(), strict=True) if keep)
        tables = {name: getattr(self, name)[keep_I] for name in ("start_I", "height_I", "width_I")}
        return replace(self, names=names, **tables)

    @staticmethod
    def from_images(
        images: list[NDArray[np.uint8]], names: tuple[str, ...] | None = None
    ) -> "PixelStore":
        """A store in memory, of `[height, width, 3]` uint8 arrays."""
        sizes = [image.shape[:2] for image in images]
        pixels = torch.from_numpy(np.concatenate([image.reshape(-1) for image in images]))
        return store_of(pixels, sizes, names or tuple(f"image {k}" for k in range(len(images))))


def store_of(pixels: Tensor, sizes: list[tuple[int, ...]], names: tuple[str, ...]) -> PixelStore:
    """A store of images that lie one after the other in `pixels`; `sizes` are their heights and widths."""
    height_I, width_I = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2).unbind(1)
    area_I = height_I * width_I
    return PixelStore(
        pixels=pixels,
        start_I=area_I.cumsum(0) - area_I,
        height_I=height_I,
        width_I=width_I,
        names=names,
    )


Memory = Literal["device", "pinned", "file"]


def place(
    store: PixelStore, device: torch.device, training_bytes: Callable[[], int] = lambda: 0
) -> PixelStore:
    """Moves pixels to the fastest memory with room for them: the device, pinned host memory, or the mapped file.

    Args:
        training_bytes: what training needs of the device's memory, of which it may have some already. It is asked only
            where it decides.
    """
    if device.type != "cuda":
        return store
    memory = memory_for(store.nbytes, memory_of(device), training_bytes, available_memory())
    if memory == "device":
        return store.to(device)
    return store.pin() if memory == "pinned" else store


def memory_for(
    pixels: int, device_bytes: int, training_bytes: Callable[[], int], host_bytes: int
) -> Memory:
    """The fastest memory that has room for that many bytes of pixels.

    Args:
        device_bytes: what this process can have of the device's memory. host_bytes: of the host's, of which it may use
            half: others need some, and so does reading the file.
    """
    if pixels < device_bytes // 4 or pixels < device_bytes - training_bytes():
        return "device"
    # torch takes pinned memory in powers of two.
    return "pinned" if 1 << max(pixels - 1, 0).bit_length() <= host_bytes // 2 else "file"
