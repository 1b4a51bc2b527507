"""Training, from images to a run."""

import hashlib
import shlex
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from rich.progress import track

from fastsr.allocator import keep_freed_memory
from fastsr.bicubic import upscale
from fastsr.cohort import Cohort
from fastsr.config import TrainConfig
from fastsr.errors import UserError
from fastsr.evaluate import Pair, evaluate, load_pairs, super_resolve
from fastsr.images import find_images
from fastsr.liveness import check_liveness
from fastsr.losses import content_loss
from fastsr.metrics import PRETRAIN_TERMS, TERMS, MetricsRing
from fastsr.pictures import comparison
from fastsr.pixels import PixelStore, pack_images, place
from fastsr.precision import choose_device, choose_precision
from fastsr.run import Run, assert_finite, fresh_folder
from fastsr.sampler import HostPatches, PatchSampler, PatchSource
from fastsr.samples import TRAIN, VAL, sample_photos
from fastsr.step import PretrainStep, Step
from fastsr.telemetry import Telemetry, say

PICTURE_ROWS = 4


@dataclass
class Training:
    """Everything that a training loop holds: what computes, what it is shown, and where it is kept."""

    config: TrainConfig
    run: Run
    cohort: Cohort
    patches: PatchSource
    ring: MetricsRing
    validation: list[Pair]
    data: str
    """Fingerprint of the training images."""
    step: int = 0


def train(config: TrainConfig, console: Console | None = None) -> Run:
    """Trains a cohort and returns its run; continues one where the configuration says so.

    SIGINT and SIGTERM save a checkpoint and then raise KeyboardInterrupt. Raises UserError for everything that the user
    can mend; what was saved stays intact.
    """
    console = console or Console()
    training = prepare(config.check(), console)
    total = config.total_steps
    with (
        stop_signals() as stopped,
        Telemetry(training.run, console, start=training.step, total=total) as telemetry,
        readable_errors(config),
    ):
        for end, body in stages(training):
            while training.step < end and not stopped():
                body()
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


def prepare(config: TrainConfig, console: Console) -> Training:
    """Packs images, builds the cohort, checks that every loss is alive, and resumes where asked to.

    What is cheap to refuse is refused first: packing a large set of images takes minutes.
    """
    continued = existing_run(config)
    device = choose_device(config.machine.device)
    precision = choose_precision(config.machine.amp, device)
    if precision.note:
        say(console, precision.note)
    content = content_loss(config.loss.content, config.loss.vgg)
    store = open_images(config, console)
    validation = open_validation(config)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True  # shapes never change
    else:
        keep_freed_memory()
    cohort = Cohort(config, content, device, precision)
    run = continued or new_run(config)
    patches = patch_source(config, store, device)
    ring = MetricsRing(config.output.log_every, len(cohort.peers), device)
    training = Training(config, run, cohort, patches, ring, validation, fingerprint(store))
    with readable_errors(config):
        if config.optim.steps:
            check_liveness(cohort, *(x[:2] for x in patches.draw(cohort.step_count)))
        if run.latest() is not None:
            training.step = run.restore(cohort, ring, training.data)
            if training.step > config.total_steps:
                raise UserError(
                    f"{run.folder} is at step {training.step} already; give more than --steps {config.optim.steps}"
                )
            say(console, f"continuing {run.folder} at step {training.step}")
    if isinstance(patches, HostPatches):
        patches.seek(training.step)
    if config.machine.compile:
        cohort.compile()
        say(console, "--compile: the first steps of each stage compile and take up to a minute")
    return training


def open_images(config: TrainConfig, console: Console) -> PixelStore:
    """The training images, packed. Without --data: the demonstration photos, and a line that says so."""
    sources = config.images.data
    if not sources:
        say(
            console,
            "demonstration: training on scikit-image's sample photos. To train for real: "
            "fastsr train --data FOLDER --val FOLDER --amp --compile",
        )
    paths = find_images(sources or sample_photos(TRAIN))

    def progress(items: Iterator[Any], total: int) -> Iterator[Any]:
        yield from track(items, "packing images", total, console=console, disable=not console.is_terminal)

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
        raise UserError(f"{run.folder} holds a run already; add --resume to continue it, or give another --out")
    run.check_same(config)
    return run


def new_run(config: TrainConfig) -> Run:
    folder = config.output.out or fresh_folder(config)
    return Run.start(folder, replace(config, output=replace(config.output, out=folder)))


def patch_source(config: TrainConfig, store: PixelStore, device: torch.device) -> PatchSource:
    images = config.images
    placed = place(store, device)
    sampler = PatchSampler(
        placed,
        scale=config.model.scale,
        patch=images.patch,
        batch=images.batch,
        seed=config.machine.seed,
        border=images.border,
        probability=images.probability,
        augment=images.augment,
    )
    return sampler if placed.device == device else HostPatches(sampler, device)


def fingerprint(store: PixelStore) -> str:
    """Tells one set of images from another by their number, order and sizes."""
    digest = hashlib.sha256()
    for table in (store.height_I, store.width_I):
        digest.update(table.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]


def stages(training: Training) -> Iterator[tuple[int, Callable[[], None]]]:
    """Last step and body of each stage."""
    parts = (training.cohort, training.patches, training.ring)
    yield training.config.optim.pretrain_steps, PretrainStep(*parts)
    yield training.config.total_steps, Step(*parts)


def stage_of(training: Training) -> tuple[str, int, int]:
    """Name, first and last step of the stage that the last step belonged to."""
    pretrain = training.config.optim.pretrain_steps
    if training.step <= pretrain:
        return "pretraining", 0, pretrain
    return "training", pretrain, training.config.total_steps


def after_step(training: Training, telemetry: Telemetry) -> None:
    """What is due after a step: a row of metrics, a validation, a checkpoint. The only place where the host waits."""
    step, output = training.step, training.config.output
    stage, _, end = stage_of(training)
    if step % output.log_every == 0 or step == end:
        telemetry.train_row(step, stage, float(training.cohort.lr), finite_rows(training))
    if training.validation and (step % output.val_every == 0 or step == training.config.total_steps):
        validate(training, telemetry)
    if step % output.save_every == 0:
        save(training)


def finite_rows(training: Training) -> torch.Tensor:
    """Metrics since the last report, `[R, P, T]`. Raises UserError at the first that is not finite."""
    step, every = training.step, training.config.output.log_every
    stage, begin, _ = stage_of(training)
    first = max((step - 1) // every * every, begin)
    rows_RPT = training.ring.read(first, step)
    bad = (~rows_RPT.isfinite()).nonzero().tolist()
    if bad:
        row, peer, term = bad[0]
        name = (PRETRAIN_TERMS if stage == "pretraining" else TERMS)[term]
        kept = training.run.latest()
        raise UserError(
            f"step {first + row + 1}: {name} of peer {peer} is {float(rows_RPT[row, peer, term])}, and training stops. "
            + (f"The last good checkpoint is {kept}. " if kept else "")
            + "Try a lower --lr, or without --amp"
        )
    return rows_RPT


def validate(training: Training, telemetry: Telemetry) -> None:
    """Scores the averaged generators beside bicubic, and draws the first images."""
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


def save(training: Training) -> Path:
    finite_rows(training)
    assert_finite(training.cohort)
    return training.run.save(training.cohort, training.ring, training.data, training.config.output.keep)


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


@contextmanager
def readable_errors(config: TrainConfig) -> Generator[None, None, None]:
    """Says in one line that memory ran out, and which settings need less of it."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        images = config.images
        smaller = [
            f"--batch {max(2, images.batch // 2)}",
            f"--patch {max(16, images.patch // 2 // config.model.scale * config.model.scale)}",
        ]
        smaller += [] if config.machine.amp else ["--amp"]
        raise UserError(
            f"out of memory at these settings; try one of: {', '.join(smaller)}. What was saved is intact"
        ) from error
