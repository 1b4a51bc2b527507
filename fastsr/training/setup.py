"""Everything that must be in place before the first training step."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.compile import compile_cohort
from fastsr.cohort.content import Content, content_loss
from fastsr.cohort.ema import EmaStatistics
from fastsr.cohort.liveness import check_liveness
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Stage, make_stages
from fastsr.config.check import warnings
from fastsr.config.settings import TrainConfig
from fastsr.console import counted, doing, listed, say
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import ASIDE, PatchSource
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair
from fastsr.evaluation.validate import Bicubic
from fastsr.prediction.duration import duration, expected_seconds, work_of_steps
from fastsr.prediction.memory import out_of_memory_advice
from fastsr.prediction.size import check_size
from fastsr.proof.choice import Way
from fastsr.proof.first_time import require_kernels, told
from fastsr.proof.tuning import applied, default_way, fastest_way, is_tuned
from fastsr.system.backend import check_triton, kernels
from fastsr.system.compiler import check_compiler
from fastsr.system.device import choose_device, set_up, without_search
from fastsr.system.environment import processor_name
from fastsr.system.memory import out_of_memory
from fastsr.system.precision import Precision, choose_precision
from fastsr.training.best import note_best
from fastsr.training.checkpoint import load_checkpoint, set_aside
from fastsr.training.initial import check_initial_weights, load_initial_weights
from fastsr.training.run import Run, fresh_folder
from fastsr.training.saver import Saver
from fastsr.training.sources import (
    fingerprint,
    image_paths,
    open_images,
    open_validation,
    patch_source,
    validation_paths,
    warn_of_repeated,
)
from fastsr.training.state import edited_settings

TRIES = 8
"""Batches of images that a loss may show its gradients on."""


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
    step: int = 0
    bicubic: Bicubic | None = None
    """Bicubic on the validation images, once it was needed."""
    capturable: bool = True
    """True if a step may be captured as a CUDA graph; no longer once that has failed."""
    stages: tuple[Stage, ...] = field(init=False)
    saver: Saver = field(init=False)

    def __post_init__(self) -> None:
        self.stages = make_stages(self.cohort, self.patches, self.ring)
        self.saver = Saver(self.run, self.config.output)

    @property
    def wants_graph(self) -> bool:
        """True if steps are to be captured, where there is a GPU."""
        return self.config.machine.graph != "off" and self.capturable

    @property
    def stage(self) -> Stage:
        """The stage that the last step belonged to; the first before any step."""
        return next(stage for stage in self.stages if self.step <= stage.end)


def prepare(config: TrainConfig, console: Console) -> Training:
    """Packs images, builds the cohort, checks that every loss is alive, and resumes where asked to.

    What is cheap to refuse is refused first: packing a large set of images takes minutes.
    """
    continued = existing_run(config)
    if continued:
        for line in edited_settings(continued.checkpoint(config.output.resume_from), config):
            say(console, line)
    device = choose_device(config.machine.device)
    check_size(config, device)
    if not continued:
        check_initial_weights(config)
    set_up(device)
    precision = choose_precision(config.machine.amp, device)
    if config.machine.fused and kernels(device) == "triton":
        check_triton(device)
        for line in told(require_kernels(config, device)):
            say(console, line)
    if config.machine.compile and device.type == "cpu":
        check_compiler()
    folder = continued.folder if continued else config.output.out or fresh_folder(config)
    describe(config, device, precision, folder, console)
    content = content_loss(config.loss)
    for text in warnings(config):
        say(console, text)
    store = open_images(config, console)
    validation = open_validation(config)
    warn_of_repeated(store, validation, config.model.scale, console)
    way = chosen_way(config, device, precision, console)
    cohort, patches, ring = built(
        config, way, content, store, device, precision, not continued, console
    )
    run = continued or new_run(config)
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
    )
    if continued:
        training.step = continue_run(training, console)
        say(console, f"continuing {run.folder} at step {training.step}")
    patches.seek(training.step)
    if config.machine.compile:
        compile_cohort(cohort, way.compiled)
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
    config: TrainConfig, way: Way, content: Content, store: PixelStore, device: torch.device, precision: Precision,
    from_files: bool, console: Console,
) -> tuple[Cohort, PatchSource, MetricsRing]:  # fmt: skip
    """Builds what computes, and checks that every loss is alive. `from_files`: with weights of files.

    Raises UserError.
    """
    activity = f"building {counted(config.cohort.peers, 'peer')}; checking that every loss is alive"
    with (
        doing(console, activity),
        out_of_memory(lambda: out_of_memory_advice(config, device)),
    ):
        cohort = Cohort(applied(config, way), content, device, precision)
        patches = patch_source(config, store, device)
        ring = MetricsRing(config.output.log_every, len(cohort.peers), device)
        patches.load()
        if from_files:
            load_initial_weights(cohort)
        with without_search():
            check_losses(cohort, patches, console)
    return cohort, patches, ring


def describe(
    config: TrainConfig,
    device: torch.device,
    precision: Precision,
    folder: Path,
    console: Console,
) -> None:
    """Says, before anything takes long, what is computed on what, where it is kept, and about how long that takes."""
    images, val = image_paths(config, console), validation_paths(config)
    sources = counted(len(images), "image" if config.images.data else "sample photo")
    checked = f"{len(val)} for validation" if val else "no validation (--val)"
    threads = counted(torch.get_num_threads(), "thread")
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{processor_name()}, {threads}"
    )
    bits = str(precision.dtype or torch.float32).removeprefix("torch.")
    say(console, f"{sources}, {checked}; {bits} on {name}")
    if config.machine.amp and (precision.dtype is None or precision.scaled):
        say(console, precision.note)
    seconds = expected_seconds(config, work_of_steps(config), device)
    say(console, f"{folder}; about {duration(seconds)} for all steps, roughly estimated")


def check_losses(cohort: Cohort, patches: PatchSource, console: Console) -> None:
    """Checks the liveness of every loss on the liveliest patches of a batch; on those of others before it gives up.

    Black patches, as of a sky by night, leave some gradients at zero though nothing is wrong; a loss that is dead has
    none on noise either. Raises UserError.
    """
    if any(are_alive(cohort, *patches.draw_aside(ASIDE + k)) for k in range(TRIES)):
        return
    check_liveness(cohort, *noise_like(*patches.draw_aside(ASIDE)))
    say(console, f"warning: {TRIES} batches have hardly a patch with anything on it to learn from")


def are_alive(cohort: Cohort, lr_NChw: Tensor, hr_NCHW: Tensor) -> bool:
    """True if every loss shows its gradients on the two patches that vary most."""
    liveliest = hr_NCHW.flatten(1).std(1).topk(2).indices
    try:
        check_liveness(cohort, lr_NChw[liveliest], hr_NCHW[liveliest])
    except UserError:
        return False
    return True


def noise_like(lr_NChw: Tensor, hr_NCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Two patches of noise in place of those that were drawn, the same for every call."""
    generator = torch.Generator().manual_seed(0)
    noise_NCHW = torch.rand((2, *hr_NCHW.shape[1:]), generator=generator).to(hr_NCHW)
    h, w = lr_NChw.shape[-2:]
    return adaptive_avg_pool2d(noise_NCHW, (h, w)), noise_NCHW


def continue_run(training: Training, console: Console) -> int:
    """Loads a checkpoint and notes the settings now in force. Returns the step.

    Raises UserError where that is not possible, with the run as it was.
    """
    run, config = training.run, training.config
    name = config.output.resume_from
    step = load_checkpoint(run, training.cohort, training.ring, training.data, name)
    if step > config.total_steps:
        raise UserError(
            f"{run.folder} is at step {step} already; give more than --steps {config.optim.steps}"
        )
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


def existing_run(config: TrainConfig) -> Run | None:
    """The run to continue, if any. Raises UserError where --out holds a run that is not to be continued as it was."""
    run = Run(config.output.out) if config.output.out else None
    if run is None or run.latest() is None:
        if config.output.resume_from:
            raise UserError(f"--from {config.output.resume_from} needs --resume RUN")
        return None
    if not config.output.resume:
        raise UserError(
            f"{run.folder} holds a run already; add --resume to continue it, or give another --out"
        )
    run.check_same(config)
    run.checkpoint(config.output.resume_from)
    run.lock()
    return run


def new_run(config: TrainConfig) -> Run:
    folder = config.output.out or fresh_folder(config)
    return Run.start(folder, replace(config, output=replace(config.output, out=folder)))
