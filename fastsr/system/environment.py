"""Versions and hardware, on which the numbers of a run depend beside its configuration."""

import platform
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def session() -> dict[str, Any]:
    """The environment and the time of one start of a program."""
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), **environment()}


def environment() -> dict[str, Any]:
    """Versions and hardware, as plain values for JSON."""
    gpus = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
    return {
        "fastsr": package_version("fastsr"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": package_version("triton"),
        "cuda": torch.version.cuda,
        "gpus": gpus,
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def processor_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def driver_version() -> str:
    """The version of NVIDIA's driver; none where there is no such driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return asked.stdout.splitlines()[0].strip() if asked.stdout.strip() else "none"
    return "none"
