"""Everything that must be in place before the first training step."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from fastsr.cohort.cohort import Cohort
from fastsr.cohort.compile import compile_cohort
from fastsr.cohort.content import content_loss
from fastsr.cohort.ema import EmaStatistics
from fastsr.cohort.liveness import check_liveness
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Stage, make_stages
from fastsr.config.check import warnings
from fastsr.config.settings import TrainConfig
from fastsr.console import listed, say
from fastsr.data.duplicates import Known
from fastsr.data.images import find_images
from fastsr.data.pack import pack_images
from fastsr.data.photos import TRAIN, VAL, sample_photos
from fastsr.data.pixels import PixelStore, place
from fastsr.data.sampler import ASIDE, HostPatches, PatchSampler, PatchSource
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load_pairs
from fastsr.evaluation.validate import Bicubic
from fastsr.prediction.memory import out_of_memory_advice
from fastsr.prediction.size import check_size
from fastsr.system.backend import check_triton, kernels
from fastsr.system.compiler import check_compiler
from fastsr.system.device import choose_device, set_up
from fastsr.system.memory import out_of_memory
from fastsr.system.precision import choose_precision
from fastsr.training.best import note_best
from fastsr.training.checkpoint import load_checkpoint, set_aside
from fastsr.training.run import Run, fresh_folder
from fastsr.training.state import edited_settings

TRIES = 8
"""Batches that a loss may show its gradients on."""


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

    def __post_init__(self) -> None:
        self.stages = make_stages(self.cohort, self.patches, self.ring)

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
    set_up(device)
    precision = choose_precision(config.machine.amp, device)
    if precision.note:
        say(console, precision.note)
    if config.machine.fused and kernels(device) == "triton":
        check_triton(device)
        say(console, "losses on logits and patches: Triton kernels")
    if config.machine.compile and device.type == "cpu":
        check_compiler()
    content = content_loss(config.loss.content, config.loss.vgg)
    for text in warnings(config):
        say(console, text)
    store = open_images(config, console)
    validation = open_validation(config, console)
    warn_of_repeated(store, validation, config.model.scale, console)
    with out_of_memory(lambda: out_of_memory_advice(config, device)):
        cohort = Cohort(config, content, device, precision)
        patches = patch_source(config, store, device)
        ring = MetricsRing(config.output.log_every, len(cohort.peers), device)
        patches.load()
        check_losses(cohort, patches)
    run = continued or new_run(config)
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
    if isinstance(patches, HostPatches):
        patches.seek(training.step)
    if config.machine.compile:
        compile_cohort(cohort)
        say(
            console,
            "--compile: compiling takes up to a minute, and again at the start of the adversarial stage",
        )
    return training


def check_losses(cohort: Cohort, patches: PatchSource) -> None:
    """Checks the liveness of every loss on the liveliest patches of a batch; on those of others before it gives up.

    Black patches, as of a sky by night, leave some gradients at zero though nothing is wrong. Raises UserError.
    """
    for k in range(TRIES):
        lr_NChw, hr_NCHW = patches.draw_aside(ASIDE + k)
        liveliest = hr_NCHW.flatten(1).std(1).topk(2).indices
        try:
            check_liveness(cohort, lr_NChw[liveliest], hr_NCHW[liveliest])
        except UserError:
            if k == TRIES - 1:
                raise
        else:
            return


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


def open_images(config: TrainConfig, console: Console) -> PixelStore:
    """The training images, packed. Without --data: the demonstration photos, and a line that says so."""
    sources = config.images.data
    if not sources:
        say(
            console,
            "demonstration: training on sample photos. To train for real: "
            "fastsr train --data FOLDER --val FOLDER --amp --compile",
        )
    paths = find_images(sources or sample_photos(TRAIN), lambda text: say(console, text))

    def progress(items: Iterator[Any], total: int) -> Iterator[Any]:
        yield from track(
            items, "packing images", total, console=console, disable=not console.is_terminal
        )

    return pack_images(
        paths,
        minimum_side=config.images.patch,
        skip_bad=config.images.skip_bad,
        cache=config.images.cache,
        tell=lambda text: say(console, text),
        track=progress,
    )


def open_validation(config: TrainConfig, console: Console) -> list[Pair]:
    sources = config.images.val
    if not sources and not config.images.data:
        sources = sample_photos(VAL)
    if not sources:
        return []
    files = tuple(find_images(sources, lambda text: say(console, text)))
    return list(load_pairs(files, config.model.scale, config.images.border))


def warn_of_repeated(
    store: PixelStore, validation: list[Pair], scale: int, console: Console
) -> None:
    """Says where training images are there twice, and where training sees what it is validated on."""
    known = Known(store)
    if repeated := known.repeated():
        again, first = repeated[0]
        say(
            console,
            f"warning: {len(repeated)} of {len(store)} images in --data are there more than once and drawn more often, "
            f"such as {store.names[again]}, which is {store.names[first]}",
        )
    warn_of_shared(known, validation, "--val", scale, console)


def warn_of_shared(
    known: Known, pairs: Iterable[Pair], what: str, scale: int, console: Console
) -> None:
    """Says how many images of a set are trained on: a score on them tells nothing of other images."""
    found = [known.find(pair.hr, slack=scale - 1) is not None for pair in pairs]
    if any(found):
        say(
            console,
            f"warning: {sum(found)} of {len(found)} images of {what} are among the training images; "
            "scores on them say little about other images",
        )


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


def patch_source(config: TrainConfig, store: PixelStore, device: torch.device) -> PatchSource:
    """The source of patches: the device itself, where it can reach the pixels, else a thread of the host."""
    placed = place(store, device)
    by_triton = config.machine.fused and kernels(device) == "triton"
    reachable = placed.device == device or (by_triton and placed.pixels.is_pinned())
    sampler = PatchSampler.from_config(placed, config, device if reachable else None)
    return sampler if reachable else HostPatches(sampler, device)


def fingerprint(store: PixelStore) -> str:
    """Tells one set of training images from another by their pixels, order and sizes."""
    digest = hashlib.sha256(store.digest.encode())
    for table in (store.start_I, store.height_I, store.width_I):
        digest.update(table.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
