"""Scores averaged over the last checkpoints of a run, which single ones scatter around in adversarial training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from fastsr.checkpoints import checkpoint_name
from fastsr.config.settings import OutputConfig, TrainConfig
from fastsr.errors import UserError
from fastsr.evaluation.results import Evaluation, ImageScores

EARLIER = "evaluations"
"""The folder, in a run, of the evaluations of all but the last checkpoint."""
EVERY = 1000
"""Steps between checkpoints that are averaged over, unless --save-every is given."""


def saved_by_steps(output: OutputConfig) -> OutputConfig:
    """Checkpoints at the same steps in every run, where they are saved by time: those of runs are averaged alike."""
    return replace(output, save_every=EVERY) if output.save_every is None else output


def averaged_steps(config: TrainConfig, checkpoints: int) -> list[int]:
    """The steps of the last checkpoints of a run, oldest first.

    Raises UserError where adversarial training has not so many.
    """
    every, total = saved_by_steps(config.output).save_every, config.total_steps
    if checkpoints == 1:
        return [total]
    least = config.optim.steps // checkpoints
    steps = [
        step
        for step in range(total - 1, total - config.optim.steps, -1)
        if every and step % every == 0
    ]
    if len(steps) < checkpoints - 1:
        fewer = f"--average-checkpoints {max(1, config.optim.steps)}"
        remedy = fewer if least < 1 else f"--save-every {least} or fewer"
        raise UserError(
            f"--average-checkpoints {checkpoints} needs as many in {config.optim.steps} adversarial steps; "
            f"use {remedy}"
        )
    return [*steps[: checkpoints - 1][::-1], total]


def earlier_folder(run: Path, step: int) -> Path:
    """The place of the evaluation of an earlier checkpoint."""
    return run / EARLIER / checkpoint_name(step)


def averaged(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The last evaluation with each value averaged over all of them: those of the same peers on the same images.

    Metrics that one of them lacks, as it was made by another call, are left out.
    """
    last = evaluations[-1]
    metrics = tuple(m for m in last.metrics if all(m in one.metrics for one in evaluations))
    columns = zip(*(one.images for one in evaluations), strict=True)
    images = [average_of(rows, metrics) for rows in columns]
    whole = replace(last, metrics=metrics, sets=(), means={}, images=())
    for scored in last.sets:
        whole = whole.with_set(scored, [row for row in images if row.test_set == scored.name])
    return whole


def average_of(rows: Sequence[ImageScores], metrics: Sequence[str]) -> ImageScores:
    """NaN where a value is missing."""
    first = rows[0]
    assert len({(row.test_set, row.image, row.model) for row in rows}) == 1, first
    values = {metric: fmean(row.values[metric] for row in rows) for metric in metrics}
    return replace(first, values=values)
