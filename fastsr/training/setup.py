"""Everything that must be in place before the first training step."""

import hashlib
from collections.abc import Iterator
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
from fastsr.config.settings import TrainConfig
from fastsr.console import say
from fastsr.data.images import find_images
from fastsr.data.pack import pack_images
from fastsr.data.photos import TRAIN, VAL, sample_photos
from fastsr.data.pixels import PixelStore, place
from fastsr.data.sampler import HostPatches, PatchSampler, PatchSource
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load_pairs
from fastsr.prediction.memory import out_of_memory_advice
from fastsr.system.backend import check_triton, kernels
from fastsr.system.device import choose_device, set_up
from fastsr.system.memory import out_of_memory
from fastsr.system.precision import choose_precision
from fastsr.training.checkpoint import load_checkpoint
from fastsr.training.run import Run, fresh_folder


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
    device = choose_device(config.machine.device)
    set_up(device)
    precision = choose_precision(config.machine.amp, device)
    if precision.note:
        say(console, precision.note)
    if config.machine.fused and kernels(device) == "triton":
        check_triton(device)
        say(console, "losses on logits and patches: Triton kernels")
    content = content_loss(config.loss.content, config.loss.vgg)
    store = open_images(config, console)
    validation = open_validation(config)
    with out_of_memory(lambda: out_of_memory_advice(config, device)):
        cohort = Cohort(config, content, device, precision)
        patches = patch_source(config, store, device)
        ring = MetricsRing(config.output.log_every, len(cohort.peers), device)
        patches.load()
        check_liveness(cohort, *(x[:2] for x in patches.draw(cohort.schedule.step_count)))
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
        training.step = continue_run(training)
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


def continue_run(training: Training) -> int:
    """Loads the latest checkpoint and notes the settings now in force. Returns the step.

    Raises UserError where that is not possible, with the run as it was.
    """
    run, config = training.run, training.config
    step = load_checkpoint(run, training.cohort, training.ring, training.data)
    if step > config.total_steps:
        raise UserError(
            f"{run.folder} is at step {step} already; give more than --steps {config.optim.steps}"
        )
    run.cut_metrics(step)
    run.describe(replace(config, output=replace(config.output, out=run.folder)))
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
    paths = find_images(sources or sample_photos(TRAIN))

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


def open_validation(config: TrainConfig) -> list[Pair]:
    sources = config.images.val
    if not sources and not config.images.data:
        sources = sample_photos(VAL)
    return list(load_pairs(sources, config.model.scale, config.images.border)) if sources else []


def existing_run(config: TrainConfig) -> Run | None:
    """The run to continue, if any. Raises UserError where --out holds a run that is not to be continued as it was."""
    run = Run(config.output.out) if config.output.out else None
    if run is None or run.latest() is None:
        return None
    if not config.output.resume:
        raise UserError(
            f"{run.folder} holds a run already; add --resume to continue it, or give another --out"
        )
    run.check_same(config)
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
