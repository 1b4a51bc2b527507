"""Training with the Triton kernels is training without them (--no-fused)."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_image

from fastsr.cohort import Cohort
from fastsr.config import CohortConfig, TrainConfig
from fastsr.losses import PixelContent
from fastsr.metrics import MetricsRing
from fastsr.pixels import PixelStore
from fastsr.precision import Precision
from fastsr.sampler import PatchSampler
from fastsr.step import Step

STEPS = 4
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def trained(config: TrainConfig, fused: bool, device: torch.device) -> dict[str, torch.Tensor]:
    """Everything that `STEPS` steps leave behind, by name."""
    config = replace(
        config,
        cohort=CohortConfig(peers=3, variant="ml-star", mixing="ring"),
        optim=replace(config.optim, lr=1e-5),  # Adam's first steps have the size of lr, however small a gradient is
        machine=replace(config.machine, fused=fused),
    )
    store = PixelStore.from_images([random_image(40 + k, 57 - k, k) for k in range(3)]).to(device)
    cohort = Cohort(config, PixelContent(), device, Precision())
    sampler = PatchSampler(store, scale=2, patch=16, batch=2, seed=5, probability="area", fused=fused)
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
        torch.testing.assert_close(fused[name], value, rtol=2e-4, atol=2e-5, msg=lambda text, name=name: name + text)
    assert float(plain["metrics"][-1, 0].abs().sum()) > 0


@pytest.mark.skipif(not INTERPRETED, reason="needs TRITON_INTERPRET=1; test_kernels_train_as_torch_does sets it")
def test_interpreted_kernels_train_as_torch_does(tiny_config: TrainConfig) -> None:
    assert_same_training(tiny_config, torch.device("cpu"))


@pytest.mark.skipif(INTERPRETED, reason="is run by itself")
def test_kernels_train_as_torch_does() -> None:
    """In a process of its own: whether kernels are interpreted is decided when they are imported."""
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    here = Path(__file__).parents[2]
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.gpu
def test_kernels_train_as_torch_does_on_a_gpu(tiny_config: TrainConfig) -> None:
    assert_same_training(tiny_config, torch.device("cuda"))
