"""Small cohorts."""

import torch

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import FeatureContent, PixelContent
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.system.precision import Precision

CPU = torch.device("cpu")


def cohort_of(
    config: TrainConfig,
    content: PixelContent | FeatureContent | None = None,
    precision: Precision | None = None,
) -> Cohort:
    return Cohort(config, content or PixelContent(), CPU, precision or Precision())


def patches_of(config: TrainConfig, store: PixelStore) -> PatchSampler:
    return PatchSampler.from_config(store, config)
