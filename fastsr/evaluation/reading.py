"""Test images read once: checked before any is scored, kept as far as memory goes, else read ahead."""

import os
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load, unusable
from fastsr.evaluation.protocol import Protocol
from fastsr.evaluation.test_sets import ImageFiles, ImageSet
from fastsr.system.memory import available_memory

READERS = 4


class PairReader:
    """Reads the pairs of test images, once where memory allows it.

    Args:
        keep: bytes of pixels that may be kept between the check and the scoring. What does not fit is read again.
    """

    def __init__(self, protocol: Protocol, keep: int) -> None:
        self.protocol, self.room = protocol, keep
        self.kept: dict[ImageFiles, Pair] = {}
        self.lock = threading.Lock()

    def check(self, sets: Iterable[ImageSet]) -> dict[str, list[str]]:
        """Reads every image of every set. Returns notes on each set, such as that images are cropped.

        Raises UserError listing all images that cannot be used.
        """
        bad: list[str] = []
        notes: dict[str, list[str]] = {}
        # Degrading an image takes far more memory than the image, and torch has threads of its own for it.
        workers = 1 if self.protocol.degraded else min(READERS, os.cpu_count() or 1)
        # Warnings are filtered by process: what threads do to the filters is undone behind the last of them.
        with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
            for images in sets:
                results = list(pool.map(self.cropped, images.images))
                bad += [result for result in results if isinstance(result, str)]
                cropped = sum(result is True for result in results)
                scale, count = self.protocol.scale, len(images.images)
                text = f"{cropped} of {count} images are cropped to a multiple of {scale} pixels"
                notes[images.name] = [text] if cropped else []
        if bad:
            raise unusable(bad)
        return notes

    def cropped(self, files: ImageFiles) -> bool | str:
        """True for an image that is cropped; it is kept where there is room. A line on the fault where it has one."""
        try:
            pair = load(files, self.protocol)
        except UserError as error:
            return f"{files.hr}: {error}"
        size = pair.hr.nbytes + pair.lr.nbytes
        with self.lock:
            if size <= self.room:
                self.room -= size
                self.kept[files] = pair
        return pair.cropped

    def pairs(self, files: Sequence[ImageFiles]) -> Iterator[Pair]:
        """Those images in order, each given up here when it is handed out; the next is read meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(self.take, files[0])
            for following in files[1:]:
                pair, ahead = ahead.result(), pool.submit(self.take, following)
                yield pair
            yield ahead.result()

    def take(self, files: ImageFiles) -> Pair:
        with self.lock:
            pair = self.kept.pop(files, None)
        return pair or load(files, self.protocol)


def check_images(sets: Iterable[ImageSet], protocol: Protocol) -> None:
    """Raises UserError listing all images that cannot be used."""
    PairReader(protocol, keep=0).check(sets)


def reading_room() -> int:
    """Bytes of pixels worth keeping on this machine."""
    return available_memory() // 4
