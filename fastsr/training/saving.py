"""Duties before a training is saved: numbers must be finite, and what steps leave undone is done."""

import time
from pathlib import Path

import torch

from fastsr.cohort.step import PretrainStep, Step
from fastsr.errors import UserError
from fastsr.training.checkpoint import write_checkpoint
from fastsr.training.setup import Training
from fastsr.training.snapshot import Snapshot, assert_finite

PAUSE_SECONDS = 0.01
"""Between two looks at what a thread writes."""


def save_is_due(training: Training) -> bool:
    """True after the steps or minutes that the settings say; of several ranks the first has the clock."""
    saver, step, output = training.saver, training.step, training.config.output
    if training.world.size == 1 or output.save_every is not None:
        return saver.is_due(step)
    return step % output.log_every == 0 and training.world.gather(saver.is_due(step))[0]


def finite_rows(training: Training) -> torch.Tensor:
    """Metrics since the last report, `[R, P, T]`. Raises UserError at the first that is not finite."""
    step, stage, every = training.step, training.stage, training.config.output.log_every
    training.ring.complete(training.cohort.share)
    first = max((step - 1) // every * every, stage.begin)
    rows_RPT = training.ring.read(first, step)[..., : len(stage.terms)]
    training.world.together(lambda: require_finite(training, first, rows_RPT))
    return rows_RPT


def scalars(training: Training) -> dict[str, float]:
    """Numbers of the whole cohort that belong to the last step."""
    cohort = training.cohort
    weight = (
        {"content_weight": float(cohort.content_weight)}
        if isinstance(training.stage.body, Step)
        else {}
    )
    return {"lr": float(cohort.schedule.lr), **weight}


def require_finite(training: Training, first: int, rows_RPT: torch.Tensor) -> None:
    """Raises UserError at the first row, those after step `first`, with a value that is not finite."""
    bad = (~rows_RPT.isfinite()).nonzero().tolist()
    if bad:
        row, peer, column = bad[0]
        term, value = training.stage.terms[column].name, float(rows_RPT[row, peer, column])
        training.saver.wait()
        kept = training.run.latest()
        raise UserError(
            f"step {first + row + 1}: {term} of peer {peer} is {value}, and training stops. "
            + (f"The last good checkpoint is {kept}. " if kept else "")
            + "Start a run with a lower --lr, or without --amp"
        )


def complete(training: Training) -> None:
    """Does what steps leave undone because only those need it who look at the peers: between steps, on the device."""
    if isinstance(training.stage.body, PretrainStep):
        training.cohort.share_pretraining()
    training.cohort.write_batch_counts(training.step)
    training.ema_statistics.measure(training.step)


def begin_save(training: Training) -> None:
    """Has a checkpoint of this step written while training goes on, unless that was begun already.

    Raises UserError, on all ranks, where the one before could not be written.
    """
    wait_for_saves(training)
    training.saver.begin(training.step, lambda: snapshot(training))


def wait_for_saves(training: Training) -> None:
    """Returns when what was begun is written. Raises the first error, on all ranks.

    Ranks ask each other meanwhile, which fails at once where one is lost; threads would wait for it to their timeout.
    """
    saver, world = training.saver, training.world
    while world.size > 1 and not all(world.gather(saver.is_idle)):
        time.sleep(PAUSE_SECONDS)
    world.together(saver.wait)


def check_saves(training: Training) -> None:
    """Raises, on all ranks at the same step, the error of a checkpoint that could not be written meanwhile."""
    saver, world = training.saver, training.world
    if world.size == 1:
        saver.check()
        return
    is_common = training.step % training.config.output.log_every == 0
    if is_common and any(world.gather(saver.has_failed)):
        wait_for_saves(training)


def save(training: Training) -> Path:
    """Writes a checkpoint of this step, and returns when it is there. Raises UserError."""
    wait_for_saves(training)
    now = snapshot(training)
    training.world.together(lambda: assert_finite(now))
    return write_checkpoint(training.run, now, training.config.output.keep, training.world)


def snapshot(training: Training) -> Snapshot:
    """The cohort as it is saved, true until the next step."""
    finite_rows(training)
    complete(training)
    sent = training.ahead.on_the_way() if training.ahead else None
    return Snapshot.of(training.cohort, training.ring, training.data, sent)
