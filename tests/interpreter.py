"""Triton's interpreter, which runs kernels on a CPU: releases of it that do not get on with NumPy."""

from importlib.metadata import PackageNotFoundError, version

import numpy as np


def why_not_interpreted() -> str:
    """The reason why kernels cannot be interpreted here; empty where they can.

    It holds a number as an array of one element, and before Triton 3.8 makes the bound of a loop of that by `int`,
    which NumPy refuses from 2.4 on. What is compiled for GPUs knows nothing of it.
    """
    try:
        release = tuple(int(part) for part in version("triton").split(".")[:2])
    except PackageNotFoundError:
        return "needs triton"
    if release >= (3, 8):
        return ""
    try:
        int(np.ones(1))
    except TypeError:
        return f"triton {version('triton')} cannot interpret loops with NumPy {np.__version__}"
    return ""
