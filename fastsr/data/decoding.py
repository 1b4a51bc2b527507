"""Many image files decoded at the same time, in order."""

import os
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from fastsr.data.formats import RGB8, PixelFormat, read_pixels
from fastsr.data.native import Samples
from fastsr.errors import UserError


def decode_all(paths: list[Path], form: PixelFormat = RGB8) -> Iterator[tuple[Path, Samples | str]]:
    """Images in order, decoded by as many threads as there are cores and at most two images a thread ahead.

    An unreadable file yields the reason instead of an image.
    """
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Path, Future[Samples | str]]] = deque()
    with warnings.catch_warnings(), ThreadPoolExecutor(workers) as pool:
        # The error beyond twice that size stays.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for path in paths:
            waiting.append((path, pool.submit(read_or_reason, path, form)))
            if len(waiting) > 2 * workers:
                done, image = waiting.popleft()
                yield done, image.result()
        while waiting:
            done, image = waiting.popleft()
            yield done, image.result()


def read_or_reason(path: Path, form: PixelFormat = RGB8) -> Samples | str:
    try:
        return read_pixels(path, form)
    except UserError as error:
        return str(error)
