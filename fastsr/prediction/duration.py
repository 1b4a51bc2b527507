"""Predicted duration of a run: the work of a step over the speed of this machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from fastsr.cohort.content import PixelContent, unloaded_content
from fastsr.config.peers import beginnings, peer_models
from fastsr.config.settings import TrainConfig
from fastsr.models.networks import (
    build_discriminator,
    build_generator,
    discriminator_architecture,
    generator_architecture,
)
from fastsr.prediction.flops import FlopCount
from fastsr.prediction.memory import Prediction
from fastsr.system.device import synchronise
from fastsr.system.precision import choose_precision

SHARE_OF_PEAK = {
    ("cpu", False): 0.85,
    ("cpu", True): 0.5,
    ("cuda", False): 0.3,
    ("cuda", True): 0.3,
}
"""Share that training reaches of the speed of large matrix products, by device and mixed precision. On CPUs a little
less than was measured of the paper's recipe; on GPUs, with `LAYER_SECONDS`, near an H100 in bf16, and else a guess."""
LAYER_SECONDS = 72e-6
"""A layer with weights, forward and back, takes a GPU that replays steps so long at least, however little it
multiplies: a dozen kernels that wait for each other. With the share above this comes within a quarter of what an H100
took, 6.8 to 17 ms for steps of the paper's networks. Slower GPUs, none of which was measured, should hardly feel it."""


def seconds_per_step(config: TrainConfig, prediction: Prediction, device: torch.device) -> float:
    """A rough estimate, within a factor of two or so; on a CPU networks much smaller than the paper's take longer."""
    seconds = prediction.flop / training_speed(config, device)
    if device.type != "cuda":
        return seconds
    layers, peers = work_of_steps(config).layers.training, config.cohort.peers
    return seconds + waiting(config, layers, peers, device)


@dataclass(frozen=True)
class Layers:
    """Layers with weights that one step goes through one after the other, in each stage, of one peer."""

    pretraining: int
    warming: int
    training: int


@dataclass(frozen=True)
class Work:
    """Floating-point operations of one step of all peers in each stage."""

    generating: float
    """Of all generators, going forward."""
    pretraining: float
    """Of those that are pre-trained, for the others too that begin alike."""
    warming: float
    """Of discriminators alone."""
    training: float
    layers: Layers
    begun: int
    """Peers that are pre-trained."""


def work_of_steps(config: TrainConfig) -> Work:
    """By arithmetic from single forward passes without contents: in a moment, where a whole step takes seconds.

    Going backward takes twice the work of going forward, once where only the image's gradient is wanted. So G counts
    3; D counts 7: forward and backward on both images, and to the generated image once more; the content network 2.
    """
    images, low = config.images, config.images.patch // config.model.scale
    generators, discriminators, channels = list[int](), 0, config.model.channels
    deepest, judging, looking = 0, 0, 0
    with torch.device("meta"), torch.no_grad():
        hr_NCHW = torch.empty(images.batch, channels, images.patch, images.patch)
        lr_NChw = torch.empty(images.batch, channels, low, low)
        for model in peer_models(config):
            g = build_generator(generator_architecture(model))
            d = build_discriminator(discriminator_architecture(model, images.patch))
            with FlopCount() as generator:
                g(lr_NChw)
            with FlopCount() as discriminator:
                d(hr_NCHW)
            generators.append(generator.total)
            discriminators += discriminator.total
            deepest, judging = max(deepest, depth(g)), max(judging, depth(d))
        content_loss = unloaded_content(config.loss)
        with FlopCount() as content:
            if not isinstance(content_loss, PixelContent):
                content_loss.vgg(hr_NCHW)
                looking = depth(content_loss.vgg)
    of_content = (2 * config.cohort.peers + 1) * content.total
    all_peers, begun = sum(generators), beginnings(config)
    first = {begun.index(peer) for peer in begun}
    return Work(
        all_peers,
        3 * sum(generators[k] for k in first),
        all_peers + 6 * discriminators,
        3 * all_peers + 7 * discriminators + of_content,
        Layers(deepest, deepest // 3 + judging, deepest + judging + looking),
        len(first),
    )


def depth(network: nn.Module) -> int:
    """Layers with weights, norms and activations aside."""
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())


def expected_seconds(config: TrainConfig, work: Work, device: torch.device, step: int = 0) -> float:
    """Seconds that the steps after `step` will take, as roughly as `seconds_per_step`."""
    optim, seconds, begin = config.optim, 0.0, 0
    stages = (optim.pretrain_steps, optim.warm_discriminator, optim.steps)
    for steps, each in zip(stages, stage_seconds(config, work, device), strict=True):
        seconds += max(0, begin + steps - max(step, begin)) * each
        begin += steps
    return seconds


def stage_seconds(
    config: TrainConfig, work: Work, device: torch.device
) -> tuple[float, float, float]:
    """Of a step of each stage: pre-training, warming the discriminators, training."""
    layers, peers, speed = work.layers, config.cohort.peers, training_speed(config, device)
    return (
        work.pretraining / speed + waiting(config, layers.pretraining, work.begun, device),
        work.warming / speed + waiting(config, layers.warming, peers, device),
        work.training / speed + waiting(config, layers.training, peers, device),
    )


def stage_weights(config: TrainConfig, device: torch.device) -> tuple[float, float, float]:
    """`stage_seconds` in any unit: on a CPU work alone, for which no speed need be measured."""
    work = work_of_steps(config)
    if device.type != "cuda":
        return work.pretraining, work.warming, work.training
    return stage_seconds(config, work, device)


def waiting(config: TrainConfig, layers: int, peers: int, device: torch.device) -> float:
    """Seconds that so many layers of one peer take at least; of all peers, where they are not computed side by side."""
    if device.type != "cuda":
        return 0.0
    side_by_side = min(config.machine.peer_streams or peers, peers)
    return LAYER_SECONDS * layers * -(-peers // side_by_side)


def training_speed(config: TrainConfig, device: torch.device) -> float:
    """Floating-point operations a second that training reaches, roughly."""
    dtype = choose_precision(config.machine.amp, device).dtype
    speed = gpu_speed if device.type == "cuda" else matrix_speed
    return SHARE_OF_PEAK[device.type, dtype is not None] * speed(device, dtype)


@lru_cache
def gpu_speed(device: torch.device, dtype: torch.dtype | None) -> float:
    """`matrix_speed`, measured once: later there may be no room for large matrices."""
    return matrix_speed(device, dtype)


def matrix_speed(device: torch.device, dtype: torch.dtype | None, tf32: bool = True) -> float:
    """Floating-point operations a second of a large square matrix product in this dtype, the best of several.

    On a CPU those of one thread, in its own time, times the number of threads: what else the machine does meanwhile
    does not count, which can make threads that wait for each other a thousand times slower.

    Args:
        tf32: whether fp32 products on a GPU may be TF32, as torch lets convolutions be.
    """
    if device.type == "cpu":
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return threads * product_speed(device, dtype, 1024, 3, time.thread_time)
        finally:
            torch.set_num_threads(threads)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = tf32
    try:
        return product_speed(device, dtype, 8192, 8, time.perf_counter)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def product_speed(
    device: torch.device,
    dtype: torch.dtype | None,
    side: int,
    repeats: int,
    clock: Callable[[], float],
) -> float:
    """Floating-point operations a second of a square matrix product by this clock, the best of several."""
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(repeats):
        synchronise(device)
        began = clock()
        torch.mm(a, b)
        synchronise(device)
        best = min(best, clock() - began)
    return 2 * side**3 / best


def duration(seconds: float) -> str:
    """Rounded for people: 40 s, 12 min, 3.5 h, 2.1 days; 1 s for what is shorter."""
    seconds = max(seconds, 1)
    for unit, size, limit in (("s", 1, 90), ("min", 60, 90 * 60), ("h", 3600, 48 * 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}" if unit != "h" else f"{seconds / size:.1f} h"
    return f"{seconds / 86400:.1f} days"
