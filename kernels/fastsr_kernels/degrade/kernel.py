"""The degradations in Triton: the launches of a step, in order. reference.py defines them, README.md tells why so.

Axes: N samples, C channels, H W sides of a canvas, F numbers of the settings, T side of blur kernels.
"""

from typing import Any

import torch
import triton
from torch import Tensor

from fastsr_kernels.degrade import kernel_draw, kernel_filter, kernel_jpeg, kernel_noise
from fastsr_kernels.degrade.reference import PLAIN, SHUFFLED
from fastsr_kernels.degrade.settings import DCT_AT, USM_AT, Frame
from fastsr_kernels.launch import Launch

TILE, WARPS, REGISTERS = 256, 4, 128
ROWS, COLS = 8, 128
"""Sides of a tile that one warp filters: 4 columns and all rows are a thread's, so that its loads serve several."""
OPTIONS = {"num_warps": WARPS, "maxnreg": REGISTERS, "enable_fp_fusion": False}
"""Without fused multiply-adds, so that sizes and levels are the reference's."""
ONE_WARP = {**OPTIONS, "num_warps": 1}
FILTER = {**ONE_WARP, "enable_fp_fusion": True}
"""Sums of hundreds of products, whose order is not the reference's either."""
SMOOTH = {**FILTER, "maxnreg": 168}
"""The last pass holds three pictures: Triton 3.6 needs 160 registers for it, or spills; 3.8 needs 121."""
LAST = 9
"""A slot beyond the last of a round."""


def strides(x_NCHW: Tensor) -> dict[str, Any]:
    return dict(zip(("stride_n", "stride_c", "stride_y", "stride_x"), x_NCHW.stride(), strict=True))


class Plan:
    """Launches of a step and the tensors between them.

    Args:
        tile: pixels or samples of a program, a power of two; 0 for as many as a GPU likes, -1 for all of a picture.
    """

    def __init__(
        self,
        hr_NCHW: Tensor,
        frame: Frame,
        numbers_F: Tensor,
        seed: int,
        step: Tensor,
        tile: int = 0,
    ) -> None:
        self.frame, self.numbers_F, self.seed, self.step, self.tile = (
            frame, numbers_F, seed, step, tile
        )  # fmt: skip
        self.batch, self.channels, self.height, self.width = hr_NCHW.shape
        self.device = hr_NCHW.device
        self.launches: list[Launch] = []
        self.table = self.empty(self.batch, kernel_draw.COLUMNS)
        sides = [frame.canvas_sides(side) for side in (self.height, self.width)]
        self.sides_of_tiles = (
            (ROWS, COLS) if tile >= 0 else tuple(triton.next_power_of_2(max(s)) for s in sides)
        )
        self.kernels_3NTT = self.empty(3, self.batch, frame.taps + 2 * self.margin, frame.taps)
        self.draw()
        self.hr_NCHW = self.sharpened(hr_NCHW) if frame.usm else hr_NCHW
        x = self.hr_NCHW
        for number in range(2):
            x = self.round(x, number, (sides[0][number], sides[1][number]))
            if number == 0:
                self.jpeg(x, 0, when=0)
        self.jpeg(x, 1, when=1)
        low = frame.low_side(self.height), frame.low_side(self.width)
        x = self.resize(x, 1, LAST, low, is_last=True)
        x = self.blur(x, 1, LAST, is_last=True)
        self.jpeg(x, 1, when=2)
        self.outputs = self.cut(x)

    @property
    def margin(self) -> int:
        """Rows of zeros above and below a blur kernel, for a tile of as many rows."""
        return self.sides_of_tiles[0]

    def empty(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=self.device)

    def launch(
        self,
        kernel: Any,
        programs: tuple[int, ...],
        options: dict[str, Any] = OPTIONS,
        **arguments: Any,
    ) -> None:
        self.launches.append(Launch(kernel, programs, arguments, options, self.device))

    def tiles(self, work: int) -> tuple[int, int]:
        """Size of a tile, and how many tiles this much work is."""
        tile = triton.next_power_of_2(work) if self.tile < 0 else self.tile or TILE
        return tile, triton.cdiv(work, tile)

    def rectangles(self, x: Tensor) -> tuple[dict[str, int], int]:
        """Sides of a tile of one channel, and how many tiles a picture is."""
        _, channels, height, width = x.shape
        rows, cols = self.sides_of_tiles
        count = channels * triton.cdiv(height, rows) * triton.cdiv(width, cols)
        return {"ROWS": rows, "COLS": cols}, count

    def draw(self) -> None:
        frame = self.frame
        self.launch(
            kernel_draw.draw_kernel, (self.batch,), ONE_WARP, numbers_F=self.numbers_F, step=self.step,
            table=self.table, seed=self.seed, BATCH=self.batch, HEIGHT=self.height, WIDTH=self.width,
            SCALE=frame.scale, PLACES=frame.context // frame.scale + 1, LEAST=frame.least_taps, MOST=frame.taps,
            COLUMNS=kernel_draw.COLUMNS,
        )  # fmt: skip
        self.launch(
            kernel_draw.kernels_kernel, (self.batch, 3), table=self.table, kernels_3NTT=self.kernels_3NTT,
            BATCH=self.batch, COLUMNS=kernel_draw.COLUMNS, T=frame.taps, SIDE=triton.next_power_of_2(frame.taps),
            MARGIN=self.margin,
        )  # fmt: skip

    def common(self, number: int, slot: int) -> dict[str, Any]:
        """Arguments of every stage of a round."""
        return {
            "table": self.table, "COLUMNS": kernel_draw.COLUMNS, "R": number, "SLOT": slot,
            "SHUFFLE": self.frame.shuffle, "C": self.channels, "HEIGHT": self.height, "WIDTH": self.width,
        }  # fmt: skip

    def round(self, x: Tensor, number: int, side: tuple[int, int]) -> Tensor:
        """Blur, resize and noise; in all places where orders are shuffled."""
        steps = SHUFFLED if self.frame.shuffle else PLAIN
        for slot, name in enumerate(steps):
            if name == "blur":
                x = self.blur(x, number, slot)
            elif name == "resize":
                is_final = "resize" not in steps[slot + 1 :]
                held = max(side[0], x.shape[2]), max(side[1], x.shape[3])
                x = self.resize(x, number, slot, side if is_final else held)
            else:
                x = self.copy(x) if x is self.hr_NCHW else x
                self.noise(x, number, slot)
        return x

    def copy(self, x: Tensor) -> Tensor:
        out = self.empty(*x.shape)
        tile, programs = self.tiles(x[0].numel())
        self.launch(
            kernel_filter.copy_kernel, (self.batch, programs), x_NCHW=x, out_NCHW=out, C=self.channels, H=x.shape[2],
            W=x.shape[3], TILE=tile, **strides(x),
        )  # fmt: skip
        return out

    def blur(self, x: Tensor, number: int, slot: int, is_last: bool = False) -> Tensor:
        out = self.empty(*x.shape)
        sides, programs = self.rectangles(x)
        self.launch(
            kernel_filter.blur_kernel, (self.batch, programs), FILTER, x_NCHW=x, out_NCHW=out,
            kernels_NTT=self.kernels_3NTT[2 if is_last else number], H=x.shape[2], W=x.shape[3], T=self.frame.taps,
            IS_LAST=is_last, MARGIN=self.margin, **sides, **strides(x), **self.common(number, slot),
        )  # fmt: skip
        return out

    def resize(
        self, x: Tensor, number: int, slot: int, side: tuple[int, int], is_last: bool = False
    ) -> Tensor:
        out = self.empty(self.batch, self.channels, *side)
        tile, programs = self.tiles(out[0].numel())
        self.launch(
            kernel_filter.resize_kernel, (self.batch, programs), x_NCHW=x, out_NCHW=out, OLD_H=x.shape[2],
            OLD_W=x.shape[3], H=side[0], W=side[1], IS_LAST=is_last, TILE=tile, **self.common(number, slot),
        )  # fmt: skip
        return out

    def noise(self, x: Tensor, number: int, slot: int) -> None:
        """In place."""
        tile, programs = self.tiles(x[0, 0].numel())
        self.launch(
            kernel_noise.noise_kernel, (self.batch, programs), x_NCHW=x, step=self.step, seed=self.seed,
            BATCH=self.batch, H=x.shape[2], W=x.shape[3], TILE=tile, **self.common(number, slot),
        )  # fmt: skip

    def jpeg(self, x: Tensor, number: int, when: int) -> None:
        """In place."""
        _, channels, height, width = x.shape
        blocks = [2 * triton.cdiv(side, 16) for side in (height, width)]
        planes, count = (1 if channels == 3 else channels), blocks[0] * blocks[1]
        luma = self.empty(self.batch, planes, count * 64, dtype=torch.uint8)
        chroma = self.empty(self.batch, count * 32 if channels == 3 else 1, dtype=torch.uint8)
        shared: dict[str, Any] = {
            "x_NCHW": x, "luma_NPHW": luma, "chroma_N2hw": chroma, "table": self.table, "R": number, "WHEN": when,
            "COLUMNS": kernel_draw.COLUMNS, "C": channels, "H": height, "W": width, "BLOCKS_Y": blocks[0],
            "BLOCKS_X": blocks[1],
        }  # fmt: skip
        programs = planes * count + (count // 2 if channels == 3 else 0)
        dct = self.numbers_F[DCT_AT:USM_AT]
        self.launch(kernel_jpeg.code_kernel, (self.batch, programs), ONE_WARP, dct=dct, **shared)
        tile, programs = self.tiles(height * width)
        self.launch(kernel_jpeg.decode_kernel, (self.batch, programs), TILE=tile, **shared)

    def sharpened(self, hr: Tensor) -> Tensor:
        """Four passes: the blur along both axes and its residual, the mask along both axes and the picture."""
        first, mask, residual, out = (self.empty(*hr.shape) for _ in range(4))
        sides, programs = self.rectangles(hr)
        taps = self.numbers_F[USM_AT:]
        for x, to, down, then in (
            (hr, first, False, 3), (first, mask, True, 1), (mask, first, False, 0), (first, out, True, 2)
        ):  # fmt: skip
            self.launch(
                kernel_filter.smooth_kernel, (self.batch, programs), SMOOTH, x_NCHW=x, hr_NCHW=hr, out_NCHW=to,
                other_NCHW=residual, taps=taps, C=self.channels, H=self.height, W=self.width, RADIUS=len(taps) // 2,
                DOWN=down, THEN=then, **sides, **strides(hr),
            )  # fmt: skip
        return out

    def cut(self, x: Tensor) -> tuple[Tensor, Tensor]:
        frame, hr = self.frame, self.hr_NCHW
        sides = [side - frame.context for side in (self.height, self.width)]
        lr_patch, hr_patch = (
            self.empty(self.batch, sides[0] // s, sides[1] // s, self.channels).permute(0, 3, 1, 2)
            for s in (frame.scale, 1)
        )
        tile, high = self.tiles(hr_patch[0].numel())
        programs = high + triton.cdiv(lr_patch[0].numel(), tile)
        self.launch(
            kernel_noise.cut_kernel, (self.batch, programs), lr_NChw=x, hr_NCHW=hr, table=self.table,
            lr_patch=lr_patch, hr_patch=hr_patch, COLUMNS=kernel_draw.COLUMNS, C=self.channels, H=self.height,
            W=self.width, SCALE=frame.scale, CONTEXT=frame.context, TILE=tile, **strides(hr),
        )  # fmt: skip
        return lr_patch, hr_patch


def degrade(
    hr_NCHW: Tensor, frame: Frame, numbers_F: Tensor, seed: int, step: Tensor
) -> tuple[Tensor, Tensor]:
    """The kernels' `reference.degrade`. Canvases and tables are freed when it returns."""
    plan = Plan(hr_NCHW, frame, numbers_F, seed, step)
    for launch in plan.launches:
        launch.run()
    return plan.outputs


def allocate(
    hr_NCHW: Tensor, frame: Frame, numbers_F: Tensor, seed: int, step: Tensor
) -> tuple[Tensor, Tensor]:
    """Allocates what `degrade` does, and launches nothing: for tensors without contents, whose bytes are counted."""
    return Plan(hr_NCHW, frame, numbers_F, seed, step).outputs
