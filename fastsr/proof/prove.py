"""The whole proof of a machine, for one recipe: `fastsr doctor --prove`."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import torch

from fastsr.cohort.capture import CaptureError, capture
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.compile import compile_cohort
from fastsr.cohort.content import Content, FeatureContent, PixelContent, unloaded_content
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step, WarmStep
from fastsr.config.settings import TrainConfig
from fastsr.data.degrade import DegradedPatches
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler, PatchSource
from fastsr.prediction.memory import BESIDE_TENSORS, predict_memory
from fastsr.proof.degradations import DEGRADE, prove_degradations
from fastsr.proof.kernels import LOSS, SAMPLER, prove_cohort_loss, prove_patch_sampler
from fastsr.proof.norms import NORM, prove_batch_norm
from fastsr.proof.parts import Part, failed, skipped
from fastsr.proof.trial import (
    Launch,
    Rehearsed,
    Trial,
    prove_no_waits,
    prove_repeats,
    prove_replays,
    rehearse,
    steps_per_second,
)
from fastsr.proof.usual_loop import Baseline
from fastsr.system.backend import kernels
from fastsr.system.memory import gigabytes
from fastsr.system.precision import Precision

STEPS, FEW_STEPS = 10, 4
"""Replays that are compared, in the whole proof and before a training."""
TIMED_STEPS = 30
STEPS_ON_A_CPU = 2
MEMORY, SPEED = "peak memory", "steps/s"
NO_GPU = "needs an NVIDIA GPU"


def prove(config: TrainConfig, device: torch.device, precision: Precision) -> Iterator[Part]:
    """Every part, one after the other, with peers of this configuration on images of noise.

    Raises torch.OutOfMemoryError where a step does not fit.
    """
    yield from prove_kernels(config, device)
    if device.type == "cpu":
        trial = rehearsal(config, device, precision)
        yield prove_repeats(trial, STEPS_ON_A_CPU, "eager steps repeat")
        for name in (*names_of_captured(trial, config, precision), MEMORY, SPEED):
            yield skipped(name, NO_GPU)
        return
    yield from prove_on_gpu(config, device, precision)


def prove_kernels(config: TrainConfig, device: torch.device) -> Iterator[Part]:
    """The kernels in use on this device, against float64."""
    if not config.machine.fused:
        names = (LOSS, SAMPLER, NORM, DEGRADE)
        yield from (skipped(name, "--no-fused: not in use") for name in names)
        return
    in_use = kernels(device)
    for one in (prove_cohort_loss(device), prove_patch_sampler(device), prove_batch_norm(device)):
        yield replace(one, detail=f"{in_use}: {one.detail}")
    yield prove_degradations(config, device)


def prove_on_gpu(config: TrainConfig, device: torch.device, precision: Precision) -> Iterator[Part]:
    """Parts that take a captured step: it does what an eager one does, without waiting; its memory, its speed."""
    before = torch.cuda.memory_reserved(device)
    trial = rehearsal(config, device, precision)
    if config.machine.compile:
        compile_cohort(trial.cohort)
    eager = rehearse(trial, STEPS)
    speed = {"eager": trial.speed(trial.body, TIMED_STEPS)}
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    try:
        replay = capture(trial.body, trial.body.state())
    except CaptureError as error:
        yield failed(named("replays of training", config, precision), "--no-graph", error)
        return
    with closing(replay):
        measured = torch.cuda.max_memory_reserved(device) - before
        yield from prove_captured(trial, replay, eager, config, precision)
        yield memory(predict_memory(config, precision, on_gpu=True).peak, measured)
        speed["captured"] = trial.speed(replay, TIMED_STEPS)
    del trial, replay
    torch.cuda.empty_cache()
    yield speeds({**usual_speed(config, device), **speed})


def prove_captured(
    trial: Trial, replay: Launch, eager: Rehearsed, config: TrainConfig, precision: Precision
) -> Iterator[Part]:
    """A captured body of training does what the body does, and lets the host go on."""
    replays, waits = names_of_captured(trial, config, precision)
    yield prove_replays(trial, replay, eager, replays)
    yield prove_no_waits(trial, replay, eager.steps, waits)


def names_of_captured(trial: Trial, config: TrainConfig, precision: Precision) -> tuple[str, str]:
    """The names of both parts, which hold for one stage of training."""
    stages: dict[type, str] = {PretrainStep: "pre-training", WarmStep: "warming"}
    stage = stages.get(type(trial.body), "training")
    replays, waits = (f"{what} {stage}" for what in ("replays of", "no waiting in"))
    return named(replays, config, precision), named(waits, config, precision)


def named(what: str, config: TrainConfig, precision: Precision) -> str:
    """The name of a part that holds for these settings alone."""
    machine, model = config.machine, config.model
    settings = [str(precision.dtype or torch.float32).removeprefix("torch.")]
    others = (
        model.generator,
        model.discriminator,
        config.loss.adversarial,
        config.degrade.degrade,
    )
    settings += [name for name in others if name not in ("srresnet", "vgg", "vanilla", "bicubic")]
    settings += ["compiled"] * machine.compile + ["without kernels"] * (not machine.fused)
    return f"{what} ({', '.join(settings)})"


def rehearsal(
    config: TrainConfig,
    device: torch.device,
    precision: Precision,
    content: Content | None = None,
) -> Trial:
    """The adversarial step of a recipe, on images of noise; the content network has random weights by default."""
    cohort = Cohort(config, content or any_content(config), device, precision)
    patches = patches_for(config, device)
    ring = MetricsRing(config.output.log_every, len(cohort.peers), device)
    return Trial(Step(cohort, patches, ring), patches)


def patches_for(config: TrainConfig, device: torch.device) -> PatchSource:
    """Patches of noise, drawn on the device as in training."""
    sampler = PatchSampler.from_config(noise_for(config).to(device), config)
    if config.degrade.is_bicubic:
        return sampler
    scale, machine = config.model.scale, config.machine
    return DegradedPatches(
        sampler, config.degrade, scale=scale, seed=machine.seed, device=device, fused=machine.fused
    )


def any_content(config: TrainConfig) -> Content:
    """The content loss with weights that need no download: the arithmetic is the same."""
    content = unloaded_content(config.loss)
    if not isinstance(content, PixelContent):
        content.vgg.randomise()
    return content


def noise_for(config: TrainConfig) -> PixelStore:
    """Three images a little larger than a patch, of the samples of the settings."""
    side = config.drawn_side + 3 * config.model.scale
    seeded = torch.Generator().manual_seed(0)
    images = [
        torch.randint(
            2**config.images.bits, (side + k, side + 2 * k, config.model.channels), generator=seeded
        ).numpy()
        for k in range(3)
    ]
    if config.images.bits == 16:
        return PixelStore.from_images([image.astype(np.uint16) for image in images])
    return PixelStore.from_images([image.astype(np.uint8) for image in images])


def usual_speed(config: TrainConfig, device: torch.device) -> dict[str, float]:
    """Steps per second of SRGANs as most repositories train them: fp32, one after the other, losses read by the host.

    None where networks or losses are others than SRGAN's, which that loop does not know.
    """
    content = any_content(config)
    model = config.model
    plain = (model.generator, model.discriminator, config.loss.adversarial) == (
        "srresnet",
        "vgg",
        "vanilla",
    )
    if not (plain and isinstance(content, FeatureContent)):
        return {}
    baseline = Baseline(config, content.vgg, content.scale, device)
    patches = patches_for(config, device)
    counter = torch.zeros((), dtype=torch.int64, device=device)

    def step() -> None:
        baseline.step(*patches.draw(counter.add_(1)))

    return {"usual loop": steps_per_second(step, device, TIMED_STEPS)}


def speeds(values: dict[str, float]) -> Part:
    """Several ways to train. A measurement, which proves nothing."""
    detail = ", ".join(f"{way} {value:.3g}" for way, value in values.items())
    return Part(name=SPEED, outcome="noted", detail=detail, values=values)


def memory(predicted: int, measured: int) -> Part:
    """Memory that torch reserved while a step was captured, beside what was predicted for its tensors."""
    detail = f"{gigabytes(measured)} reserved, {gigabytes(predicted)} of tensors predicted"
    if measured > 1.25 * predicted + BESIDE_TENSORS:
        detail += "; more than scratch space explains: please report it"
    values = {"predicted": float(predicted), "measured": float(measured)}
    return Part(name=MEMORY, outcome="noted", detail=detail, values=values)
