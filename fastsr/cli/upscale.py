"""`fastsr upscale`: its arguments, and what it says while it works."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fastsr.cli.configuration import parse
from fastsr.console import counted, lasting_console, say
from fastsr.errors import UserError

if TYPE_CHECKING:
    from fastsr.inference.files import Outcome


@dataclass(frozen=True, kw_only=True)
class UpscaleArguments:
    """Enlarge images with a trained model. Grey, alpha, 16 bits, colour profiles and EXIF are kept.

    Images become NAME-xSCALE of the same format; those that are there already are kept, so that a call that was stopped
    goes on.

    Examples:
        fastsr upscale runs/x4 photo.jpg
        fastsr upscale generator.safetensors photos --out enlarged --format webp
    """

    model: Annotated[str, tyro.conf.Positional]
    """A run or checkpoint, a generator's file, or user/name on the Hugging Face hub."""
    images: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Image files, folders, whose trees are kept, and globs; - reads a list of paths from standard input."""
    out: Path = Path("upscaled")
    """Folder to write to."""
    format: Literal["png", "webp", "jpg"] | None = None
    """Format of the files. Default: that of each image."""
    quality: int = 95
    """Quality of jpg and webp, 1 to 100; at 100 webp is lossless. No effect on others."""
    overwrite: bool = False
    """Replace enlarged images that are there."""
    peer: int | Literal["best", "average", "ensemble"] = 0
    """Of a run or checkpoint: the number of the peer that enlarges; best: that with the highest validation PSNR of the
    whole run, as it was then; average: of all peers' weights, which is worth something where they began alike;
    ensemble: the mean of what all peers make. No effect on a single file."""
    self_ensemble: bool = False
    """Mean over the 8 ways to turn and mirror an image: 8 times the work, a little more PSNR."""
    tile: int | None = None
    """Side of the tiles that an image is enlarged by, in pixels. Default: the whole image where memory allows it."""
    overlap: int | None = None
    """Pixels that a tile sees beyond its part of the image. Default: the receptive field, so that tiles leave no trace.
    With less, neighbours are blended. No effect on an image that is enlarged whole."""
    memory: float | None = None
    """GB to use, everything included. Default: half of what the host has free, or 0.9 of the GPU's."""
    amp: bool = False
    """Mixed precision, where the hardware multiplies it. Pictures then differ a little from those in fp32."""
    compile: bool = False
    """Compile the network with torch.compile, which takes a minute and pays for many images."""
    device: str = "auto"
    """auto, cpu, cuda, or cuda:N."""


def run_upscale(words: list[str]) -> None:
    """Raises UserError listing the images that could not be enlarged, when all others are."""
    given = parse("upscale", UpscaleArguments, words)
    if not 1 <= given.quality <= 100:
        raise UserError(f"--quality {given.quality} cannot be used; use 1 to 100")
    console = lasting_console()
    from fastsr.data.formats import PixelFormat
    from fastsr.inference.files import enlarge_files, plan
    from fastsr.inference.sources import find_sources
    from fastsr.inference.upscaler import load
    from fastsr.system.device import keep_freed_memory

    def tell(text: str) -> None:
        say(console, text)

    upscaler = load(
        given.model, device=given.device, peer=given.peer, self_ensemble=given.self_ensemble, tile=given.tile,
        overlap=given.overlap, memory=given.memory, amp=given.amp, compile=given.compile, tell=tell,
    )  # fmt: skip
    sources = find_sources(given.images, tell, PixelFormat(upscaler.channels).suffixes)
    if upscaler.device.type == "cpu":
        keep_freed_memory()
    if note := upscaler.engine.precision.note:
        tell(note)
    jobs = plan(sources, given.out, upscaler.scale, given.format)
    began = time.perf_counter()
    with shown(console, len(jobs)) as watch:
        outcome = enlarge_files(
            upscaler, jobs, given.out, quality=given.quality, overwrite=given.overwrite,
            wrote=lambda job, outcome: watch(job.target, outcome),
        )  # fmt: skip
    tell(summary(outcome, time.perf_counter() - began))
    refuse_bad(outcome, len(jobs))


class shown:  # noqa: N801 - a context manager
    """Within, a bar on a terminal, and elsewhere the path of each file that is written, on a line."""

    def __init__(self, console: Console, total: int) -> None:
        self.console, self.began = console, time.perf_counter()
        columns = (
            TextColumn("{task.completed}/{task.total} images"), BarColumn(), TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)  # fmt: skip
        self.task = self.bar.add_task("", total=total)

    def __enter__(self) -> Callable[[Path, "Outcome"], None]:
        self.bar.start()
        return self.watch

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def watch(self, written: Path, outcome: "Outcome") -> None:
        if not self.console.is_terminal:
            say(self.console, str(written))
        done = outcome.images + outcome.kept + len(outcome.bad)
        speed = rates(outcome, time.perf_counter() - self.began)
        self.bar.update(self.task, completed=done, description=speed)


def rates(outcome: "Outcome", seconds: float) -> str:
    return f"{outcome.images / seconds:.2f} images/s, {outcome.pixels / 1e6 / seconds:.2f} megapixels/s"


def summary(outcome: "Outcome", seconds: float) -> str:
    """A line on all of it: 12 images, 45.3 megapixels in 10 s (1.20 images/s, 4.53 megapixels/s); 3 kept."""
    text = f"{counted(outcome.images, 'image')}, {outcome.pixels / 1e6:.1f} megapixels in {seconds:.0f} s"
    text += f" ({rates(outcome, seconds)})" if outcome.images else ""
    kept = f"; {outcome.kept} were there already and are kept (--overwrite replaces them)"
    return text + (kept if outcome.kept else "")


def refuse_bad(outcome: "Outcome", total: int) -> None:
    """Raises UserError where images could not be enlarged."""
    lines = [f"{path}: {reason}" for path, reason in outcome.bad.items()]
    if len(lines) == 1 == total:
        raise UserError(lines[0])
    if lines:
        raise UserError(
            f"{len(lines)} of {counted(total, 'image')} could not be enlarged:\n  "
            + "\n  ".join(lines)
        )
