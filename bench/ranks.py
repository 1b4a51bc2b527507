"""Ranks on a counted link: bytes on the wire, processor time and steps a second of 1, 2 and 4 gloo processes.

    python -m bench.ranks                       bytes and processor time a step, against one process
    python -m bench.ranks --delay 0.025         steps a second over a link with 50 ms from here to there and back

Needs root and /dev/net/tun (see link.py). Appends rows to bench/results.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.link import Link, why_not

NETWORKS = ["--blocks", "2", "--filters", "16", "--discriminator-filters", "8", "--patch", "48"]
SHORT, LONG = 10, 40
"""Steps of two trainings, whose difference leaves out what is done once."""


@dataclass(frozen=True)
class Setting:
    """A training to be measured: so many processes, and options of `fastsr train`."""

    processes: int
    peers: int
    options: tuple[str, ...] = ()


def command(setting: Setting, images: Path, out: Path, steps: int) -> list[str]:
    return [
        sys.executable, "-m", "fastsr", "train", "--data", str(images), "--out", str(out),
        "--cache", str(images.parent / "cache"), "--scale", "4", "--batch", "16", "--content", "pixel",
        *NETWORKS, "--peers", str(setting.peers), "--steps", str(steps), "--log-every", "1000",
        "--save-every", "100000", "--device", "cpu", *setting.options,
    ]  # fmt: skip


@dataclass(frozen=True)
class Spent:
    """Bytes, packets and seconds of one training."""

    steps: int
    bytes: int
    packets: int
    cpu: float
    """Seconds of processors, of all ranks."""
    wall: float
    """Seconds of its steps, by its own telemetry."""


def train_on(setting: Setting, delay: float, images: Path, out: Path, steps: int) -> Spent:
    """Trains with each rank in a namespace of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with Link(setting.processes, delay) as link:
        ranks = [
            subprocess.Popen(
                link.command(rank, command(setting, images, out, steps)),
                env=environment(link, rank, setting.processes),
                stdout=subprocess.DEVNULL,
            )
            for rank in range(setting.processes)
        ]
        statuses = [rank.wait() for rank in ranks]
        if any(statuses):
            raise RuntimeError(f"ranks ended with {statuses}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Spent(steps, link.bytes, link.packets, cpu, wall_of(out))


def wall_of(out: Path) -> float:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if row["kind"] == "train"][-1]
    return last["step"] / last["wall"]["steps_per_second"]


def environment(link: Link, rank: int, size: int) -> dict[str, str]:
    return {
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": "0",
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": link.address(0),
        "MASTER_PORT": "29500",
        "GLOO_SOCKET_IFNAME": "tun0",
        "OMP_NUM_THREADS": "1",
    }


def per_step(setting: Setting, delay: float, images: Path, folder: Path) -> dict[str, Any]:
    """The difference of a long and a short training, by step."""
    name = f"{setting.processes}-{'-'.join(setting.options)}"
    short, long = (
        train_on(setting, delay, images, folder / f"{name}-{steps}", steps)
        for steps in (SHORT, LONG)
    )
    count = long.steps - short.steps
    return {
        "processes": setting.processes,
        "peers": setting.peers,
        "options": " ".join(setting.options),
        "delay_ms": delay * 1e3,
        "bytes_per_step": round((long.bytes - short.bytes) / count),
        "packets_per_step": round((long.packets - short.packets) / count, 1),
        "cpu_s_per_step_of_all": round((long.cpu - short.cpu) / count, 4),
        "steps_per_second": round(count / (long.wall - short.wall), 3),
    }


def write_images(folder: Path) -> Path:
    folder.mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (160, 160, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return folder


def main() -> int:
    from bench.rows import append_row, circumstances

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--delay", type=float, default=0.0, help="of a packet, in seconds")
    parser.add_argument("--peers", type=int, default=4)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--options", default="", help="of fastsr train, such as '--mesh 1x2'")
    parser.add_argument("--no-record", action="store_true")
    options = parser.parse_args()
    if reason := why_not():
        parser.error(reason)
    about = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        images = write_images(Path(folder) / "images")
        for processes in options.processes:
            setting = Setting(processes, options.peers, tuple(options.options.split()))
            row = per_step(setting, options.delay, images, Path(folder))
            print(row, flush=True)
            if not options.no_record:
                append_row("ranks", row, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
