"""Predicted work of the launches of a degradation: what a draw makes of them on the mean, and what a GPU needs for it.

Instructions are those of the machine code for compute capability 9.0, read by `cuobjdump -sass` from what
`fastsr_kernels.ahead_of_time` compiles: of a loop's body, and of what lies outside it. Bytes and trips follow from
parameters that are drawn. Nothing is computed, and no GPU is needed.

Axes: N samples that are drawn to take means of.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from fastsr_kernels.degrade import Degradation, pack
from fastsr_kernels.degrade.draw import Drawn, RoundDrawn, draw
from fastsr_kernels.degrade.kernel import LAST, Plan
from fastsr_kernels.degrade.settings import unpack
from fastsr_kernels.launch import Launch
from torch import Tensor

from bench.roofline import NODE_SECONDS

SAMPLES, WARP = 4096, 32


class Processor(NamedTuple):
    """A GPU by what limits small kernels: 4 instructions of warps a clock and multiprocessor, of which one may load."""

    name: str
    multiprocessors: int
    gigahertz: float
    gigabytes: float

    @property
    def instructions(self) -> float:
        """Of warps, a second."""
        return 4e9 * self.multiprocessors * self.gigahertz

    @property
    def loads(self) -> float:
        """Of warps, a second, that hit the first cache."""
        return 1e9 * self.multiprocessors * self.gigahertz


PROCESSORS = (Processor("RTX 3060", 28, 1.78, 360), Processor("H200", 132, 1.98, 4800))


class Work(NamedTuple):
    """The work of one sample of a launch."""

    instructions: float
    """Of warps."""
    loads: float
    bytes: float


class Limited(NamedTuple):
    """Seconds of a launch, and what they are spent on."""

    seconds: float
    limiter: str


class Sizes(NamedTuple):
    """Sizes that a stage finds: fp32 `[N]`."""

    height: Tensor
    width: Tensor


def mean(x: Tensor) -> float:
    return float(x.double().mean())


def up(x: Tensor, step: int) -> Tensor:
    """Tiles of `step` that a side takes."""
    return (x / step).ceil()


class Model:
    """Work of every launch of a plan, whose parameters are drawn for SAMPLES samples."""

    def __init__(self, plan: Plan, what: Degradation) -> None:
        size = plan.height, plan.width
        self.plan, self.size = plan, size
        step = torch.tensor(0)
        self.drawn: Drawn = draw(what.frame, unpack(pack(what)), 0, step, SAMPLES, size)
        self.kinds: dict[str, Callable[[dict[str, Any]], Work]] = {
            "blur_kernel": self.blur, "smooth_kernel": self.smooth, "resize_kernel": self.resize,
            "noise_kernel": self.noise, "code_kernel": self.code, "decode_kernel": self.decode,
        }  # fmt: skip

    def work(self, launch: Launch) -> Work:
        """Work of a launch for the whole batch; small ones by their bytes alone."""
        found = self.kinds.get(launch.kernel.fn.__name__)
        if found is None:
            return Work(0, 0, bytes_of(launch))
        return Work(*(self.plan.batch * x for x in found(launch.arguments)))

    def round_of(self, a: dict[str, Any]) -> RoundDrawn:
        return self.drawn.second if a["R"] else self.drawn.first

    def before(self, a: dict[str, Any]) -> Sizes:
        """Valid sizes that a launch of a round reads, which is not shuffled: the resize is in slot 1."""
        if a.get("SLOT", LAST) > 1:
            return Sizes(self.round_of(a).height, self.round_of(a).width)
        if a["R"]:
            return Sizes(self.drawn.first.height, self.drawn.first.width)
        return self.fixed(*self.size)

    def fixed(self, height: int, width: int) -> Sizes:
        return Sizes(torch.full((SAMPLES,), float(height)), torch.full((SAMPLES,), float(width)))

    def blur(self, a: dict[str, Any]) -> Work:
        last = a["IS_LAST"]
        size = self.fixed(a["H"], a["W"]) if last else self.before(a)
        drawn = self.drawn.final if last else self.round_of(a)
        side = torch.where(drawn.blurs > 0, drawn.taps, 1)
        tiles = a["C"] * up(size.height, a["ROWS"]) * up(size.width, a["COLS"])
        inner = side * (side + a["ROWS"] - 1)
        area = a["C"] * size.height * size.width
        return Work(
            mean(tiles * (68 * inner + 28 * side + 200)), mean(tiles * 12 * inner), 8 * mean(area)
        )

    def smooth(self, a: dict[str, Any]) -> Work:
        """Of what is read besides the picture that is filtered: HR, residuals."""
        tiles = a["C"] * -(-a["H"] // a["ROWS"]) * -(-a["W"] // a["COLS"])
        taps = 2 * a["RADIUS"] + 1
        trips = taps + a["ROWS"] - 1 if a["DOWN"] else taps
        body, loads = (85, 9) if a["DOWN"] else (110, 33)
        tensors = {0: 2, 1: 4, 2: 4, 3: 2}[a["THEN"]]
        area = a["C"] * a["H"] * a["W"]
        return Work(tiles * (trips * body + 200), tiles * trips * loads, 4 * tensors * area)

    def resize(self, a: dict[str, Any]) -> Work:
        """Two pixels of a thread; inputs of an output by its mode."""
        old = self.before(a)
        drawn = self.round_of(a)
        new = self.fixed(a["H"], a["W"]) if a["IS_LAST"] else Sizes(drawn.height, drawn.width)
        mode = self.drawn.final.mode if a["IS_LAST"] else drawn.mode
        rows, columns = (
            torch.where(mode == 0, (o / n).ceil() + 1, torch.where(mode == 1, 2, 4))
            for o, n in zip(old, new, strict=True)
        )
        area = a["C"] * new.height * new.width
        warps = area / (2 * WARP)
        trips = rows * columns
        return Work(
            mean(warps * (69 * trips + 72 * rows + 440)),
            mean(warps * 2 * trips),
            4 * (a["C"] * mean(old.height * old.width) + mean(area)),
        )

    def noise(self, a: dict[str, Any]) -> Work:
        """1,840 instructions for two pixels of a thread, of which each Poisson count of both is 320."""
        size, drawn = self.before(a), self.round_of(a)
        counts = drawn.poisson * torch.where(drawn.gray > 0, 1, a["C"])
        area = size.height * size.width * drawn.noises
        warps = area / (2 * WARP)
        each = 1840 - 320 * (1 + a["C"]) + 320 * counts
        return Work(mean(warps * each), mean(warps * 4 * a["C"]), 8 * a["C"] * mean(area))

    def code(self, a: dict[str, Any]) -> Work:
        """A warp codes a block of 64 pixels, one of colour for every two of brightness."""
        size, codes = self.compressed(a)
        blocks = 2 * up(size.height, 16) * 2 * up(size.width, 16) * codes
        count = blocks * (1.5 if a["C"] == 3 else a["C"])
        return Work(mean(count) * 1360, mean(count) * 30, mean(blocks) * 64 * (4 * a["C"] + 1.5))

    def decode(self, a: dict[str, Any]) -> Work:
        size, codes = self.compressed(a)
        area = size.height * size.width * codes
        return Work(
            mean(area) / (2 * WARP) * 264, mean(area) / (2 * WARP) * 21, mean(area) * (4 * a["C"] + 1.5)
        )  # fmt: skip

    def compressed(self, a: dict[str, Any]) -> tuple[Sizes, Tensor]:
        """Sizes that JPEG finds, and the samples that are compressed here: 1 or 0."""
        first = self.drawn.final.jpeg_first
        quality = (self.round_of(a).quality > 0).float()
        if a["WHEN"] == 2:
            return self.fixed(a["H"], a["W"]), quality * (1 - first)
        drawn = self.round_of(a)
        return Sizes(drawn.height, drawn.width), quality * (first if a["WHEN"] else 1)

    def limited(self, launch: Launch, gpu: Processor) -> Limited:
        """A launch takes as long as its instructions, its loads, its bytes, or a node of a graph: the longest."""
        work = self.work(launch)
        by = {
            "instructions": work.instructions / gpu.instructions,
            "loads": work.loads / gpu.loads,
            "memory": work.bytes / (gpu.gigabytes * 1e9),
            "launches": NODE_SECONDS[0],
        }
        limiter = max(by, key=lambda name: by[name])
        return Limited(by[limiter], limiter)


def bytes_of(launch: Launch) -> int:
    """Every tensor of a launch once: canvases are read and written whole at most."""
    return sum(x.nbytes for x in launch.arguments.values() if isinstance(x, Tensor))
