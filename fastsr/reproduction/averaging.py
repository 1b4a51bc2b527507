"""Scores averaged over the last checkpoints of a run, which single ones scatter around in adversarial training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from fastsr.config.settings import TrainConfig
from fastsr.errors import UserError
from fastsr.evaluation.results import Evaluation, ImageScores
from fastsr.models.weights import checkpoint_name

EARLIER = "evaluations"
"""The folder, in a run, of the evaluations of all but the last checkpoint."""


def averaged_steps(config: TrainConfig, checkpoints: int) -> list[int]:
    """The steps of the last checkpoints of a run, oldest first.

    Raises UserError where adversarial training has not so many.
    """
    every, total, begin = config.output.save_every, config.total_steps, config.optim.pretrain_steps
    steps = [step for step in range(every, total, every) if step > begin][::-1][: checkpoints - 1]
    if len(steps) < checkpoints - 1:
        raise UserError(
            f"--average-checkpoints {checkpoints} needs as many in {config.optim.steps} adversarial steps; "
            f"use --save-every {max(1, config.optim.steps // checkpoints)} or fewer"
        )
    return [*steps[::-1], total]


def earlier_folder(run: Path, step: int) -> Path:
    """The place of the evaluation of an earlier checkpoint."""
    return run / EARLIER / checkpoint_name(step)


def averaged(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The last evaluation with each value averaged over all of them: those of the same peers on the same images."""
    last = evaluations[-1]
    columns = zip(*(one.images for one in evaluations), strict=True)
    images = [average_of(rows) for rows in columns]
    whole = replace(last, sets=(), means={}, images=())
    for scored in last.sets:
        whole = whole.with_set(scored, [row for row in images if row.test_set == scored.name])
    return whole


def average_of(rows: Sequence[ImageScores]) -> ImageScores:
    """NaN where a value is missing."""
    first = rows[0]
    assert len({(row.test_set, row.image, row.model) for row in rows}) == 1, first
    values = {metric: fmean(row.values[metric] for row in rows) for metric in first.values}
    return replace(first, values=values)
