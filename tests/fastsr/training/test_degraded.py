"""Training on degraded patches: exact when it is killed, and as large as predicted."""

import subprocess
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from fastsr.config.presets import real_esrgan
from fastsr.config.settings import TrainConfig
from fastsr.data.degrade import DegradedPatches
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import HostPatches, PatchSampler
from fastsr.prediction.memory import predict_memory
from fastsr.system.live_bytes import LiveBytes
from fastsr.system.precision import Precision
from fastsr.training.sources import patch_source
from tests.fastsr.training.test_resume import (
    assert_equal_runs,
    command,
    environment,
    kill_when,
    run_to_end,
    saves,
)
from tests.images import write_images

CPU = torch.device("cpu")


@pytest.fixture
def degraded_config(tiny_config: TrainConfig) -> TrainConfig:
    return replace(tiny_config, degrade=replace(real_esrgan(), context=16))


def test_killed_with_degradations(tmp_path: Path) -> None:
    """Resumed from SIGKILL, a run on degraded patches ends as one that was not interrupted, bit for bit."""
    images, file = write_images(tmp_path / "images"), tmp_path / "blind.toml"
    file.write_text('[degrade]\ndegrade = "real-esrgan"\ncontext = 16\n')
    # EMA statistics are of 400 patches, in batches of this size.
    options = ("--config", str(file), "--batch", "16")
    whole, out = tmp_path / "whole", tmp_path / "run"
    run_to_end(images, whole, *options)
    process = subprocess.Popen(
        command(images, out, *options),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(),
    )
    assert kill_when(process, lambda: len(saves(out)) > 1)
    time.sleep(0.1)
    run_to_end(images, out, "--resume", "--batch", "16")
    assert_equal_runs(out, whole)


def test_patches_of_a_host_are_those_of_the_device(
    degraded_config: TrainConfig, store: PixelStore
) -> None:
    """Drawn by a thread of the host one step ahead, and then degraded: the same bits, from any step on."""
    direct = patch_source(degraded_config, store, CPU)
    sampler = PatchSampler.from_config(store, degraded_config)
    ahead = DegradedPatches(
        HostPatches(sampler, CPU), degraded_config.degrade, scale=2, seed=3, device=CPU
    )
    ahead.seek(7)
    for step in (7, 8):
        ahead.load()
        pairs = zip(ahead.draw(torch.tensor(step)), direct.draw(torch.tensor(step)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    aside = zip(ahead.draw_aside(99), direct.draw(torch.tensor(99)), strict=True)
    assert all(torch.equal(a, b) for a, b in aside)


def test_patches_have_the_shapes_of_any_others(
    degraded_config: TrainConfig, store: PixelStore
) -> None:
    lr, hr = patch_source(degraded_config, store, CPU).draw(torch.tensor(0))
    assert (lr.shape, hr.shape) == ((2, 3, 8, 8), (2, 3, 16, 16))


def test_memory_of_degradations_is_predicted(
    degraded_config: TrainConfig, store: PixelStore
) -> None:
    """Where degrading needs more than the networks, its own peak is the step's, to a tenth."""
    config = replace(degraded_config, images=replace(degraded_config.images, batch=32))
    patches = patch_source(
        replace(config, machine=replace(config.machine, fused=False)), store, CPU
    )
    with LiveBytes() as live:
        patches.draw(torch.tensor(0))
    predicted = predict_memory(config, Precision())
    without = predict_memory(
        replace(config, degrade=replace(config.degrade, degrade="bicubic")), Precision()
    )
    assert predicted.peak > 2 * without.peak
    if find_spec("triton"):
        assert predict_memory(config, Precision(), on_gpu=True).peak < predicted.peak / 2
    assert predicted.peak - predicted.resident == pytest.approx(live.most.total(), rel=0.1)
