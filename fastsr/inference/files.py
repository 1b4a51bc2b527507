"""Many files enlarged: read ahead, computed in batches of equal sizes, and written behind, all at the same time."""

import errno
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from fastsr.errors import UserError
from fastsr.files import mark
from fastsr.inference.picture import Picture, Samples, read_picture
from fastsr.inference.sources import Source
from fastsr.inference.upscaler import Upscaler
from fastsr.inference.write import DEEP, OPAQUE, SUFFIXES, check_planes, check_room, save_picture
from fastsr.models.architecture import CHANNELS

READERS, WRITERS = 2, 2
MOST_AHEAD, BYTES_AHEAD = 32, 256_000_000
"""Pictures, and bytes of those that are decoded, that wait to be computed."""
MOST_BEHIND, BYTES_BEHIND = 32, 512_000_000
"""Enlarged pictures, and their bytes, that wait to be written."""
FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Faults of writing that the next file would meet too."""

Kind = Literal["png", "webp", "jpg"]


@dataclass(frozen=True)
class Job:
    """One image, and the file that it becomes."""

    source: Path
    target: Path
    kind: str


@dataclass
class Outcome:
    """The progress of enlarging."""

    images: int = 0
    pixels: int = 0
    """Of enlarged images."""
    kept: int = 0
    """Images whose enlarged file was there before."""
    bad: dict[Path, str] = field(default_factory=dict[Path, str])
    """Images that could not be enlarged, and why."""


@dataclass(frozen=True)
class Read:
    """An image that is decoded."""

    job: Job
    picture: Picture


def plan(sources: Iterable[Source], out: Path, scale: int, kind: Kind | None) -> list[Job]:
    """The place of each image: NAME-xSCALE below `out`. Raises UserError where two would go to one file."""
    jobs: dict[Path, Job] = {}
    for source in sources:
        suffix = source.path.suffix if kind is None else SUFFIXES[kind][0]
        target = out / source.place.with_name(f"{source.place.stem}-x{scale}{suffix}")
        if target in jobs:
            raise UserError(
                f"{source.path} and {jobs[target].source} would both be written to {target}; "
                "rename one, or enlarge them into different folders"
            )
        jobs[target] = Job(source.path, target, kind or kind_of(suffix))
    return list(jobs.values())


def kind_of(suffix: str) -> str:
    return next(kind for kind, suffixes in SUFFIXES.items() if suffix.lower() in suffixes)


def enlarge_files(
    upscaler: Upscaler,
    jobs: list[Job],
    out: Path,
    *,
    quality: int = 95,
    overwrite: bool = False,
    wrote: Callable[[Job, Outcome], None] = lambda job, outcome: None,
) -> Outcome:
    """Writes every image, enlarged, whole or not at all. What is bad is noted, and the others go on.

    Args:
        out: the folder that all targets are in, which is made.
        quality: of jpg and webp, 1 to 100.
        overwrite: replace files that are there; else they are kept.
        wrote: called when a file is complete.
    Raises:
        UserError: nothing can be written to `out`.
    """
    with writing_to(out):
        if not out.is_dir():
            out.mkdir(parents=True)
            mark(out)
    wanted = [job for job in jobs if overwrite or not job.target.exists()]
    outcome = Outcome(kept=len(jobs) - len(wanted))
    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(WRITERS) as writers:
        behind = Writing(writers, out, quality, outcome, wrote)
        try:
            for batch in batches(read_ahead(readers, wanted, upscaler, outcome), upscaler):
                for one, pixels in enlarged(upscaler, batch, outcome):
                    behind.add(one, pixels)
            behind.finish()
        finally:  # also where somebody stops it
            readers.shutdown(cancel_futures=True)
            writers.shutdown(cancel_futures=True)
    return outcome


@contextmanager
def writing_to(out: Path) -> Generator[None, None, None]:
    """Says in one line that the folder cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"--out {out} cannot be written ({reason}); free space, or give another folder"
        ) from None


def read_ahead(
    pool: ThreadPoolExecutor, jobs: list[Job], upscaler: Upscaler, outcome: Outcome
) -> Iterator[Read]:
    """Pictures in order, of which the next are decoded meanwhile; those that cannot be are noted."""
    waiting: deque[tuple[Job, Future[Picture]]] = deque()
    rest = iter(jobs)
    while True:
        while has_room(waiting) and (job := next(rest, None)):
            waiting.append((job, pool.submit(read, job, upscaler.scale, upscaler.channels)))
        if not waiting:
            return
        job, future = waiting.popleft()
        try:
            yield Read(job, future.result())
        except UserError as error:
            outcome.bad[job.source] = str(error)


def has_room(waiting: Iterable[tuple[Job, Future[Picture]]]) -> bool:
    done = [one.result().pixels.nbytes for _, one in waiting if one.done() and not one.exception()]
    undone = sum(not one.done() for _, one in waiting)
    return undone <= READERS and len(done) < MOST_AHEAD and sum(done) < BYTES_AHEAD


def read(job: Job, scale: int, channels: int = CHANNELS) -> Picture:
    """A picture with the samples that its enlarged file can hold. Raises UserError where no such file can hold it."""
    picture = read_picture(job.source, channels)
    pixels = picture.pixels
    if (
        picture.has_alpha
        and job.kind in OPAQUE
        and (pixels[..., -1] == np.iinfo(pixels.dtype).max).all()
    ):
        pixels = pixels[..., :-1]
    if pixels.dtype == np.uint16 and job.kind not in DEEP:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    picture = replace(picture, pixels=np.ascontiguousarray(pixels))
    h, w, _ = pixels.shape
    check_planes(job.kind, picture)
    check_room(job.kind, h * scale, w * scale, picture.has_alpha)
    return picture


def batches(pictures: Iterable[Read], upscaler: Upscaler) -> Iterator[list[Read]]:
    """Pictures of one shape together: as many as pay, of those that are near each other in order."""
    groups: dict[tuple[object, ...], list[Read]] = {}
    for one in pictures:
        pixels = one.picture.pixels
        key = (pixels.shape, pixels.dtype)
        groups.setdefault(key, []).append(one)
        h, w, _ = pixels.shape
        if len(groups[key]) >= upscaler.engine.most_images(h, w):
            yield groups.pop(key)
        elif sum(map(len, groups.values())) >= MOST_AHEAD:
            yield groups.pop(next(iter(groups)))
    yield from groups.values()


def enlarged(
    upscaler: Upscaler, batch: list[Read], outcome: Outcome
) -> Iterator[tuple[Read, Samples]]:
    """The pictures of a batch with their enlarged pixels; those that cannot be enlarged are noted, and left out."""
    pixels = np.stack([one.picture.pixels for one in batch])
    levels = 255 if pixels.dtype == np.uint8 else 65_535
    try:
        large = upscaler.engine.enlarge(torch.from_numpy(pixels), levels).numpy()
    except UserError as error:
        if len(batch) == 1:
            outcome.bad[batch[0].job.source] = str(error)
        for one in batch if len(batch) > 1 else ():  # the fault may be that of a single one
            yield from enlarged(upscaler, [one], outcome)
        return
    yield from zip(batch, large, strict=True)


class Writing:
    """Writes pictures in threads, as long as few wait for it, and notes what became of each."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        out: Path,
        quality: int,
        outcome: Outcome,
        wrote: Callable[[Job, Outcome], None],
    ) -> None:
        self.pool, self.out, self.quality = pool, out, quality
        self.outcome, self.wrote = outcome, wrote
        self.waiting: deque[tuple[Job, int, int, Future[None]]] = deque()

    def add(self, one: Read, pixels: Samples) -> None:
        """Raises UserError where nothing can be written any more."""
        self.reap(lambda: len(self.waiting) < MOST_BEHIND and self.bytes_waiting() < BYTES_BEHIND)
        picture = replace(one.picture, pixels=pixels)
        future = self.pool.submit(write, picture, one.job, self.quality)
        self.waiting.append((one.job, pixels.shape[0] * pixels.shape[1], pixels.nbytes, future))

    def bytes_waiting(self) -> int:
        return sum(size for *_, size, _ in self.waiting)

    def finish(self) -> None:
        """Returns when everything is written. Raises UserError where it cannot be."""
        self.reap(lambda: False)

    def reap(self, is_enough: Callable[[], bool]) -> None:
        """Notes what is written, and waits for more as long as that is not enough."""
        while self.waiting and (self.waiting[0][-1].done() or not is_enough()):
            job, pixels, _, future = self.waiting.popleft()
            try:
                future.result()
            except OSError as error:
                if error.errno in FATAL:
                    with writing_to(self.out):
                        raise
                reason = error.strerror or error
                self.outcome.bad[job.source] = f"{job.target} cannot be written ({reason})"
                continue
            self.outcome.images += 1
            self.outcome.pixels += pixels
            self.wrote(job, self.outcome)


def write(picture: Picture, job: Job, quality: int) -> None:
    """Raises OSError."""
    job.target.parent.mkdir(parents=True, exist_ok=True)
    save_picture(picture, job.target, job.kind, quality)
