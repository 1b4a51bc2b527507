"""Steps whose norms are computed by the operator, as on a GPU, watched for races and undeclared writes."""

from dataclasses import replace

import pytest
import torch

from fastsr.cohort.step import PretrainStep, Step
from fastsr.config.settings import TrainConfig
from fastsr.data.pixels import PixelStore
from fastsr.system.precision import Precision
from tests.fastsr.cohort.race_detector import LabelledBranches
from tests.fastsr.cohort.test_races import UndeclaredWrites, make_step, watched


@pytest.mark.parametrize("checkpointed", [False, True], ids=["stored", "checkpointed"])
@pytest.mark.parametrize("stage", [PretrainStep, Step])
def test_a_step_with_fused_norms_has_no_race(
    tiny_config: TrainConfig, store: PixelStore, stage: type[Step], checkpointed: bool
) -> None:
    machine = replace(tiny_config.machine, checkpoint_activations=checkpointed)
    branches, precision = LabelledBranches(2), Precision(dtype=torch.bfloat16)
    step = make_step(
        replace(tiny_config, machine=machine), store, stage, precision, branches, fused_norms=True
    )
    assert watched(step, branches).faults == []
    with UndeclaredWrites() as writes:
        step()
    assert writes.operators == set()
