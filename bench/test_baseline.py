"""The baseline computes the same losses as the cohort. Not a benchmark: `pytest bench` runs it."""

import torch

from bench.setups import (
    make_baseline,
    make_sampler,
    make_step,
    sample_store,
    share_weights,
    small_recipe,
)
from fastsr.cohort.terms import TRAINING_TERMS


def test_losses_of_the_first_step_are_the_cohorts() -> None:
    """All but the adversarial loss, for which the baseline asks D after its update."""
    config = small_recipe()
    step = make_step(config, make_sampler(config, sample_store(torch.device("cpu"))))
    baseline = make_baseline(config, torch.device("cpu"))
    share_weights(step.cohort, baseline)
    rows = baseline.step(
        *(x.contiguous() for x in step.patches.draw(step.cohort.schedule.step_count))
    )
    step()
    columns = [term.name for term in TRAINING_TERMS]
    for name in ("content", "bce_real", "bce_fake"):
        ours_P = step.ring.rows_RPT[0, :, columns.index(name)]
        torch.testing.assert_close(
            torch.tensor([row[name] for row in rows]), ours_P, rtol=1e-4, atol=1e-6
        )
