"""The step can be captured: watched operation by operation on a CPU, where no GPU is.

A CUDA graph repeats kernels on fixed memory. So a step must not read the device, make tensors of Python's numbers,
change its operations, shapes or numbers from step to step, nor move what it keeps.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from fastsr_kernels.cohort_loss import cohort_loss
from fastsr_kernels.patch_sampler import Crop, Images, patch_sampler
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step
from fastsr.config.degrade import DegradeConfig
from fastsr.config.presets import bsrgan, light, real_esrgan
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.models import Discriminator, SRResNet, VGG19Features
from fastsr.system.precision import Precision
from fastsr.training.sources import patch_source

CPU = torch.device("cpu")
HOST_READS = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "is_nonzero",
    "equal.default",
    "unique",
)
CONSTANTS = ("lift_fresh",)


class Watch(TorchDispatchMode):
    """Records operations with the shapes that they give and the numbers that they take, and collects faults."""

    def __init__(self) -> None:
        super().__init__()
        self.sequence: list[tuple[Any, ...]] = []
        self.faults: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = str(func)
        shapes = tuple(
            (x.shape, x.stride(), x.dtype) for x in tree_iter(result) if isinstance(x, Tensor)
        )
        numbers = tuple(x for x in tree_iter((args, kwargs)) if isinstance(x, int | float))
        self.sequence.append((name, shapes, numbers))
        self.faults += [f"waits for the host: {name}" for read in HOST_READS if read in name]
        self.faults += [
            f"copies a number of Python's: {name}" for constant in CONSTANTS if constant in name
        ]
        return result


def lint(body: Callable[[], None], state: Sequence[Tensor]) -> list[str]:
    """Faults of two steps, after one that may create what stays."""
    body()
    places = [tensor.data_ptr() for tensor in state]
    watches = Watch(), Watch()
    for watch in watches:
        with watch:
            body()
    first, second = watches
    faults = list(first.faults)
    if len(first.sequence) != len(second.sequence):
        faults.append(
            f"{len(first.sequence)} operations in one step and {len(second.sequence)} in the next"
        )
    for a, b in zip(first.sequence, second.sequence, strict=False):
        if a != b:
            faults.append(f"changes from step to step: {a} and {b}")
            break
    if places != [tensor.data_ptr() for tensor in state]:
        faults.append("moves what it keeps")
    return faults


PRECISIONS = [Precision(), Precision(dtype=torch.bfloat16), Precision(scaled=True)]


@pytest.mark.parametrize("fused", [True, False], ids=["operators", "torch"])
@pytest.mark.parametrize("precision", PRECISIONS, ids=["fp32", "bf16", "scaled"])
@pytest.mark.parametrize("stage", [PretrainStep, Step])
def test_the_step_can_be_captured(
    tiny_config: TrainConfig,
    store: PixelStore,
    stage: type[Step],
    precision: Precision,
    fused: bool,
) -> None:
    """With the operators as they are, and with what they are made of where the kernels do not run."""
    config = replace(tiny_config, machine=replace(tiny_config.machine, fused=fused))
    cohort = Cohort(config, PixelContent(), CPU, precision)
    for peer in cohort.peers:
        peer.fuse_norms(fused)
    sampler = PatchSampler.from_config(store, config)
    ring = MetricsRing(2, 2, CPU)
    body = stage(cohort, sampler, ring)
    assert lint(body, body.state()) == []


@pytest.mark.parametrize("fused", [True, False], ids=["operator", "torch"])
@pytest.mark.parametrize("preset", [real_esrgan, bsrgan, light])
def test_degradations_can_be_captured(
    tiny_config: TrainConfig, store: PixelStore, preset: Callable[[], DegradeConfig], fused: bool
) -> None:
    """Operations and shapes stay the same while every sample draws other parameters in every step."""
    config = replace(
        tiny_config,
        degrade=replace(preset(), context=16),
        machine=replace(tiny_config.machine, fused=fused),
    )
    cohort = Cohort(config, PixelContent(), CPU, Precision())
    body = PretrainStep(cohort, patch_source(config, store, CPU), MetricsRing(2, 2, CPU))
    assert lint(body, body.state()) == []


def read_by_the_host(x: Tensor, call: int) -> None:
    x.add_(x.sum().item())


def branch_on_data(x: Tensor, call: int) -> None:
    if x.sum() > 0:
        x.add_(1)


def copied_constant(x: Tensor, call: int) -> None:
    x.add_(torch.tensor(2.0))


def growing_shape(x: Tensor, call: int) -> None:
    x[:call].mul_(2)


def changing_number(x: Tensor, call: int) -> None:
    x.mul_(0.5**call)


def changing_operations(x: Tensor, call: int) -> None:
    _ = x.mul_(2) if call % 2 else x.add_(1)


def moved_storage(x: Tensor, call: int) -> None:
    x.data = x + 1


@pytest.mark.parametrize(
    "fault",
    [read_by_the_host, branch_on_data, copied_constant, growing_shape, changing_number, changing_operations,
     moved_storage],
    ids=lambda fault: fault.__name__,
)  # fmt: skip
def test_the_lint_catches_planted_faults(fault: Callable[[Tensor, int], None]) -> None:
    x, calls = torch.ones(8), []

    def body() -> None:
        calls.append(1)
        fault(x, len(calls))

    assert lint(body, [x]) != []


def test_the_lint_passes_what_is_sound() -> None:
    x = torch.ones(8)

    def body() -> None:
        x.mul_(2).add_(1)

    assert lint(body, [x]) == []


def test_the_forward_pass_on_a_gpu_that_is_not_there() -> None:
    """Fake CUDA tensors through the operators and every network: shapes, dtypes, devices. Backward needs a GPU."""
    peers, batch, patch = 2, 4, 16
    with FakeTensorMode(), torch.no_grad(), torch.device("cuda"):
        images = Images(
            torch.empty(9999, dtype=torch.uint8),
            *(torch.ones(3, dtype=torch.int64) for _ in range(4)),
        )
        crop = Crop(scale=2, patch=patch, batch=batch, border="replicate", augment=True)
        lr_NChw, hr_NCHW = patch_sampler(images, crop, 0, torch.zeros((), dtype=torch.int64))
        generator, discriminator, vgg = SRResNet(2, 1, 4), Discriminator(patch, 2), VGG19Features()
        sr_NCHW = generator(lr_NChw)
        z_real, z_fake, features = discriminator(hr_NCHW), discriminator(sr_NCHW), vgg(sr_NCHW)
        z_real_PE, z_fake_PE = torch.stack([z_real] * peers), torch.stack([z_fake] * peers)
        loss = cohort_loss(
            z_real_PE, z_fake_PE, torch.ones(peers, peers), torch.ones(peers), torch.ones(peers)
        )
    assert (sr_NCHW.shape, hr_NCHW.shape) == ((batch, 3, patch, patch),) * 2
    assert z_real.dtype == z_fake.dtype == torch.float32
    assert loss.grad_fake_PE.shape == (peers, batch)
    assert {x.device.type for x in (sr_NCHW, z_fake, features, *loss)} == {"cuda"}
    assert {x.dtype for x in loss} == {torch.float32}
