"""The time to draw patches as a share of the step that trains on them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from bench.setups import make_step
from bench.timing import alternate, median_wall, summary
from fastsr.config.settings import TrainConfig
from fastsr.data.sampler import PatchSampler

LARGEST_SHARE = 0.02


@pytest.mark.timeout(1200)
def test_share_of_drawing(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    recipe: TrainConfig,
    sampler: PatchSampler,
    is_paper: bool,
) -> None:
    """Each draw follows a step, as in training: the caches are cold."""
    step = make_step(recipe, sampler)
    counter = torch.zeros((), dtype=torch.int64, device=sampler.store.device)
    draw_s, step_s = alternate(benchmark, lambda: sampler.draw(counter.add_(1)), step)
    share = median_wall(draw_s) / median_wall(step_s)
    report({"share": round(share, 5), "draw": summary(draw_s), "step": summary(step_s)})
    if is_paper:
        assert share < LARGEST_SHARE
