"""Choice between Triton kernels and plain torch, made once for each kind of device and logged."""

import logging
import os
from functools import cache
from importlib.util import find_spec
from typing import Literal

Backend = Literal["triton", "torch"]
VARIABLE = "FASTSR_KERNELS"

logger = logging.getLogger("fastsr_kernels")


@cache
def backend(device_type: str) -> Backend:
    """The implementation of operators on devices of this type ("cpu", "cuda").

    Triton on GPUs where it is installed, and on CPUs where TRITON_INTERPRET=1 lets its interpreter run the kernels;
    torch elsewhere. The environment variable FASTSR_KERNELS, "triton" or "torch", overrides that.

    Raises:
        ValueError: for another value of FASTSR_KERNELS, or where triton is asked for and cannot run.
    """
    chosen, why = choose(
        device_type, os.environ.get(VARIABLE, ""), find_spec("triton") is not None, interpreted()
    )
    logger.info("operators on %s run in %s: %s", device_type, chosen, why)
    return chosen


def interpreted() -> bool:
    """True where Triton's interpreter runs the kernels on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def choose(device_type: str, asked: str, installed: bool, interpreted: bool) -> tuple[Backend, str]:
    """The implementation and the reason."""
    if asked not in ("", "triton", "torch"):
        raise ValueError(f"{VARIABLE}={asked} is not known; use triton or torch, or leave it unset")
    runs = device_type == "cuda" or interpreted
    if asked == "triton" and not (installed and runs):
        reason = (
            "triton is not installed"
            if not installed
            else "on a CPU that needs TRITON_INTERPRET=1 as well"
        )
        raise ValueError(f"{VARIABLE}=triton cannot be done: {reason}; leave it unset")
    if asked == "torch":
        return "torch", f"{VARIABLE}=torch"
    if not installed:
        return "torch", "triton is not installed"
    if device_type != "cuda":
        return (
            ("triton", "TRITON_INTERPRET=1")
            if interpreted
            else ("torch", "Triton kernels run on GPUs")
        )
    return "triton", "a GPU, and triton is installed"
