"""Compares weights of the content loss: `python -m bench.compare_content --data FOLDER --val FOLDER --niqe FOLDER`.

From one pre-trained SRGAN an adversarial stage begins anew for each content loss and weight, on the same patches: auto,
which is measured, and SRGAN's factor 1/12.75 on features, as most code has it. ImageNet weights cannot be had
everywhere, so the features are of random weights; pixels, of weight 1, stand beside them. Prints and records PSNR-RGB
and NIQE of the averaged generator along the way.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from bench.rows import append_row, circumstances
from fastsr.cohort.balance import balance
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import ContentName, content_loss
from fastsr.cohort.ema import EmaStatistics
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step
from fastsr.config.recipes import paper
from fastsr.config.settings import (
    CohortConfig,
    ImagesConfig,
    LossConfig,
    ModelConfig,
    TrainConfig,
    VGGLayer,
)
from fastsr.data.images import find_images, read_rgb8
from fastsr.data.pixels import PixelStore
from fastsr.data.sampler import PatchSampler
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load_pairs
from fastsr.evaluation.perceptual import Perceptual
from fastsr.evaluation.psnr_ssim import psnr_rgb
from fastsr.models.inference import super_resolve
from fastsr.system.precision import choose_precision

SRGANS = (1 / 12.75) ** 2
"""Its factor on features, as a weight of their mean squared error."""
WEIGHTS = {None: "auto", SRGANS: "1/12.75 on features", 1.0: "1"}
PRETRAIN_STEPS, STEPS, POINTS = 1000, 1000, 4
SHALLOW: tuple[VGGLayer, ...] = ("conv1_2", "conv2_2", "conv3_4")
"""Of the several layers; the network ends with the last, at 0.57 of the work to conv5_4."""
TRAININGS: tuple[tuple[ContentName, float | None], ...] = (
    ("random-vgg22", None),
    ("random-vgg22", SRGANS),
    ("random-vgg", None),
    ("random-layers", None),
    ("pixel", 1.0),
    ("random-vgg", SRGANS),
)
"""Content losses and their weights; None is auto."""


@dataclass(frozen=True)
class Bench:
    """The start, images and settings that all trainings share."""

    store: PixelStore
    pairs: Sequence[Pair]
    niqe: Perceptual
    ring: MetricsRing
    start: list[Tensor]
    """Of the cohort, behind pre-training."""
    seed: int


def recipe(content: ContentName, seed: int) -> TrainConfig:
    """One small SRGAN; the learning rate has fallen to 1.6e-4 when the adversarial stage begins."""
    milestones = (PRETRAIN_STEPS * 3 // 4, PRETRAIN_STEPS)
    optim = replace(paper().optim, lr=1e-3, lr_milestones=milestones, lr_gamma=0.4)
    return replace(
        paper(),
        recipe="small-64",
        images=ImagesConfig(batch=4, patch=32),
        model=ModelConfig(blocks=4, filters=32, discriminator_filters=16, skip="bicubic"),
        cohort=CohortConfig(peers=1, variant="independent"),
        loss=LossConfig(
            content=content, vgg_layers=SHALLOW, vgg_layer_weights=(1.0,) * len(SHALLOW)
        ),
        optim=replace(optim, pretrain_steps=PRETRAIN_STEPS, steps=STEPS),
        machine=replace(paper().machine, seed=seed),
    )


def build(content: ContentName, seed: int) -> Cohort:
    cpu, config = torch.device("cpu"), recipe(content, seed)
    return Cohort(config, content_loss(config.loss), cpu, choose_precision(True, cpu))


def conditions(test_set: str, seed: int) -> dict[str, Any]:
    """The columns that all rows share."""
    images = recipe("pixel", seed).images
    return {
        "test_set": test_set, "scale": 4, "batch": images.batch, "patch": images.patch,
        "pretrain_steps": PRETRAIN_STEPS, "seed": seed,
    }  # fmt: skip


def pretrained(store: PixelStore, ring: MetricsRing, seed: int) -> list[Tensor]:
    """The state of a cohort behind pre-training, which knows no content loss."""
    cohort = build("pixel", seed)
    step = PretrainStep(cohort, PatchSampler.from_config(store, cohort.config), ring)
    for _ in range(PRETRAIN_STEPS):
        step()
    return [tensor.detach().clone() for tensor in cohort.state()]


def train(bench: Bench, content: ContentName, fixed: float | None) -> dict[str, Any]:
    """One adversarial stage. Returns the values of a row."""
    cohort = build(content, bench.seed)
    with torch.no_grad():
        for home, value in zip(cohort.state(), bench.start, strict=True):
            home.copy_(value)
    sampler = PatchSampler.from_config(bench.store, cohort.config)
    measured = balance(cohort, sampler)
    weight = measured if fixed is None else fixed
    cohort.content_weight.fill_(weight)
    step, statistics = Step(cohort, sampler, bench.ring), EmaStatistics(cohort, sampler)
    began, psnr, niqe = time.process_time(), {}, {}
    for done in range(STEPS + 1):
        if done % (STEPS // POINTS) == 0:
            statistics.measure(done)
            images = [super_resolve(cohort.peers[0].ema, pair.lr) for pair in bench.pairs]
            psnr[done], niqe[done] = psnr_of(images, bench.pairs), niqe_of(images, bench)
        if done < STEPS:
            step()
    ratio = cohort.config.loss.content_ratio * weight / measured
    return {
        "content": content, "weight": WEIGHTS[fixed], "content_weight": weight,
        "content_to_adversarial": round(ratio, 3), "steps": STEPS, "psnr_rgb": psnr, "niqe": niqe,
        "cpu_seconds": round(time.process_time() - began, 1),
    }  # fmt: skip


def psnr_of(images: Sequence[Tensor], pairs: Sequence[Pair]) -> float:
    return round(fmean(psnr_rgb(sr, p.hr) for sr, p in zip(images, pairs, strict=True)), 3)


def niqe_of(images: Sequence[Tensor], bench: Bench) -> float:
    pairs = zip(images, bench.pairs, strict=True)
    found = [bench.niqe.measure(sr, pair.hr, pair.grey)["niqe"] for sr, pair in pairs]
    return round(fmean(value for value in found if value is not None), 3)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="training images")
    parser.add_argument("--val", type=Path, required=True, help="a test set's originals")
    parser.add_argument("--niqe", type=Path, help="folder with niqe_modelparameters.mat")
    names = list(dict.fromkeys(content for content, _ in TRAININGS))
    parser.add_argument("--content", nargs="+", choices=names, default=names, help="default: all")
    parser.add_argument("--seed", type=int, default=0, help="of weights and patches")
    parser.add_argument("--record", action="store_true", help="append rows to bench/results")
    options = parser.parse_args(arguments)
    about, console = circumstances(), Console(width=120)
    try:
        store = PixelStore.from_images([read_rgb8(path) for path in find_images(options.data)])
        pairs = list(load_pairs((options.val,), 4))
        niqe = Perceptual(["niqe"], 4, torch.device("cpu"), options.niqe)
    except UserError as error:
        parser.error(str(error))
    ring = MetricsRing(1, 1, torch.device("cpu"))
    start = pretrained(store, ring, options.seed)
    bench = Bench(store, pairs, niqe, ring, start, options.seed)
    for content, fixed in TRAININGS:
        if content in options.content:
            row = {**conditions(options.val.name, options.seed), **train(bench, content, fixed)}
            console.print(row, highlight=False)
            if options.record:
                append_row("content_weight", row, about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
