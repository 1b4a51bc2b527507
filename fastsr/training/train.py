"""Training, from images to a run."""

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from rich.console import Console

from fastsr.cohort.balance import balance, is_measured
from fastsr.cohort.capture import CaptureError, Replay, capture, warm_up
from fastsr.cohort.step import PretrainStep, Stage, Step, WarmStep
from fastsr.config.check import check
from fastsr.config.settings import TrainConfig
from fastsr.console import counted, lasting_console, say
from fastsr.errors import UserError
from fastsr.evaluation.validate import Bicubic, evaluate
from fastsr.models.inference import super_resolve
from fastsr.prediction.memory import out_of_memory_advice
from fastsr.proof.first_time import replay_proof, told
from fastsr.proof.trial import Trial
from fastsr.system.device import without_search
from fastsr.system.memory import out_of_memory
from fastsr.training.best import note_best
from fastsr.training.checkpoint import prune, write_checkpoint
from fastsr.training.pictures import comparison
from fastsr.training.run import Run
from fastsr.training.setup import Training, prepare
from fastsr.training.snapshot import Snapshot, assert_finite
from fastsr.training.stopping import Stop, continue_command, stop_signals
from fastsr.training.telemetry import Telemetry

PICTURE_ROWS = 4


def train(config: TrainConfig, console: Console | None = None) -> Run:
    """Trains a cohort and returns its run; continues one where the configuration says so.

    SIGINT, SIGTERM and SIGHUP save a checkpoint and then raise KeyboardInterrupt with their number; a second SIGINT
    ends the process. By default it prints to standard output, and goes on silently where that ends. Raises UserError
    for everything that the user can mend; what was saved stays intact.
    """
    console = console or lasting_console()
    stop = Stop(console)
    with stop_signals(stop):
        training = prepare(check(config), console)
        stop.run, stop.step = training.run, training.step
        run_stages(training, stop, console)
    last = f"step {training.step} of {config.total_steps}"
    if training.step < config.total_steps:
        go_on = f"and saved. Continue: {continue_command(training.run)}"
        say(console, f"stopped at {last} {go_on if training.step else 'with nothing to save'}")
        raise KeyboardInterrupt(stop.number)
    say(console, f"done: {last}. Everything is in {training.run.folder}")
    return training.run


def run_stages(training: Training, stop: Stop, console: Console) -> None:
    """Trains to the end, or until somebody wants to stop, and saves."""
    with (
        closing(training.run),
        closing(training.saver),
        Telemetry(training.run, console, training.config, start=training.step) as telemetry,
        out_of_memory(lambda: advise(training, console)),
    ):
        for stage in training.stages:
            if training.step < stage.end and not stop.wanted:
                run_stage(stage, training, telemetry, stop, console)
        if training.step:
            with telemetry.stopwatch.aside("saving"):
                save(training)
        say(console, f"{telemetry.stopwatch}")


def run_stage(
    stage: Stage, training: Training, telemetry: Telemetry, stop: Stop, console: Console
) -> None:
    """Trains to the end of a stage, or until somebody wants to stop."""
    telemetry.begin_stage(stage.name, training.step)
    if training.step == training.config.optim.pretrain_steps:
        training.cohort.share_pretraining()
    if isinstance(stage.body, Step) and training.step == stage.begin:
        begin_adversarial_stage(training, telemetry, console)
    with launched(stage.body, training, telemetry, console) as step:
        telemetry.begin_stage(stage.name, training.step)
        while training.step < stage.end and not stop.wanted:
            stop.step = training.step + 1
            training.patches.load()
            step()
            training.step += 1
            telemetry.tick(training.step)
            after_step(training, telemetry)


def advise(training: Training, console: Console) -> str:
    say(console, "out of memory; looking for settings that would fit, which takes up to a minute")
    return (
        f"{out_of_memory_advice(training.config, training.cohort.device)}. What was saved is intact"
    )


def begin_adversarial_stage(training: Training, telemetry: Telemetry, console: Console) -> None:
    """Measures how much the content loss has to weigh, where that is wanted."""
    loss = training.config.loss
    if is_measured(loss):
        with telemetry.doing("measuring the content loss", "preparing"):
            weight = balance(training.cohort, training.patches)
        say(
            console,
            f"content weight {weight:.4g}, with which content is {loss.content_ratio:g} times adversarial",
        )


@contextmanager
def launched(
    body: PretrainStep | WarmStep | Step, training: Training, telemetry: Telemetry, console: Console
) -> Generator[Callable[[], None], None, None]:
    """The step as it is best called: one CUDA graph on a GPU, itself elsewhere, compiled before the clock starts."""
    compiled = training.config.machine.compile
    slow = "compiling, up to a minute" if compiled else "trying cuDNN's algorithms"
    if training.cohort.device.type == "cuda" and training.wants_graph:
        with telemetry.doing(f"{slow}; capturing the step as one CUDA graph", "preparing"):
            prove = replay_proof(Trial(body, training.patches), training.config)
            replay = captured(body, training, console)
        if replay is not None:
            with closing(replay):
                for line in told(prove(replay)):
                    say(console, line)
                yield replay
            return
    if compiled:
        with telemetry.doing(slow, "preparing"):
            warm_up(body, body.state(), steps=1)
    yield body


def captured(
    body: PretrainStep | WarmStep | Step, training: Training, console: Console
) -> Replay | None:
    """The step as a CUDA graph; None with --graph auto where that fails. Raises UserError where it fails otherwise."""
    try:
        return capture(body, body.state())
    except CaptureError as error:
        if training.config.machine.graph == "on":
            raise UserError(f"{error}. To train without, use --graph auto or --no-graph") from error
        say(console, f"{error}. Training goes on without (--graph auto)")
    # Out here the error is gone, and with it the activations of the step that failed.
    training.capturable = False
    for peer in training.cohort.peers:
        peer.forget_unfinished_step()
    return None


def after_step(training: Training, telemetry: Telemetry) -> None:
    """Does all that is due after a step: a row of metrics, a validation, a checkpoint. The host waits only here.

    Raises UserError, also where a checkpoint that was begun could not be written.
    """
    step, stage, output = training.step, training.stage, training.config.output
    training.saver.check()
    if step % output.log_every == 0 or step == stage.end:
        rows_RPT = finite_rows(training)  # waits for the steps that were queued
        with telemetry.stopwatch.aside("metrics"):
            telemetry.train_row(step, stage, scalars(training), rows_RPT, stage.body.logits_2PE)
    if training.validation and (
        step % output.val_every == 0 or step == training.config.total_steps
    ):
        images = counted(len(training.validation), "image")
        with telemetry.doing(f"validating on {images}", "validation"), without_search():
            validate(training, telemetry)
    if training.saver.is_due(step):
        finite_rows(training)
        with telemetry.stopwatch.aside("saving"):
            begin_save(training)


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
        training.saver.wait()
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
    bicubic = training.bicubic or Bicubic.of(training.validation, scale, border, PICTURE_ROWS)
    training.bicubic = bicubic
    scores = evaluate(generators, training.validation, scale, border, bicubic.score)
    rows = [
        {
            "LR, bicubic": low,
            **{name: super_resolve(generator, pair.lr) for name, generator in generators.items()},
            "HR": pair.hr,
        }
        for pair, low in zip(training.validation, bicubic.first, strict=False)
    ]
    telemetry.validation(training.step, scores, comparison(rows))
    if training.config.output.keep_best:
        saver, keep = training.saver, training.config.output.keep
        saver.wait()  # the best is one of the checkpoints that are there
        note_best(training.run, training.step, lambda: begin_save(training), saver.follow)
        saver.follow(lambda: prune(training.run, keep))  # the best until now need not stay


def complete(training: Training) -> None:
    """Does what steps leave undone because only those need it who look at the peers: between steps, on the device."""
    if isinstance(training.stage.body, PretrainStep):
        training.cohort.share_pretraining()
    training.cohort.write_batch_counts(training.step)
    training.ema_statistics.measure(training.step)


def begin_save(training: Training) -> None:
    """Has a checkpoint of this step written while training goes on, unless that was begun already."""
    training.saver.begin(training.step, lambda: snapshot(training))


def save(training: Training) -> Path:
    """Writes a checkpoint of this step, and returns when it is there. Raises UserError."""
    training.saver.wait()
    now = snapshot(training)
    assert_finite(now)
    return write_checkpoint(training.run, now, training.config.output.keep)


def snapshot(training: Training) -> Snapshot:
    """The cohort as it is saved, true until the next step."""
    finite_rows(training)
    complete(training)
    return Snapshot.of(training.cohort, training.ring, training.data)
