"""Start-up time and memory of packs from 1 to 100 GB: `python -m bench.large_pack [--gigabytes 1 10 100]`.

The packs are sparse files, which take no room on the disk, of images of 1 MB. Each is opened in a process of its own as
every rank opens it, and ten batches are drawn from it. Appends a row for each to bench/results.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastsr.data.pack import FORMAT, INDEX, PIXELS, open_pack, open_sound_pack
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.training.sources import fingerprint

SIDE = 590
"""Of an image, in pixels: 1.04 MB."""
BATCHES = 10


def write_sparse_pack(folder: Path, count: int) -> None:
    """A pack of so many black images, whose pixels are a hole in a file."""
    folder.mkdir()
    each = 3 * SIDE**2
    with (folder / PIXELS).open("wb") as file:
        file.truncate(each * count)
    index = {
        "format": FORMAT,
        "digest": f"{count} black images",
        "sizes": [[SIDE, SIDE]] * count,
        "names": [f"{k}.png" for k in range(count)],
        "unreadable": [],
        "crc32": [zlib.crc32(bytes(each))] * count,
    }
    (folder / INDEX).write_text(json.dumps(index))


def measure(folder: Path) -> dict[str, Any]:
    """Seconds until a pack is open and ten batches are drawn, and the memory that took."""
    warm_up()
    before, wall, cpu = peak_memory(), time.perf_counter(), time.process_time()
    store, _ = open_pack(folder)
    sampler = PatchSampler(store, scale=4, patch=96, batch=16, seed=0)
    fingerprint(store)
    for step in range(BATCHES):
        sampler.draw(torch.tensor(step))
    measured = {
        "gigabytes": round(store.nbytes / 1e9, 1),
        "images": len(store),
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "megabytes": round((peak_memory() - before) / 1e6),
    }
    began = time.process_time()
    open_sound_pack(folder, print)
    return {**measured, "daily_check_cpu_s": round(time.process_time() - began, 1)}


def warm_up() -> None:
    """Draws from one image: torch imports much when an operator is called first."""
    store = PixelStore.from_images([np.zeros((SIDE, SIDE, 3), np.uint8)])
    PatchSampler(store, scale=4, patch=96, batch=16, seed=0).draw(torch.tensor(0))


def peak_memory() -> int:
    """Most bytes of memory that this process had, pages of mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    from bench.rows import append_row, circumstances

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument(
        "--folder", type=Path, help="an existing pack, to be measured in this process"
    )
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder)))
        return
    about = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        for gigabytes in options.gigabytes:
            pack = Path(folder) / f"{gigabytes}"
            write_sparse_pack(pack, round(gigabytes * 1e9 / (3 * SIDE**2)))
            command = [sys.executable, "-m", "bench.large_pack", "--folder", str(pack)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(row)
            append_row("large pack", row, about)


if __name__ == "__main__":
    main()
