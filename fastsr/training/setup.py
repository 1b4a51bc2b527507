"""Everything that must be in place before the first training step."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import Content, content_loss
from fastsr.cohort.ema import EmaStatistics
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.share import Share
from fastsr.cohort.step import Stage, make_stages
from fastsr.config.check import warnings
from fastsr.config.fixed import BICUBIC, validation_degradation, validation_label
from fastsr.config.settings import TrainConfig
from fastsr.console import counted, doing, listed, say
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSource
from fastsr.distributed.agreement import agree, statement
from fastsr.distributed.ahead import Ahead, AheadShare
from fastsr.distributed.norms import synchronise_norms
from fastsr.distributed.world import Alone, World
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair
from fastsr.evaluation.validate import Bicubic
from fastsr.prediction.duration import duration, expected_seconds, work_of_steps
from fastsr.prediction.memory import out_of_memory_advice
from fastsr.proof.choice import Way
from fastsr.proof.tuning import applied, default_way, fastest_way, is_tuned, settle
from fastsr.system.device import without_search
from fastsr.system.environment import processor_name
from fastsr.system.memory import out_of_memory
from fastsr.system.precision import Precision, choose_precision
from fastsr.training.alive import check_losses
from fastsr.training.best import note_best
from fastsr.training.checkpoint import load_checkpoint, load_teachers, set_aside
from fastsr.training.continued import edited_run, unlocked_after_error
from fastsr.training.initial import check_initial_weights, load_initial_weights
from fastsr.training.ranks import Busy, common_folder, common_run, share_of, usable_device
from fastsr.training.run import Run
from fastsr.training.saver import Saver
from fastsr.training.sources import (
    fingerprint,
    image_paths,
    notes_on_samples,
    open_images,
    open_validation,
    patch_source,
    validation_paths,
    warn_of_repeated,
)


@dataclass
class Training:
    """Everything that a training loop holds: what computes, what it is shown, and where it is kept."""

    config: TrainConfig
    run: Run
    cohort: Cohort
    patches: PatchSource
    ring: MetricsRing
    ema_statistics: EmaStatistics
    validation: list[Pair]
    data: str
    """Fingerprint of the training images."""
    world: World = field(default_factory=Alone)
    step: int = 0
    stopped: bool = False
    """True once all processes have agreed to stop."""
    bicubic: Bicubic | None = None
    """Bicubic on the validation images, once it was needed."""
    capturable: bool = True
    """True if a step may be captured as a CUDA graph; no longer once that has failed."""
    stages: tuple[Stage, ...] = field(init=False)
    busy: Busy = field(init=False)
    saver: Saver = field(init=False)
    ahead: Ahead | None = field(init=False)
    """Sends logits ahead, where they are."""

    def __post_init__(self) -> None:
        share = self.cohort.share
        self.busy = Busy(share)
        self.ahead = (
            Ahead(self.cohort, self.patches, share) if isinstance(share, AheadShare) else None
        )
        self.stages = make_stages(self.cohort, self.patches, self.ring)
        self.saver = Saver(self.run, self.config.output, self.world.aside())

    @property
    def wants_graph(self) -> bool:
        """True if steps are to be captured, where there is a GPU."""
        return self.config.machine.graph != "off" and self.capturable

    @property
    def stage(self) -> Stage:
        """The stage that the last step belonged to; the first before any step."""
        return next(stage for stage in self.stages if self.step <= stage.end)


def prepare(config: TrainConfig, console: Console, world: World | None = None) -> Training:
    """Packs images, builds the cohort, checks that every loss is alive, and resumes where asked to.

    What is cheap to refuse is refused first: packing a large set of images takes minutes.

    Args:
        world: the processes that do so together; without, this one is alone.
    """
    world = world or Alone()
    continued = world.together(lambda: edited_run(config, console, world.rank == 0))
    with unlocked_after_error(continued):
        return prepared(config, console, world, continued)


def prepared(
    config: TrainConfig, console: Console, world: World, continued: Run | None
) -> Training:
    """As `prepare`, with the run to continue, if any."""
    if not continued:
        world.together(lambda: check_initial_weights(config))
    device = world.together(lambda: usable_device(config, world, console))
    agree(world, statement(config, device, continued and continued.latest()))
    share = share_of(world, config, device, console)
    precision = choose_precision(config.machine.amp, device)
    folder = common_folder(world, config, continued)
    first = world.rank == 0
    found = describe(config, device, precision, folder, console) if first else None
    content = world.in_turn("content", lambda: content_loss(config.loss))
    for text in warnings(config):
        say(console, text)
    store = world.in_turn("pack", lambda: open_images(config, console, world.size - 1, found))
    is_slow = validation_degradation(config) is not None
    with doing(console, "degrading the validation images", lines=is_slow):
        validation = world.together(lambda: open_validation(config))
    agree(world, {"the checksum of the training images": fingerprint(store)})
    if first:
        warn_of_repeated(store, validation, config.model.scale, console)
    alone = world.size == 1
    way = chosen_way(config, device, precision, console) if alone else default_way(config)
    computed = applied(config, way)
    cohort, patches, ring = built(
        computed, content, store, device, precision, share, world, not continued, console
    )
    run = common_run(world, config, continued)
    if run.folder != folder:
        say(console, f"{folder} was taken meanwhile; the run is in {run.folder}")
    training = Training(
        config,
        run,
        cohort,
        patches,
        ring,
        EmaStatistics(cohort, patches),
        validation,
        fingerprint(store),
        world,
    )
    if continued:
        training.step = continue_run(training, console)
        say(console, f"continuing {run.folder} at step {training.step}")
    patches.seek(training.step)
    if config.machine.compile:
        settle(cohort, way)
    return training


def chosen_way(
    config: TrainConfig, device: torch.device, precision: Precision, console: Console
) -> Way:
    """The fastest of some equivalent settings, where they are to be tried, or have been."""
    way = default_way(config)
    if is_tuned(config, device):
        with doing(
            console, "looking for the fastest settings here, up to two minutes the first time"
        ):
            way = fastest_way(config, device, precision, console.print)
        say(console, f"computing with {way} (--no-tune: {default_way(config)})")
    return way


def built(
    config: TrainConfig, content: Content, store: PixelStore, device: torch.device, precision: Precision,
    share: Share, world: World, from_files: bool, console: Console,
) -> tuple[Cohort, PatchSource, MetricsRing]:  # fmt: skip
    """Builds what computes, and checks that every loss is alive. `from_files`: with weights of files.

    Raises UserError.
    """
    activity = f"building {counted(config.cohort.peers, 'peer')}; checking that every loss is alive"
    with (
        doing(console, activity),
        out_of_memory(lambda: out_of_memory_advice(config, device)),
    ):
        cohort = Cohort(config, content, device, precision, share=share)
        synchronise_norms(cohort)
        patches = patch_source(config, store, device, share)
        ring = MetricsRing(config.output.log_every, config.cohort.peers, device)
        patches.load()
        if from_files:
            load_initial_weights(cohort)
        with without_search():
            check_losses(cohort, patches, world, console)
    return cohort, patches, ring


def describe(
    config: TrainConfig,
    device: torch.device,
    precision: Precision,
    folder: Path,
    console: Console,
) -> list[Path]:
    """Says, before anything takes long, what is computed on what, where it is kept, and about how long that takes.

    Returns the training images.
    """
    images, val = image_paths(config, console), validation_paths(config)
    sources = counted(len(images), "image" if config.images.data else "sample photo")
    checked = f"{len(val)} for validation" if val else "no validation (--val)"
    low = validation_label(config)
    checked += f", low resolution {low}" if val and low != BICUBIC else ""
    threads = counted(torch.get_num_threads(), "thread")
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{processor_name()}, {threads}"
    )
    bits = str(precision.dtype or torch.float32).removeprefix("torch.")
    say(console, f"{sources}, {checked}; {bits} on {name}")
    for text in notes_on_samples(config, images):
        say(console, text)
    if config.machine.amp and (precision.dtype is None or precision.scaled):
        say(console, precision.note)
    seconds = expected_seconds(config, work_of_steps(config), device)
    say(console, f"{folder}; about {duration(seconds)} for all steps, roughly estimated")
    return images


def continue_run(training: Training, console: Console) -> int:
    """Loads a checkpoint and notes the settings now in force. Returns the step.

    Raises UserError where that is not possible, with the run as it was.
    """
    run, config = training.run, training.config
    name = config.output.resume_from
    step = training.world.together(
        lambda: load_checkpoint(
            run, training.cohort, training.ring, training.data, name, training.world.rank == 0
        )
    )
    if step > config.total_steps:
        raise UserError(
            f"{run.folder} is at step {step} already; give more than --steps {config.optim.steps}"
        )
    if training.ahead:
        training.ahead.restore(load_teachers(run.checkpoint(name)))
    if training.world.rank:
        return step
    try:
        aside = set_aside(run, step)
        run.cut_metrics(step)
        if config.output.keep_best:
            note_best(run, step)
        else:
            run.best_file.unlink(missing_ok=True)
        output = replace(config.output, out=run.folder, resume_from=None)  # that was for this once
        run.describe(replace(config, output=output))
    except OSError as error:
        raise UserError(
            f"{run.folder} cannot be written ({error.strerror or error}); allow writing there, then --resume"
        ) from None
    if aside:
        names = listed([str(path) for path in aside])
        say(console, f"later checkpoints are set aside, to be deleted by you: {names}")
    return step
