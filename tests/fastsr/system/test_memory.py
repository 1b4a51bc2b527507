"""Running out of memory."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fastsr.errors import UserError
from fastsr.system.memory import group_memory, out_of_memory


def raising(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "allocate",
    [
        lambda: raising(torch.OutOfMemoryError("CUDA out of memory.")),
        lambda: raising(MemoryError()),
        lambda: raising(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to")),
        lambda: raising(RuntimeError("Resource temporarily unavailable")),
        lambda: torch.empty(2**60, dtype=torch.uint8),
        lambda: torch.empty(2**40, 2**40),
        lambda: np.empty(2**60, dtype=np.uint8),
    ],
    ids=["GPU", "host", "Windows", "thread", "torch", "overflow", "numpy"],
)
def test_out_of_memory_is_one_clear_line(allocate: Callable[[], object]) -> None:
    with (
        pytest.raises(UserError, match=r"^out of memory: use less$"),
        out_of_memory(lambda: "use less"),
    ):
        allocate()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match=r"another"), out_of_memory(lambda: "use less"):
        raise RuntimeError("another")


def test_memory_that_a_container_has_left(tmp_path: Path) -> None:
    assert group_memory(tmp_path) is None
    files = {"max": "1000\n", "current": "700\n", "stat": "anon 500\ninactive_file 150\nslab 5\n"}
    for name, text in files.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert group_memory(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert group_memory(tmp_path) is None
