"""A cohort that was trained for a few steps, and comparisons of such."""

import torch

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import PixelContent
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.system.precision import Precision

CPU = torch.device("cpu")


def trained(
    config: TrainConfig, store: PixelStore, steps: int, scaled: bool = False
) -> tuple[Cohort, MetricsRing, Step]:
    cohort, ring = (
        Cohort(config, PixelContent(), CPU, Precision(scaled=scaled)),
        MetricsRing(2, 2, CPU),
    )
    step = Step(cohort, PatchSampler.from_config(store, config), ring)
    for _ in range(steps):
        step()
    return cohort, ring, step
