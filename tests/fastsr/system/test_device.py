"""Devices, and the memory of the host."""

import subprocess
import sys

import pytest
import torch

from fastsr.errors import UserError
from fastsr.system.device import choose_device, without_search


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "mps", "cpu:x"])
def test_devices_that_do_not_exist_are_named(name: str) -> None:
    with pytest.raises(UserError, match=f"--device {name}"):
        choose_device(name)


@pytest.mark.parametrize("before", [True, False])
def test_the_search_for_algorithms_goes_on_afterwards(
    before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", before)
    with pytest.raises(ValueError, match="planted"), without_search():
        assert not torch.backends.cudnn.benchmark
        raise ValueError("planted")
    assert torch.backends.cudnn.benchmark == before


def test_freed_memory_is_kept_where_malloc_can() -> None:
    """In a process of its own, as the setting lasts: large blocks come back without new page faults."""
    code = """
import resource
import torch
from fastsr.system.device import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(48 * 2**18)  # 48 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

default = faults()
kept = keep_freed_memory()
faults()
print(kept, default, faults())
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    kept, default, after = result.stdout.split()
    if kept == "False":
        pytest.skip("this system's malloc is not glibc's")
    assert int(after) < int(default) / 4
