"""A step to be tried."""

import pytest

from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.proof.trial import Trial
from tests.fastsr.cohort.cohorts import CPU, cohort_of, patches_of


@pytest.fixture
def trial(tiny_config: TrainConfig, store: PixelStore) -> Trial:
    patches = patches_of(tiny_config, store)
    return Trial(Step(cohort_of(tiny_config), patches, MetricsRing(4, 2, CPU)), patches)
