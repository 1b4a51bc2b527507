"""Every training image as one flat buffer of samples.

Axes: I images, B bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fastsr.system.memory import available_memory, memory_of

TABLES = ("start_I", "height_I", "width_I", "lr_start_I")
PIXELS = ("pixels", "lr_pixels")


@dataclass(frozen=True, kw_only=True)
class PixelStore:
    """Images as one flat buffer of rows of pixels, and where each begins; with given low resolutions or without.

    Pixels live in device memory, in pinned host memory or in a mapped file; the tables are on `pixels.device`.
    """

    pixels: Tensor
    """uint8 or uint16 `[B]`: the images one after the other, each `[height, width, channels]`."""
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
    channels: int = 3
    lr_pixels: Tensor | None = None
    """Given low-resolution images, likewise; each side is that of its image over the scale, rounded down."""
    lr_start_I: Tensor | None = None
    """int64: first pixel of each of them."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def device(self) -> torch.device:
        return self.pixels.device

    @property
    def nbytes(self) -> int:
        given = 0 if self.lr_pixels is None else self.lr_pixels.nbytes
        return self.pixels.nbytes + given

    def image(self, index: int) -> Tensor:
        """One image as `[height, width, channels]`, a view."""
        start, height, width = (int(t[index]) for t in (self.start_I, self.height_I, self.width_I))
        c = self.channels
        return self.pixels[c * start : c * (start + height * width)].view(height, width, c)

    def to(self, device: torch.device) -> "PixelStore":
        return replace(self, **{name: x.to(device) for name, x in self.tensors(TABLES + PIXELS)})

    def tensors(self, names: tuple[str, ...]) -> list[tuple[str, Tensor]]:
        """Those of the tensors that there are."""
        return [(name, x) for name in names if (x := getattr(self, name)) is not None]

    def pin(self) -> "PixelStore":
        """A copy in page-locked host memory, which a GPU can read directly."""
        return replace(self, **{name: x.pin_memory() for name, x in self.tensors(PIXELS)})

    def only(self, keep_I: Tensor) -> "PixelStore":
        """The images where `keep_I` (bool) is true, on the same pixels."""
        names = tuple(name for name, keep in zip(self.names, keep_I.tolist(), strict=True) if keep)
        tables = {name: table[keep_I] for name, table in self.tensors(TABLES)}
        return replace(self, names=names, **tables)

    @staticmethod
    def from_images(
        images: Sequence[NDArray[np.uint8] | NDArray[np.uint16]],
        names: tuple[str, ...] | None = None,
    ) -> "PixelStore":
        """A store in memory, of `[height, width, C]` arrays of one type and one number of channels."""
        sizes = [image.shape[:2] for image in images]
        pixels = torch.from_numpy(np.concatenate([image.reshape(-1) for image in images]))
        names = names or tuple(f"image {k}" for k in range(len(images)))
        return store_of(pixels, sizes, names, images[0].shape[2])


def store_of(
    pixels: Tensor, sizes: list[tuple[int, ...]], names: tuple[str, ...], channels: int = 3
) -> PixelStore:
    """A store of images that lie one after the other in `pixels`; `sizes` are their heights and widths."""
    height_I, width_I = torch.tensor(sizes, dtype=torch.int64).reshape(-1, 2).unbind(1)
    area_I = height_I * width_I
    return PixelStore(
        pixels=pixels,
        start_I=area_I.cumsum(0) - area_I,
        height_I=height_I,
        width_I=width_I,
        names=names,
        channels=channels,
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
