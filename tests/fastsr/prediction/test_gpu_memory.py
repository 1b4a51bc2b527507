"""The paper's recipe on a GPU with little memory, and what was predicted for it."""

import gc
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from fastsr.cohort.capture import capture
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import content_loss
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.recipes import paper
from fastsr.config.settings import LossConfig, TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.prediction.memory import predict_memory
from fastsr.system.device import choose_device, set_up
from fastsr.system.precision import Precision, choose_precision
from tests.images import random_image

pytestmark = pytest.mark.gpu


@contextmanager
def only(gigabytes: float) -> Generator[None, None, None]:
    """Lets torch have no more of the GPU's memory than that. Skips the test where there is less."""
    gc.collect()
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    if gigabytes * 1e9 > free:
        pytest.skip(f"needs {gigabytes} GB of free memory; this GPU has {free / 1e9:.1f}")
    torch.cuda.set_per_process_memory_fraction(gigabytes * 1e9 / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def recipe(scale: int, peers: int) -> TrainConfig:
    config = paper()
    return replace(
        config,
        model=replace(config.model, scale=scale),
        cohort=replace(config.cohort, peers=peers),
        loss=replace(config.loss, content="random-vgg"),
    )


def make_step(config: TrainConfig, precision: Precision) -> Step:
    device = choose_device("cuda")
    set_up(device)
    images: list[np.ndarray] = [random_image(200, 220, seed) for seed in range(3)]
    sampler = PatchSampler.from_config(PixelStore.from_images(images).to(device), config)
    cohort = Cohort(config, content_loss(LossConfig(content="random-vgg")), device, precision)
    return Step(cohort, sampler, MetricsRing(2, config.cohort.peers, device))


@pytest.mark.parametrize(
    ("peers", "gigabytes"), [(2, 8), (6, 24)], ids=["2 peers in 8 GB", "6 peers in 24 GB"]
)
@pytest.mark.parametrize("scale", [4, 2], ids=["x4", "x2"])
def test_the_papers_recipe_fits(scale: int, peers: int, gigabytes: float) -> None:
    """Captured, as it is trained."""
    with only(gigabytes - 1):  # CUDA itself takes the rest
        step = make_step(recipe(scale, peers), choose_precision(True, torch.device("cuda")))
        with closing(capture(step, step.state())) as replay:
            step.ring.rows_RPT.fill_(float("nan"))
            replay()
            torch.cuda.synchronize()
    assert bool(step.ring.rows_RPT[0].isfinite().all())


@pytest.mark.parametrize("amp", [False, True], ids=["fp32", "amp"])
def test_the_peak_is_what_was_predicted(amp: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within 15 %: tensors of an eager step, weights included, one peer after the other.

    With more streams the prediction is of memory that torch reserves, which no counter of allocated bytes shows. The
    scratch space of cuDNN's fastest algorithms is not predicted: they are not looked for.
    """
    config = recipe(4, 2)
    config = replace(config, machine=replace(config.machine, peer_streams=1))
    precision = choose_precision(amp, torch.device("cuda"))
    before = torch.cuda.memory_allocated()
    step = make_step(config, precision)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    step()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    measured = torch.cuda.max_memory_allocated() - before
    predicted = predict_memory(config, precision, on_gpu=True).peak
    assert measured == pytest.approx(predicted, rel=0.15)
