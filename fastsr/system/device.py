"""The device that is computed on: choosing it, its process-wide settings, moving networks to it."""

import ctypes
import gc
import platform
from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import nn

from fastsr.errors import UserError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Tells glibc's malloc to keep large freed blocks. Returns whether this process has such a malloc.

    By default glibc maps every block over 32 MiB afresh, and a step's activations are such blocks: the kernel then
    clears gigabytes of pages each step. Measured on two cores with the paper's recipe: a step of 9.3 s takes 7.4 s, for
    about 4 % more memory. Both settings are needed; they hold for the whole process.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, 2**30)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def synchronise(device: torch.device) -> None:
    """Waits for the device, where it works on its own."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def move(network: nn.Module, device: torch.device, layout: torch.memory_format) -> None:
    """Moves a network made on the CPU, convolutions in the given layout. Works on fake tensors, unlike Module.to."""
    if device.type != "cpu":
        network.to(device)
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


def choose_device_of_rank(name: str, local_rank: int) -> torch.device:
    """The device of one of several processes on a machine, each of which has a GPU of its own.

    Raises UserError where there is none for it.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name not in ("auto", "cuda"):
        raise UserError(f"--device {name} cannot serve several processes; use auto, cpu or cuda")
    if local_rank >= torch.cuda.device_count():
        raise UserError(
            f"there is no GPU {local_rank}: torch sees {torch.cuda.device_count()}; start as many processes a machine "
            "as it has GPUs, or use --device cpu"
        )
    return torch.device("cuda", local_rank)


def free_unused() -> None:
    """Hands memory that is no longer in use back to the GPU: what the allocator kept, and scratch of cuBLAS.

    cuBLAS keeps 8 to 32 MiB for every stream that it was called on, and captured steps have streams of their own.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch._C._cuda_clearCublasWorkspaces()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
        torch.cuda.empty_cache()


@contextmanager
def without_search() -> Generator[None, None, None]:
    """Within, cuDNN takes the algorithm that it expects to be fast, instead of timing all of them for every new shape.

    For what is computed once or seldom, or on images of any size.
    """
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` is the first GPU, else the CPU. Raises UserError where it does not exist."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"--device {name} is no device; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name} is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UserError(
            f"--device {name} does not exist: torch sees {count} GPUs; use --device cpu, or mend the driver"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def set_up(device: torch.device) -> None:
    """Process-wide settings of the device that is trained on."""
    if device.type == "cuda":
        # Its abilities are asked next, and a thread pins patches for it.
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True  # shapes never change
    else:
        keep_freed_memory()
