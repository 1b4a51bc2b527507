"""Every kernel compiled for GPUs that are not here: none spills registers, and enough programs fit a multiprocessor.

The interpreter accepts code that the compiler does not, and knows neither registers nor integers of 32 bits.
"""

from importlib.metadata import version

import pytest
import torch
from devices import INTERPRETED
from fastsr_kernels.launch import Launch

pytest.importorskip("triton")
if INTERPRETED:
    pytest.skip("interpreted kernels cannot be compiled", allow_module_level=True)
from fastsr_kernels import ahead_of_time

TURING = 75
REGISTERS_OF_A_MULTIPROCESSOR = 2**16
SHARED_BYTES = 8192  # of 64 KiB a multiprocessor on the smallest
CODE_BYTES = 96 * 1024


COHORT, PATCHES = ahead_of_time.loss_configurations(), ahead_of_time.sampler_configurations()
DEGRADATIONS = ahead_of_time.degrade_configurations()
NORMS = ahead_of_time.norm_configurations()


OLD_TRITON = tuple(map(int, version("triton").split(".")[:2])) < (3, 8)
"""Triton 3.6 spills with eight peers and more: 16 bytes on Turing, 8 on RTX 5060 to 5090."""


def capabilities(launch: Launch) -> tuple[int, ...]:
    """Those that are supported, and Turing (7.5) where nothing is bf16, which it does not have."""
    tensors = [x for x in launch.arguments.values() if isinstance(x, torch.Tensor)]
    no_turing = any(x.dtype == torch.bfloat16 for x in tensors) or OLD_TRITON
    return ahead_of_time.CAPABILITIES if no_turing else (TURING, *ahead_of_time.CAPABILITIES)


def assert_fits(launch: Launch, programs: int) -> None:
    """No stack, and so many programs on a multiprocessor at once."""
    # One after the other: CPython 3.11 cannot parse in two threads at once (SystemError: recursion depth mismatch).
    for capability in capabilities(launch):
        found = ahead_of_time.resources(launch, capability)
        threads = 32 * launch.options["num_warps"]
        spilled = 8 if OLD_TRITON and capability == 120 else 0
        assert found.stack <= spilled, f"compute capability {capability}: {found}"
        assert 0 < found.registers <= launch.options["maxnreg"], (
            f"compute capability {capability}: {found}"
        )
        assert found.registers * threads * programs <= REGISTERS_OF_A_MULTIPROCESSOR, (
            f"{capability}: {found}"
        )
        assert found.shared <= SHARED_BYTES, f"compute capability {capability}: {found}"
        assert 0 < found.code <= CODE_BYTES, f"compute capability {capability}: {found}"


@pytest.mark.parametrize("name", COHORT)
def test_cohort_loss_fits(name: str) -> None:
    assert_fits(COHORT[name], programs=2)


@pytest.mark.parametrize("name", PATCHES)
def test_patch_sampler_fits(name: str) -> None:
    assert_fits(PATCHES[name], programs=4)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_degradations_fit(name: str) -> None:
    assert_fits(DEGRADATIONS[name], programs=4)


@pytest.mark.parametrize("name", NORMS)
def test_norms_fit(name: str) -> None:
    assert_fits(NORMS[name], programs=2)


def test_supported_capabilities() -> None:
    assert ahead_of_time.CAPABILITIES == (80, 86, 89, 90, 120)


def test_a_spill_is_seen() -> None:
    """With 24 registers a thread the compiler must put values in memory: that a stack of 0 bytes means something."""
    launch = PATCHES["x4 bf16"]
    squeezed = Launch(
        launch.kernel,
        launch.programs,
        launch.arguments,
        launch.options | {"maxnreg": 24},
        launch.device,
    )
    assert ahead_of_time.resources(squeezed, 80).stack > 0


def test_wide_numbers_are_compiled_as_such() -> None:
    """A stride or a seed beyond 2^31 is 64 bits wide; 1 is part of the code."""
    wide = ahead_of_time.specialise(COHORT["P2 E1000 fp16 2^31 apart"]).signature
    assert (wide["real_stride_p"], wide["real_stride_e"], wide["E_real"]) == ("i64", "i64", "i32")
    seeds = {
        name: ahead_of_time.specialise(PATCHES[name]).signature["seed"]
        for name in ("x2 bf16 mirrored", "x4 bf16")
    }
    assert seeds == {"x2 bf16 mirrored": "i64", "x4 bf16": "i32"}
    assert ahead_of_time.specialise(PATCHES["x2 fp32 one image"]).signature["seed"] == "constexpr"
