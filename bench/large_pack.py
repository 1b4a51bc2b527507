"""Start-up time and memory of packs from 1 to 100 GB: `python -m bench.large_pack [--gigabytes 1 10 100] [--train]`.

The packs are sparse files, which take no room on the disk, of images of 1 MB. Each is opened in a process of its own as
every rank opens it, and ten batches are drawn from it. With --train, two ranks of `fastsr train` under torchrun train a
step on each, and what they have spent by then is read from the system. Appends a row for each to bench/results.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastsr.data.images import find_images
from fastsr.data.pack import FORMAT, INDEX, PIXELS, open_pack, open_sound_pack, pack_key
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.training.sources import fingerprint

SIDE = 590
"""Of an image, in pixels: 1.04 MB."""
BATCHES = 10


def write_sparse_pack(folder: Path, count: int, side: int = SIDE) -> None:
    """A pack of so many black images, whose pixels are a hole in a file."""
    folder.mkdir()
    each = 3 * side**2
    with (folder / PIXELS).open("wb") as file:
        file.truncate(each * count)
    index = {
        "format": FORMAT,
        "digest": f"{count} black images",
        "sizes": [[side, side]] * count,
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


def write_images(folder: Path, count: int) -> None:
    """Files that stand for so many images: training asks for their names, sizes and ages, and reads the pack."""
    folder.mkdir()
    for index in range(count):
        (folder / f"{index}.png").touch()


def train_step(images: Path, cache: Path, out: Path) -> dict[str, Any]:
    """Time and memory that two ranks have spent when the first step is done.

    Memory that grows with what is read of a mapped pack is told apart: the system takes it back when others need it.
    """
    job = subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "fastsr",
            "train", "--data", str(images), "--cache", str(cache), "--out", str(out), "--content", "pixel",
            "--blocks", "1", "--filters", "4", "--discriminator-filters", "2", "--patch", "16", "--batch", "4",
            "--scale", "2", "--steps", "2", "--log-every", "1", "--device", "cpu",
        ],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert job.stdout is not None
    spent: list[dict[str, float]] = []
    lines: list[str] = []
    for line in job.stdout:
        lines.append(line)
        if line.startswith("training 1/"):
            children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
            spent = sorted((spent_by(int(child)) for child in children), key=lambda x: x["rank"])
    if job.wait() or len(spent) != 2:
        raise RuntimeError("".join(lines))
    return {name: [rank[name] for rank in spent] for name in spent[0] if name != "rank"}


def spent_by(process: int) -> dict[str, float]:
    """Processor seconds and memory of a rank until now."""
    folder = Path(f"/proc/{process}")
    variables = (folder / "environ").read_text().split("\0")
    rank = next(int(x.removeprefix("RANK=")) for x in variables if x.startswith("RANK="))
    ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
    sizes = {
        name: int(value.split()[0]) / 1e3
        for name, _, value in (
            x.partition(":") for x in (folder / "status").read_text().splitlines()
        )
        if name in ("RssAnon", "RssFile")
    }
    return {
        "rank": rank,
        "cpu_s": round(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), 1),
        "own_megabytes": round(sizes["RssAnon"]),
        "mapped_megabytes": round(sizes["RssFile"]),
    }


def train_on(folder: Path, gigabytes: float, side: int) -> dict[str, Any]:
    """Both the first start of a day, which compares pixels with their checksums, and the next one."""
    count = round(gigabytes * 1e9 / (3 * side**2))
    images, cache = folder / f"images-{gigabytes}", folder / f"cache-{gigabytes}"
    write_images(images, count)
    (cache / "packs").mkdir(parents=True)
    pack = cache / "packs" / pack_key(find_images((images,)))
    write_sparse_pack(pack, count, side)
    starts = [train_step(images, cache, folder / f"run-{gigabytes}-{k}") for k in range(2)]
    shutil.rmtree(images)
    return {
        "gigabytes": round(3 * side**2 * count / 1e9, 1),
        "images": count,
        "ranks": 2,
        "first": starts[0],
        "next": starts[1],
    }


def main() -> None:
    from bench.rows import append_row, circumstances

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument(
        "--folder", type=Path, help="an existing pack, to be measured in this process"
    )
    parser.add_argument("--train", action="store_true", help="by two ranks of fastsr train")
    parser.add_argument("--side", type=int, default=SIDE, help="of images, with --train")
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    if options.folder:
        print(json.dumps(measure(options.folder)))
        return
    about = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        for gigabytes in options.gigabytes:
            if options.train:
                row = train_on(Path(folder), gigabytes, options.side)
                print(row, flush=True)
                if not options.no_record:
                    append_row("large pack, two ranks", row, about)
                continue
            pack = Path(folder) / f"{gigabytes}"
            write_sparse_pack(pack, round(gigabytes * 1e9 / (3 * SIDE**2)))
            command = [sys.executable, "-m", "bench.large_pack", "--folder", str(pack)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            print(row)
            if not options.no_record:
                append_row("large pack", row, about)


if __name__ == "__main__":
    main()
