"""Marks that give a test a `device`, and a flag for Triton's interpreter.

Without a GPU kernels run in the interpreter, which `@triton.jit` turns to on import: test_interpreter.py starts a
process for that, with the same files.
"""

import pytest
from fastsr_kernels.backend import interpreted

INTERPRETED = interpreted()
WHY_NOT = "kernels on a CPU need TRITON_INTERPRET=1: test_interpreter.py sees to that"

cuda = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(INTERPRETED, reason="kernels are interpreted")],
)

on_every_device = pytest.mark.parametrize("device", ["cpu", cuda])
"""The operator as users call it: on a CPU the reference, or the kernel where it is interpreted."""

where_kernels_run = pytest.mark.parametrize(
    "device", [pytest.param("cpu", marks=pytest.mark.skipif(not INTERPRETED, reason=WHY_NOT)), cuda]
)
"""The kernel itself."""
