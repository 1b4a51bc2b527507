"""Training with the Triton kernels is training without them (--no-fused)."""

import os
import subprocess
import sys
from collections.abc import Generator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fastsr_kernels.backend import backend

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.liveness import check_liveness
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import CohortConfig, TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.errors import UserError
from fastsr.models.norm import BatchNorm, fuse_norms
from fastsr.system.backend import kernels
from fastsr.system.precision import Precision
from tests.fastsr.cohort.cohorts import cohort_of
from tests.images import random_image
from tests.interpreter import why_not_interpreted

STEPS = 4
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def trained(config: TrainConfig, fused: bool, device: torch.device) -> dict[str, torch.Tensor]:
    """Everything that `STEPS` steps leave behind, by name.

    Interpreted, the norms of all steps would take minutes: they have a test of their own.
    """
    config = replace(
        config,
        images=replace(config.images, probability="area"),
        cohort=CohortConfig(peers=3, variant="ml-star", mixing="ring"),
        optim=replace(
            config.optim, lr=1e-5
        ),  # Adam's first steps have the size of lr, however small a gradient is
        machine=replace(config.machine, fused=fused),
    )
    store = PixelStore.from_images([random_image(40 + k, 57 - k, k) for k in range(3)]).to(device)
    cohort = Cohort(config, PixelContent(), device, Precision())
    for peer in cohort.peers if INTERPRETED else []:
        peer.fuse_norms(False)
    sampler = PatchSampler.from_config(store, config)
    ring = MetricsRing(STEPS, 3, device)
    step = Step(cohort, sampler, ring)
    for _ in range(STEPS):
        step()
    weights = {
        f"peer {k} {name} {weight}": value
        for k, peer in enumerate(cohort.peers)
        for name, network in peer.networks.items()
        for weight, value in network.state_dict().items()
    }
    return {"metrics": ring.rows_RPT, **weights}


def assert_same_training(config: TrainConfig, device: torch.device) -> None:
    fused, plain = (trained(config, kernels, device) for kernels in (True, False))
    for name, value in plain.items():
        torch.testing.assert_close(
            fused[name], value, rtol=2e-4, atol=2e-5, msg=lambda text, name=name: name + text
        )
    assert float(plain["metrics"][-1, 0].abs().sum()) > 0


@pytest.mark.skipif(
    not INTERPRETED, reason="needs TRITON_INTERPRET=1; test_kernels_train_as_torch_does sets it"
)
def test_interpreted_kernels_train_as_torch_does(tiny_config: TrainConfig) -> None:
    assert_same_training(tiny_config, torch.device("cpu"))


@pytest.mark.skipif(
    not INTERPRETED, reason="needs TRITON_INTERPRET=1; test_kernels_train_as_torch_does sets it"
)
def test_interpreted_norms_lead_to_the_same_gradients(tiny_config: TrainConfig) -> None:
    """Of a peer that is built where kernels run."""
    peer = cohort_of(tiny_config).peers[0]
    assert all(norm.fused for norm in norms_of(peer.generator) + norms_of(peer.discriminator))
    lr_NChw = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    found: list[list[torch.Tensor]] = []
    for fused in (True, False):
        generator = deepcopy(peer.generator)
        fuse_norms(generator, fused)
        generator(lr_NChw).square().sum().backward()
        gradients = [p.grad for p in generator.parameters() if p.grad is not None]
        found.append([*gradients, *generator.buffers()])
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs, rtol=1e-4, atol=1e-4 * float(torchs.abs().max()))


def norms_of(network: torch.nn.Module) -> list[BatchNorm]:
    return [module for module in network.modules() if isinstance(module, BatchNorm)]


def test_norms_are_torchs_where_no_kernel_runs_or_none_is_wanted(tiny_config: TrainConfig) -> None:
    off = replace(tiny_config, machine=replace(tiny_config.machine, fused=False))
    for config in (off,) if INTERPRETED else (off, tiny_config):
        peer = cohort_of(config).peers[0]
        assert not any(norm.fused for norm in norms_of(peer.generator))


@pytest.mark.skipif(INTERPRETED, reason="is run by itself")
def test_kernels_train_as_torch_does() -> None:
    """In a process of its own: whether kernels are interpreted is decided when they are imported."""
    if why_not := why_not_interpreted():
        pytest.skip(why_not)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "interpreted",
        __file__,
    ]
    here = Path(__file__).parents[3]
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.fixture
def unknown_backend(monkeypatch: pytest.MonkeyPatch) -> Generator[None, None, None]:
    monkeypatch.setenv("FASTSR_KERNELS", "jax")
    backend.cache_clear()
    yield
    backend.cache_clear()


@pytest.mark.usefixtures("unknown_backend")
def test_kernels_that_do_not_exist_are_one_clear_line() -> None:
    with pytest.raises(UserError, match="FASTSR_KERNELS=jax is not known; use triton or torch"):
        kernels(torch.device("cpu"))


@pytest.mark.usefixtures("unknown_backend")
def test_without_kernels_nothing_asks_for_them(tiny_config: TrainConfig) -> None:
    """--no-fused is the way out where Triton does not run: the check of the losses included."""
    config = replace(tiny_config, machine=replace(tiny_config.machine, fused=False))
    cohort = Cohort(config, PixelContent(), torch.device("cpu"), Precision())
    store = PixelStore.from_images([random_image(40, 57)])
    sampler = PatchSampler.from_config(store, config)
    check_liveness(cohort, *sampler.draw(cohort.schedule.step_count))
    Step(cohort, sampler, MetricsRing(1, 2, torch.device("cpu")))()
    assert int(cohort.schedule.step_count) == 1


@pytest.mark.gpu
@pytest.mark.usefixtures("exact_gpu")
def test_kernels_train_as_torch_does_on_a_gpu(tiny_config: TrainConfig) -> None:
    assert_same_training(tiny_config, torch.device("cuda"))
