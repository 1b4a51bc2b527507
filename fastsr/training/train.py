"""Training, from images to a run."""

from collections.abc import Callable, Generator
from contextlib import closing, contextmanager

from rich.console import Console

from fastsr.cohort.balance import balance, is_measured
from fastsr.cohort.capture import CaptureError, Replay, capture, warm_up
from fastsr.cohort.step import PretrainStep, Stage, Step, WarmStep
from fastsr.config.check import check
from fastsr.config.settings import TrainConfig
from fastsr.console import counted, lasting_console, say
from fastsr.distributed.world import LostRankError, World, joined
from fastsr.errors import UserError
from fastsr.evaluation.validate import Bicubic, evaluate
from fastsr.models.inference import super_resolve
from fastsr.prediction.memory import out_of_memory_advice
from fastsr.proof.first_time import replay_proof, told
from fastsr.proof.trial import Trial
from fastsr.system.device import without_search
from fastsr.system.memory import out_of_memory
from fastsr.training.best import note_best
from fastsr.training.checkpoint import merged, prune
from fastsr.training.pictures import CROP, centre_crop, comparison
from fastsr.training.ranks import decided_by_first, leads, released
from fastsr.training.run import Run
from fastsr.training.saving import (
    begin_save,
    check_saves,
    complete,
    finite_rows,
    save,
    save_is_due,
    scalars,
    wait_for_saves,
)
from fastsr.training.setup import Training, prepare
from fastsr.training.silence import Silence
from fastsr.training.stopping import Stop, continue_command, stop_signals, what_is_kept
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
    check(config)
    try:
        with stop_signals(stop), joined(config.distributed.rank_timeout) as world:
            training = trained(config, stop, console, world)
    except LostRankError as error:
        raise UserError(f"{error}; {what_is_kept(stop)}") from None
    last = f"step {training.step} of {config.total_steps}"
    if training.step < config.total_steps:
        go_on = f"and saved. Continue: {continue_command(training.run)}"
        say(console, f"stopped at {last} {go_on if training.step else 'with nothing to save'}")
        raise KeyboardInterrupt(stop.number)
    say(console, f"done: {last}. Everything is in {training.run.folder}")
    return training.run


def trained(config: TrainConfig, stop: Stop, console: Console, world: World) -> Training:
    """A training, prepared and brought to its end, or to where somebody wants to stop."""
    training = prepare(config, console, world)
    stop.run, stop.step = training.run, training.step
    run_stages(training, stop, console)
    return training


def run_stages(training: Training, stop: Stop, console: Console) -> None:
    """Trains to the end, or until somebody wants to stop, and saves."""
    with (
        closing(training.run),
        closing(training.saver),
        open_telemetry(training, console) as telemetry,
        out_of_memory(lambda: advise(training, console)),
    ):
        for stage in training.stages:
            if goes_on(training, stage, stop):
                run_stage(stage, training, telemetry, stop, console)
        if training.step:
            with telemetry.stopwatch.aside("saving"):
                save(training)
        say(console, f"{telemetry.stopwatch}")


def run_stage(
    stage: Stage, training: Training, telemetry: Telemetry | Silence, stop: Stop, console: Console
) -> None:
    """Trains to the end of a stage, or until somebody wants to stop."""
    telemetry.begin_stage(stage.name, training.step)
    if training.step == training.config.optim.pretrain_steps:
        training.cohort.share_pretraining()
    if isinstance(stage.body, Step) and training.step == stage.begin:
        begin_adversarial_stage(training, telemetry, console)
    with (
        sent_ahead(stage.body, training) as around,
        launched(stage.body, training, telemetry, console) as body,
        released(training.cohort.share),
    ):
        step = around(body)
        telemetry.begin_stage(stage.name, training.step)
        training.busy.restart(training.step)
        while goes_on(training, stage, stop):
            stop.step = training.step + 1
            training.patches.load()
            step()
            training.step += 1
            telemetry.tick(training.step)
            after_step(training, telemetry)


@contextmanager
def sent_ahead(
    body: PretrainStep | WarmStep | Step, training: Training
) -> Generator[Callable[[Callable[[], None]], Callable[[], None]], None, None]:
    """The way to wrap a body whose logits are sent steps ahead, where the settings say so; else it stays as it is."""
    ahead = training.ahead
    if ahead is None or not isinstance(body, Step):
        yield lambda body: body
        return
    ahead.begin(training.step)
    yield lambda body: ahead.around(body, lambda: training.step)
    ahead.end()


def goes_on(training: Training, stage: Stage, stop: Stop) -> bool:
    """True until the stage ends or all ranks have agreed to stop, at the same step."""
    if training.step >= stage.end:
        return False
    training.stopped = training.stopped or training.world.any(stop.wanted)
    return not training.stopped


def open_telemetry(training: Training, console: Console) -> Telemetry | Silence:
    """The reports of the first rank, which speaks for all."""
    if training.world.rank:
        return Silence()
    return Telemetry(
        training.run, console, training.config, start=training.step, device=training.cohort.device
    )


def advise(training: Training, console: Console) -> str:
    say(console, "out of memory; looking for settings that would fit, which takes up to a minute")
    return (
        f"{out_of_memory_advice(training.config, training.cohort.device)}. What was saved is intact"
    )


def begin_adversarial_stage(
    training: Training, telemetry: Telemetry | Silence, console: Console
) -> None:
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
    body: PretrainStep | WarmStep | Step,
    training: Training,
    telemetry: Telemetry | Silence,
    console: Console,
) -> Generator[Callable[[], None], None, None]:
    """The step as it is best called: one CUDA graph on a GPU, itself elsewhere, compiled before the clock starts."""
    compiled = training.config.machine.compile
    slow = "compiling, up to a minute" if compiled else "trying cuDNN's algorithms"
    if training.cohort.device.type == "cuda" and training.wants_graph:
        with telemetry.doing(f"{slow}; capturing the step as one CUDA graph", "preparing"):
            # Ranks that have proved it before would not wait for those that have not.
            trial = Trial(body, training.patches) if training.world.size == 1 else None
            prove = replay_proof(trial, training.config) if trial else None
            replay = captured_by_all(body, training, console)
        if replay is not None:
            with closing(replay):
                for line in told(prove(replay)) if prove else ():
                    say(console, line)
                yield replay
            return
    if compiled:
        with telemetry.doing(slow, "preparing"):
            warm_up(body, body.state(), steps=1)
    yield body


def captured_by_all(
    body: PretrainStep | WarmStep | Step, training: Training, console: Console
) -> Replay | None:
    """As `captured`, on all ranks or on none: NCCL wants a call captured by all members of a group, or by none."""
    replay = training.world.together(lambda: captured(body, training, console))
    if all(training.world.gather(replay is not None)):
        return replay
    if replay is not None:
        replay.close()
        say(
            console, "another rank cannot capture the step. Training goes on without (--graph auto)"
        )
        forget_capture(training)
    return None


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
    forget_capture(training)
    return None


def forget_capture(training: Training) -> None:
    """Goes on without a graph, and without the gradients that only a replay would fill."""
    training.capturable = False
    for peer in training.cohort.peers:
        peer.forget_unfinished_step()


def after_step(training: Training, telemetry: Telemetry | Silence) -> None:
    """Does all that is due after a step: a row of metrics, a validation, a checkpoint. The host waits only here.

    Raises UserError, also where a checkpoint that was begun could not be written.
    """
    step, stage, output = training.step, training.stage, training.config.output
    check_saves(training)
    if step % output.log_every == 0 or step == stage.end:
        rows_RPT = finite_rows(training)  # waits for the steps that were queued
        busy = training.world.gather(training.busy.seconds_per_step(step))
        training.busy.restart(step)
        with telemetry.stopwatch.aside("metrics"):
            telemetry.train_row(
                step, stage, scalars(training), rows_RPT, stage.body.logits_2PE, busy
            )
    if training.validation and (
        step % output.val_every == 0 or step == training.config.total_steps
    ):
        images = counted(len(training.validation), "image")
        with telemetry.doing(f"validating on {images}", "validation"), without_search():
            validate(training, telemetry)
    if save_is_due(training):
        finite_rows(training)
        with telemetry.stopwatch.aside("saving"):
            begin_save(training)


def validate(training: Training, telemetry: Telemetry | Silence) -> None:
    """Scores the averaged generators beside bicubic, and draws the first images. Each rank does so for its peers."""
    complete(training)
    scale, border = training.config.model.scale, training.config.images.border
    bicubic = training.bicubic or Bicubic.of(training.validation, scale, border, PICTURE_ROWS)
    training.bicubic = bicubic
    peers = training.cohort.numbered() if leads(training.cohort.share) else ()
    generators = {f"peer {k}": peer.ema for k, peer in peers}
    own = evaluate(generators, training.validation, scale, border, bicubic.score)
    shown = list(zip(training.validation, bicubic.first, strict=False))
    drawn = {
        name: [centre_crop(super_resolve(generator, pair.lr), CROP) for pair, _ in shown]
        for name, generator in generators.items()
    }
    # Ranks have their peers in order.
    scores, pictures = map(merged, zip(*training.world.gather((own, drawn)), strict=True))
    rows = [
        {"LR, bicubic": low, **{name: of[k] for name, of in pictures.items()}, "HR": pair.hr}
        for k, (pair, low) in enumerate(shown)
    ]
    step, saver = training.step, training.saver
    telemetry.validation(step, scores)
    if training.config.output.keep_best:
        run, keep = training.run, training.config.output.keep
        wait_for_saves(training)  # the best is one of the checkpoints that are there
        decided_by_first(
            training.world,
            lambda saved: note_best(run, step, saved, saver.follow),
            lambda: begin_save(training),
        )
        if training.world.rank == 0:
            saver.follow(lambda: prune(run, keep))  # the best until now need not stay
    # Last, so that nothing waits for it: encoding takes as long as dozens of steps of a fast GPU.
    saver.follow(lambda: telemetry.picture(step, comparison(rows)))
