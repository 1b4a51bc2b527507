"""Training, from images to a run."""

import shlex
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

import torch
from rich.console import Console

from fastsr.cohort.balance import balance, is_measured
from fastsr.cohort.capture import CaptureError, Replay, capture, warm_up
from fastsr.cohort.step import PretrainStep, Step
from fastsr.config.check import check
from fastsr.config.settings import TrainConfig
from fastsr.console import say
from fastsr.data.bicubic import upscale
from fastsr.errors import UserError
from fastsr.evaluation.validate import evaluate
from fastsr.models.inference import super_resolve
from fastsr.prediction.memory import out_of_memory_advice
from fastsr.system.memory import out_of_memory
from fastsr.training.checkpoint import assert_finite, save_checkpoint
from fastsr.training.pictures import comparison
from fastsr.training.run import Run
from fastsr.training.setup import Training, prepare
from fastsr.training.telemetry import Telemetry

PICTURE_ROWS = 4


def train(config: TrainConfig, console: Console | None = None) -> Run:
    """Trains a cohort and returns its run; continues one where the configuration says so.

    SIGINT and SIGTERM save a checkpoint and then raise KeyboardInterrupt. Raises UserError for everything that the user
    can mend; what was saved stays intact.
    """
    console = console or Console()
    training = prepare(check(config), console)
    total = config.total_steps
    with (
        closing(training.run),
        stop_signals() as stopped,
        Telemetry(training.run, console, start=training.step, total=total) as telemetry,
        out_of_memory(lambda: advise(training, console)),
    ):
        for stage in training.stages:
            if training.step < stage.end and not stopped():
                if isinstance(stage.body, Step) and training.step == stage.begin:
                    begin_adversarial_stage(training, console)
                with launched(stage.body, training, console) as step:
                    telemetry.restart_clock()
                    while training.step < stage.end and not stopped():
                        training.patches.load()
                        step()
                        training.step += 1
                        after_step(training, telemetry)
        if training.step:
            save(training)
    last = f"step {training.step} of {total}"
    if training.step < total:
        folder = shlex.quote(str(training.run.folder))
        say(console, f"stopped at {last} and saved. Continue: fastsr train --resume --out {folder}")
        raise KeyboardInterrupt
    say(console, f"done: {last}. Everything is in {training.run.folder}")
    return training.run


def advise(training: Training, console: Console) -> str:
    say(console, "out of memory; looking for settings that would fit, which takes up to a minute")
    return (
        f"{out_of_memory_advice(training.config, training.cohort.device)}. What was saved is intact"
    )


def begin_adversarial_stage(training: Training, console: Console) -> None:
    """Shares what pre-training has made, and measures how much the content loss has to weigh, where that is wanted."""
    loss = training.config.loss
    training.cohort.share_pretraining()
    if is_measured(loss):
        weight = balance(training.cohort, training.patches)
        say(
            console,
            f"content weight {weight:.4g}, with which content is {loss.content_ratio:g} times adversarial",
        )


@contextmanager
def launched(
    body: PretrainStep | Step, training: Training, console: Console
) -> Generator[Callable[[], None], None, None]:
    """The step as it is best called: one CUDA graph on a GPU, itself elsewhere, compiled before the clock starts."""
    replay = captured(body, training, console)
    if replay is None:
        if training.config.machine.compile:
            say(console, f"compiled in {warm_up(body, body.state(), steps=1):.0f} s")
        yield body
        return
    say(
        console, f"step captured as one CUDA graph; with compiling that took {replay.seconds:.0f} s"
    )
    with closing(replay):
        yield replay


def captured(body: PretrainStep | Step, training: Training, console: Console) -> Replay | None:
    """The step as a CUDA graph; None where there is no GPU, or none is wanted, or with --graph auto where it fails.

    Raises UserError where it fails otherwise.
    """
    graph = training.config.machine.graph
    if training.cohort.device.type != "cuda" or graph == "off" or not training.capturable:
        return None
    try:
        return capture(body, body.state())
    except CaptureError as error:
        if graph == "on":
            raise UserError(f"{error}. To train without, use --graph auto or --no-graph") from error
        say(console, f"{error}. Training goes on without (--graph auto)")
    # Out here the error is gone, and with it the activations of the step that failed.
    training.capturable = False
    for peer in training.cohort.peers:
        peer.forget_unfinished_step()
    return None


def after_step(training: Training, telemetry: Telemetry) -> None:
    """What is due after a step: a row of metrics, a validation, a checkpoint. The only place where the host waits."""
    step, stage, output = training.step, training.stage, training.config.output
    if step % output.log_every == 0 or step == stage.end:
        telemetry.train_row(
            step, stage, scalars(training), finite_rows(training), stage.body.logits_2PE
        )
    if training.validation and (
        step % output.val_every == 0 or step == training.config.total_steps
    ):
        validate(training, telemetry)
    if step % output.save_every == 0:
        save(training)


def scalars(training: Training) -> dict[str, float]:
    """Numbers of the whole cohort that belong to the last step."""
    cohort = training.cohort
    weight = (
        {"content_weight": float(cohort.content_weight)}
        if isinstance(training.stage.body, Step)
        else {}
    )
    return {"lr": float(cohort.schedule.lr), **weight}


def finite_rows(training: Training) -> torch.Tensor:
    """Metrics since the last report, `[R, P, T]`. Raises UserError at the first that is not finite."""
    step, stage, every = training.step, training.stage, training.config.output.log_every
    first = max((step - 1) // every * every, stage.begin)
    rows_RPT = training.ring.read(first, step)[..., : len(stage.terms)]
    bad = (~rows_RPT.isfinite()).nonzero().tolist()
    if bad:
        row, peer, column = bad[0]
        term, value = stage.terms[column].name, float(rows_RPT[row, peer, column])
        kept = training.run.latest()
        raise UserError(
            f"step {first + row + 1}: {term} of peer {peer} is {value}, and training stops. "
            + (f"The last good checkpoint is {kept}. " if kept else "")
            + "Start a run with a lower --lr, or without --amp"
        )
    return rows_RPT


def validate(training: Training, telemetry: Telemetry) -> None:
    """Scores the averaged generators beside bicubic, and draws the first images."""
    complete(training)
    scale, border = training.config.model.scale, training.config.images.border
    generators = {f"peer {k}": peer.ema for k, peer in enumerate(training.cohort.peers)}
    scores = evaluate(generators, training.validation, scale, border)
    rows = [
        {
            "LR, bicubic": upscale(pair.lr, scale, border),
            **{name: super_resolve(generator, pair.lr) for name, generator in generators.items()},
            "HR": pair.hr,
        }
        for pair in training.validation[:PICTURE_ROWS]
    ]
    telemetry.validation(training.step, scores, comparison(rows))


def complete(training: Training) -> None:
    """Does what steps leave undone because only those need it who look at the peers: between steps, on the device."""
    if isinstance(training.stage.body, PretrainStep):
        training.cohort.share_pretraining()
    training.cohort.write_batch_counts(training.step)
    training.ema_statistics.measure(training.step)


def save(training: Training) -> Path:
    finite_rows(training)
    complete(training)
    assert_finite(training.cohort)
    return save_checkpoint(
        training.run, training.cohort, training.ring, training.data, training.config.output.keep
    )


@contextmanager
def stop_signals() -> Generator[Callable[[], bool], None, None]:
    """Turns SIGINT and SIGTERM into a wish to stop, which the yielded function tells. A second SIGINT interrupts."""
    wishes: list[float] = []

    def wish(number: int, _: FrameType | None) -> None:
        if wishes and number == signal.SIGINT:
            raise KeyboardInterrupt
        wishes.append(time.time())

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(wishes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
