"""Proofs of kernels: sound ones pass, and planted faults are named."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from fastsr_kernels.batch_norm import batch_norm
from fastsr_kernels.cohort_loss import CohortLoss, cohort_loss
from fastsr_kernels.degrade import degrade
from fastsr_kernels.patch_sampler import Crop, Images, patch_sampler
from torch import Tensor

from fastsr.config.presets import preset
from fastsr.config.settings import TrainConfig
from fastsr.proof.degradations import prove_degradations
from fastsr.proof.kernels import prove_cohort_loss, prove_patch_sampler
from fastsr.proof.norms import prove_batch_norm
from fastsr.proof.parts import Part, part, skipped, verdict

CPU = torch.device("cpu")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_sound_kernels_pass(device: str) -> None:
    for prove in (prove_cohort_loss, prove_patch_sampler, prove_batch_norm):
        found = prove(torch.device(device))
        assert found.outcome == "passed", found.detail


@pytest.mark.parametrize("output", CohortLoss._fields)
def test_an_output_that_is_wrong_by_a_hundredth_is_named(output: str) -> None:
    def faulty(*inputs: Any, **options: Any) -> CohortLoss:
        loss = cohort_loss(*inputs, **options)
        return loss._replace(**{output: getattr(loss, output) * 1.01})

    found = prove_cohort_loss(CPU, faulty)
    assert (found.outcome, found.remedy) == ("failed", "--no-fused")
    assert found.detail.startswith(f"{output} is off by")


def test_an_error_in_one_entry_of_extreme_input_alone_is_found() -> None:
    """The gradient of one logit of many, wrong where fp32 exponentials overflow."""

    def faulty(real: Tensor, *rest: Any, **options: Any) -> CohortLoss:
        loss = cohort_loss(real, *rest, **options)
        return loss._replace(grad_real_PE=loss.grad_real_PE.masked_fill(real < -5e3, float("nan")))

    found = prove_cohort_loss(CPU, faulty)
    assert found.outcome == "failed" and "extreme" in found.detail


def test_one_sample_that_is_off_by_one_is_found() -> None:
    def faulty(images: Images, crop: Crop, seed: int, step: Tensor) -> tuple[Tensor, Tensor]:
        lr, hr = patch_sampler(images, crop, seed, step)
        if crop.scale == 3 and int(step):
            lr[0, 0, 0, 0] += 1 / 255
        return lr, hr

    found = prove_patch_sampler(CPU, faulty)
    assert found.outcome == "failed"
    assert found.detail == "1 of 1536 samples of LR patches differ at x3, replicate"


def test_degradations_that_are_a_little_brighter_are_found(tiny_config: TrainConfig) -> None:
    """One level of 255 in the mean is more than rounding makes. On a CPU the operator is its reference."""
    config = replace(tiny_config, degrade=preset("bsrgan"))

    def brighter(*inputs: Any) -> tuple[Tensor, Tensor]:
        lr, hr = degrade(*inputs)
        return lr + 1 / 255, hr

    assert prove_degradations(config, CPU).outcome == "passed"
    found = prove_degradations(config, CPU, brighter)
    assert (found.outcome, found.remedy) == ("failed", "--no-fused")
    assert "LR patches differ by up to 1 levels of 255" in found.detail
    assert prove_degradations(tiny_config, CPU).outcome == "skipped"


@pytest.mark.parametrize(
    "argument", [0, 1, 2, 7, 8], ids=["x", "weight", "bias", "slope", "shortcut"]
)
def test_a_gradient_of_a_norm_that_is_wrong_by_a_hundredth_is_named(argument: int) -> None:
    def faulty(*inputs: Any) -> Tensor:
        given = list(inputs)
        if isinstance(x := given[argument], Tensor):
            given[argument] = x.detach() + 1.01 * (x - x.detach())
        return batch_norm(*given)

    found = prove_batch_norm(CPU, faulty)
    assert (found.outcome, found.remedy) == ("failed", "--no-fused")
    name = {0: "x", 1: "weight", 2: "bias", 7: "slope", 8: "shortcut"}[argument]
    assert found.detail.startswith(f"gradient of {name} is off by")


def test_statistics_and_results_of_a_norm_are_proved_too() -> None:
    def without_running(
        x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, *rest: Any
    ) -> Tensor:
        return batch_norm(x, weight, bias, mean.clone(), *rest)

    def brighter(*inputs: Any) -> Tensor:
        return batch_norm(*inputs) * 1.01

    def far_off(x: Tensor, *rest: Any) -> Tensor:
        """Wrong where one entry outweighs all others."""
        return batch_norm(x.clamp(max=1e3), *rest)

    details = [prove_batch_norm(CPU, f).detail for f in (without_running, brighter, far_off)]
    assert details[0].startswith("running mean is off by")
    assert details[1].startswith("result is off by")
    assert "extreme" in details[2]


def test_a_kernel_that_does_not_run_is_a_failed_part() -> None:
    def broken(*inputs: Any, **options: Any) -> CohortLoss:
        raise RuntimeError("PassManager::run failed\nand much more")

    found = prove_cohort_loss(CPU, broken)
    assert (found.outcome, found.detail) == ("failed", "PassManager::run failed")


def test_running_out_of_memory_is_no_fault_of_a_kernel() -> None:
    def full() -> str:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        part("name", "", full)


def test_the_verdict_names_what_to_switch_off() -> None:
    sound = Part(name="a", outcome="passed", detail="fine")
    wrong = Part(name="b", outcome="failed", detail="off by 0.01", remedy="--no-fused")
    assert verdict([sound, skipped("c", "no GPU")]) == "everything that was tried holds"
    assert verdict([sound, wrong]) == "b: off by 0.01; train with --no-fused"
