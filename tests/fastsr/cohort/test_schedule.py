"""The learning rate at any step, reached by training or by a resume."""

import pytest
import torch

from fastsr.cohort.schedule import Schedule

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("step", "lr"), [(0, 1.0), (1, 1.0), (2, 0.5), (4, 0.5), (5, 0.25), (9, 0.25)]
)
def test_seeking_a_step_equals_training_up_to_it(step: int, lr: float) -> None:
    trained, resumed = (Schedule(1.0, 0.5, (2, 5), CPU) for _ in range(2))
    homes = [tensor.data_ptr() for tensor in resumed.state()]
    for _ in range(step):
        trained.advance()
    resumed.seek(step)
    for schedule in (trained, resumed):
        assert [float(x) for x in schedule.state()] == [lr, step]
    assert [tensor.data_ptr() for tensor in resumed.state()] == homes  # a captured step reads them
    resumed.seek(0)
    assert float(resumed.lr) == 1
