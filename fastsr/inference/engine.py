"""Enlarges batches of images by one generator or several: whole where they fit, else by tiles.

A model of RGB enlarges grey, too, as three equal channels, and bicubic enlarges alpha. A model of grey enlarges the
brightness of colours, and bicubic the rest of them. A model of any other number of channels takes just those.

Axes: N images, C = 1 (grey), 2 (grey and alpha), 3 (RGB), 4 (RGB and alpha) or that of the model, h w low resolution,
H W high resolution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from fastsr.console import counted
from fastsr.errors import UserError
from fastsr.inference.memory import bytes_per_pixel
from fastsr.inference.tiles import LEAST_CORE, Cut, Span, cut, paste
from fastsr.models import Generator
from fastsr.models.enlarge import Enlarge
from fastsr.system.memory import gigabytes, is_out_of_memory, memory_of, resident_memory
from fastsr.system.precision import Precision

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey, as Pillow has them."""
MARGIN, SHARE_OF_HOST, SHARE_OF_GPU = 1.5, 0.5, 0.9
"""Memory that libraries take beside tensors, as a factor, and how much of what is free is taken by default."""
COPIES = 3
"""Enlarged pictures at once in memory: one that is computed, one that is written, and Pillow's copy of it."""
ENOUGH_PIXELS = {"cpu": 256**2, "cuda": 1024**2}
"""Pixels of a batch behind which more make nothing faster."""
MOST_IMAGES = 16


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Choices in enlarging."""

    self_ensemble: bool = False
    """Mean over the 8 ways to turn and mirror an image, each turned back."""
    tile: int | None = None
    """Side of a tile in pixels of low resolution, overlaps included. None: by memory."""
    overlap: int | None = None
    """Pixels that a tile sees beyond its core. None: the receptive field."""
    memory: int | None = None
    """Bytes to use, everything included. None: half of what the host has free, or 0.9 of a GPU's."""


class Engine:
    """Generators on one device.

    Args:
        generators: in evaluation mode, of one scale; what they give is averaged.
        tell: gets a line where tiles become smaller, or are not exact.
    """

    def __init__(
        self,
        generators: tuple[Generator, ...],
        choices: Choices,
        precision: Precision,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.generators, self.choices, self.precision = generators, choices, precision
        self.tell = tell
        self.scale, self.channels = generators[0].scale, generators[0].channels
        self.device = next(generators[0].parameters()).device
        self.bicubic = Enlarge(self.scale, "bicubic").to(self.device)
        self.limit: int | None = None
        """Pixels that a tile may have since memory ran out."""
        self.told: set[str] = set()

    @property
    def field(self) -> int:
        """Pixels beyond a pixel that the generators see."""
        return max(one.receptive_radius for one in self.generators)

    @cached_property
    def bytes_per_pixel(self) -> float:
        """Of low resolution, during one forward pass."""
        eager, amp = (
            torch.compiler.set_stance("force_eager"),
            self.precision.autocast(self.device),
        )
        with eager, amp:
            most = max(bytes_per_pixel(one, self.device) for one in self.generators)
        return MARGIN * (most + 4 * max(4, self.channels) * self.scale**2 * 2)

    def most_images(self, h: int, w: int) -> int:
        """Images of a size that are worth computing together."""
        pixels = min(ENOUGH_PIXELS[self.device.type], self.most_pixels(0))
        return max(1, min(MOST_IMAGES, pixels // (h * w)))

    def most_pixels(self, result: int) -> int:
        """Pixels of low resolution for which there is memory, beside a result of so many bytes."""
        on_host = self.device.type == "cpu"
        if self.choices.memory is not None:
            used = resident_memory() if on_host else torch.cuda.memory_allocated(self.device)
            free = self.choices.memory - used
        elif on_host:
            free = int((memory_of(self.device) - resident_memory()) * SHARE_OF_HOST)
        else:
            free = int((memory_of(self.device) - torch.cuda.memory_allocated(self.device)) * SHARE_OF_GPU)  # fmt: skip
        pixels = int((free - (COPIES * result if on_host else 0)) / self.bytes_per_pixel)
        return max(min(pixels, self.limit or pixels), (LEAST_CORE * 3) ** 2)

    def enlarge(self, pixels_NhwC: Tensor, levels: int | None) -> Tensor:
        """`[N, H, W, C]` of the same dtype, where the images are.

        Args:
            levels: the value of white of integers, 255 or 65,535; None: floats in [0, 1].
        Raises:
            UserError: there is not even memory for small tiles, results are not finite, or the model takes other
                channels.
        """
        self.check_channels(pixels_NhwC.shape[3])
        canvas = self.canvas(pixels_NhwC)
        while True:
            plan = self.plan(pixels_NhwC)
            try:
                return self.by_tiles(pixels_NhwC, levels, plan, canvas)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Out here the error is gone, and with it what the tile had taken.
            self.halve(plan, pixels_NhwC.shape[1], pixels_NhwC.shape[2])

    def check_channels(self, channels: int) -> None:
        """Raises UserError for images that the model does not take."""
        if channels != self.channels and (self.channels not in (1, 3) or channels > 4):
            raise UserError(
                f"has {counted(channels, 'channel')}, and the model takes {self.channels}; give such images, "
                "or another model"
            )

    def plan(self, pixels_NhwC: Tensor) -> Cut:
        n, h, w, _ = pixels_NhwC.shape
        result = pixels_NhwC.nbytes * self.scale**2
        side, most = self.choices.tile, self.most_pixels(result) // n
        if h * w <= most and (side is None or max(h, w) <= side):
            return Cut(h, w, 0, True)
        plan = cut(h, w, most, self.field, side, self.choices.overlap)
        if not plan.is_exact:
            self.tell_once(
                f"tiles overlap by {plan.overlap} pixels and are blended: the network sees {self.field} pixels around "
                "each, so they differ slightly from an image enlarged whole"
            )
        return plan

    def tell_once(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.tell(text)

    def canvas(self, pixels_NhwC: Tensor) -> Tensor:
        """Room for the result. Raises UserError where there is none."""
        n, h, w, channels = pixels_NhwC.shape
        shape = (n, h * self.scale, w * self.scale, channels)
        need = pixels_NhwC.nbytes * self.scale**2
        has = memory_of(pixels_NhwC.device) - (0 if pixels_NhwC.is_cuda else resident_memory())
        # Linux grants more than there is, and ends the process that uses it.
        if need > has > 0:
            raise UserError(
                f"would become {shape[2]}x{shape[1]}, {gigabytes(need)} of pixels, and {gigabytes(has)} are free; "
                "cut it into smaller ones"
            )
        return torch.empty(shape, dtype=pixels_NhwC.dtype, device=pixels_NhwC.device)

    def by_tiles(
        self, pixels_NhwC: Tensor, levels: int | None, plan: Cut, canvas_NHWC: Tensor
    ) -> Tensor:
        for row, column in plan.spans(pixels_NhwC.shape[1], pixels_NhwC.shape[2]):
            self.one_tile(pixels_NhwC, levels, canvas_NHWC, row, column)
        return canvas_NHWC

    @torch.no_grad()
    def one_tile(
        self, pixels_NhwC: Tensor, levels: int | None, canvas_NHWC: Tensor, row: Span, column: Span
    ) -> None:
        tile = pixels_NhwC[:, row.read, column.read].to(self.device).float() / (levels or 1)
        x_NChw = tile.permute(0, 3, 1, 2)
        sr_NCHW = (
            self.colours(x_NChw) if levels is None else self.colours(x_NChw).mul_(levels).round_()
        )
        # Bounds in the range of the samples, so that no integer wraps.
        sr_NHWC = sr_NCHW.clamp_(0, levels or 1).permute(0, 2, 3, 1)
        paste(canvas_NHWC, sr_NHWC.to(canvas_NHWC.dtype), row, column, self.scale)

    def colours(self, x_NChw: Tensor) -> Tensor:
        """`[N, C, H, W]` fp32: grey and colours by the generators, alpha that they do not take by bicubic."""
        has_alpha = x_NChw.shape[1] in (2, 4) and self.channels in (1, 3)
        sr = self.opaque(x_NChw[:, :-1] if has_alpha else x_NChw)
        if not bool(sr.isfinite().all()):
            remedy = "leave out --amp" if self.precision.dtype else "take another model"
            raise UserError(f"becomes numbers that are not finite; {remedy}")
        if not has_alpha:
            return sr
        alpha = self.bicubic(x_NChw[:, -1:].expand(-1, 3, -1, -1))[:, :1]
        return torch.cat([sr, alpha], 1)

    def opaque(self, x_NChw: Tensor) -> Tensor:
        """`[N, C, H, W]` fp32 of grey, of colours, or of what the model takes."""
        if x_NChw.shape[1] == self.channels:
            return self.mean(x_NChw)
        if self.channels == 3:
            return brightness(self.mean(x_NChw.expand(-1, 3, -1, -1)))
        large_NCHW = self.bicubic(x_NChw)
        return large_NCHW + self.mean(brightness(x_NChw)) - brightness(large_NCHW)

    def mean(self, x_NChw: Tensor) -> Tensor:
        """The mean of all generators, and of all orientations where that is wanted, in fp32."""
        total: Tensor | None = None
        orientations = range(8) if self.choices.self_ensemble else range(1)
        # Every image has another size: for cuDNN to search for the best algorithm would not pay.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)
        with exact, self.precision.autocast(self.device):
            for k in orientations:
                x = turned(x_NChw, k).contiguous(memory_format=torch.channels_last)
                for generator in self.generators:
                    sr = turned_back(generator(x).float(), k)
                    total = sr if total is None else total.add_(sr)
        assert total is not None
        count = len(orientations) * len(self.generators)
        return total if count == 1 else total.div_(count)

    def halve(self, plan: Cut, h: int, w: int) -> None:
        """Makes tiles half as long and wide. Raises UserError where they are as small as they can be."""
        pixels = min(plan.height, h) * min(plan.width, w)
        if pixels <= (3 * LEAST_CORE) ** 2:
            has = gigabytes(memory_of(self.device))
            raise UserError(
                f"out of memory even for tiles of {plan.height}x{plan.width} pixels ({self.device.type} has {has}); "
                "stop other programs, or use a smaller model"
            )
        self.limit = pixels // 4
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        side = int(self.limit**0.5)
        self.tell(f"out of memory; going on with tiles half as long and wide, about {side}x{side}")


def brightness(x_N3hw: Tensor) -> Tensor:
    """`[N, 1, h, w]` of RGB."""
    shares = torch.tensor(LUMA, device=x_N3hw.device)[:, None, None]
    return (x_N3hw * shares).sum(1, keepdim=True)


def turned(x_NChw: Tensor, k: int) -> Tensor:
    """One of 8 orientations: mirrored along w (1), along h (2), transposed (4)."""
    x = x_NChw.flip([-1]) if k & 1 else x_NChw
    x = x.flip([-2]) if k & 2 else x
    return x.transpose(-1, -2) if k & 4 else x


def turned_back(x_NCHW: Tensor, k: int) -> Tensor:
    x = x_NCHW.transpose(-1, -2) if k & 4 else x_NCHW
    x = x.flip([-2]) if k & 2 else x
    return x.flip([-1]) if k & 1 else x
