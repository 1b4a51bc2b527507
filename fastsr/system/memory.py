"""Memory of the host and of GPUs, and running out of it."""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from fastsr.errors import UserError


def gigabytes(count: int) -> str:
    """Bytes for people, in powers of ten: 32.0 GB, 160 MB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def available_memory() -> int:
    """Bytes that the host can give to a process, page cache included; 0 where the system does not tell.

    In a container, no more than what its control group has left.
    """
    free = proc_bytes("/proc/meminfo", "MemAvailable")
    left = group_memory(Path("/sys/fs/cgroup"))
    return free if left is None else min(free, left)


def group_memory(folder: Path) -> int | None:
    """Bytes that a control group (version 2) may still take, its page cache included; None where it has no limit."""
    try:
        limit, used = ((folder / f"memory.{name}").read_text() for name in ("max", "current"))
        cache = re.search(r"^inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.M)
        return max(int(limit) - int(used) + (int(cache[1]) if cache else 0), 0)
    except (OSError, ValueError):  # "max": no limit
        return None


def memory_of(device: torch.device) -> int:
    """Bytes that this process can have on the device, those that it has already included."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return available_memory() + resident_memory()


def resident_memory() -> int:
    """Bytes of the host's memory that this process occupies; 0 where the system does not tell."""
    return proc_bytes("/proc/self/status", "VmRSS")


def proc_bytes(file: str, field: str) -> int:
    """A line such as `MemAvailable: 123 kB` of a file of Linux, in bytes; 0 where there is none."""
    with suppress(OSError):
        for line in Path(file).read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return 0


REFUSALS = (
    "can't allocate memory",
    "not enough memory",
    "Storage size calculation overflowed",
    "multiplication overflow",
    "Cannot allocate memory",
    "Resource temporarily unavailable",
)
"""Words of torch's allocator for the host, of sizes that no allocator could be asked for, and of a system without
memory for a further thread."""


def is_out_of_memory(error: BaseException) -> bool:
    """True for an exception that says that memory, on a GPU or the host, was not to be had."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSALS)


@contextmanager
def out_of_memory(advice: Callable[[], str]) -> Generator[None, None, None]:
    """Turns running out of memory, on a GPU or the host, into a UserError with advice, which is asked for only then."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"out of memory: {advice()}") from error
