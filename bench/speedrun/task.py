"""The task of the speedrun: its images, the generator's budget, the target, and how a training is scored."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch

from fastsr.data.images import find_images, read_rgb8
from fastsr.data.pixels import PixelStore
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load_pairs
from fastsr.evaluation.perceptual import Perceptual
from fastsr.evaluation.psnr_ssim import psnr_rgb
from fastsr.models import SRResNet
from fastsr.models.base import Generator
from fastsr.models.inference import super_resolve
from fastsr.prediction.flops import FlopCount

SCALE, TRAIN_IMAGES, TEST_IMAGES = 4, 399, 14
SEEDS = (0, 1, 2)
LEAST_PSNR_RGB, MOST_NIQE = 24.0, 6.0
"""The target, mean over seeds of means over Set14. Bicubic has 24.25 dB and 7.64."""
BUDGET = {"blocks": 4, "filters": 32}
"""Of the generator, an SRResNet with any skip."""

Train = Callable[[PixelStore, int], Generator]
"""A submission: from images and a seed to a generator. It begins with nothing else."""


@dataclass(frozen=True)
class Images:
    """BSD399 in memory, Set14 in pairs, and NIQE."""

    store: PixelStore
    pairs: Sequence[Pair]
    niqe: Perceptual


@dataclass(frozen=True)
class Result:
    """One seed."""

    seed: int
    psnr_rgb: float
    niqe: float
    teraflop: float
    """Of the whole training, by torch's formulas: convolutions and matrix products, a multiply-add being two."""
    cpu_seconds: float
    """Of the whole training, on one thread, counting included."""


def open_images(data: Path, test: Path, niqe: Path | None) -> Images:
    """Raises UserError where the folders do not hold as many images as BSD399 and Set14 have."""
    files, pairs = find_images((data,)), list(load_pairs((test,), SCALE))
    for folder, found, wanted in ((data, files, TRAIN_IMAGES), (test, pairs, TEST_IMAGES)):
        if len(found) != wanted:
            raise UserError(f"{folder} holds {len(found)} images, not {wanted}; name another")
    store = PixelStore.from_images([read_rgb8(path) for path in files])
    return Images(store, pairs, Perceptual(["niqe"], SCALE, torch.device("cpu"), niqe))


def scored(train: Train, images: Images, seed: int) -> Result:
    """Trains once and scores what comes out."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    with FlopCount() as work:
        began = time.process_time()
        generator = train(images.store, seed)
        seconds = time.process_time() - began
    check_budget(generator)
    psnr, niqe = quality(generator, images)
    return Result(seed, psnr, niqe, work.total / 1e12, round(seconds, 1))


def quality(generator: Generator, images: Images) -> tuple[float, float]:
    """PSNR-RGB and NIQE, means over Set14, by the protocol of `fastsr eval`."""
    generator = generator.eval().requires_grad_(False)
    found = [(super_resolve(generator, pair.lr), pair) for pair in images.pairs]
    niqe = [images.niqe.measure(sr, pair.hr, pair.grey)["niqe"] for sr, pair in found]
    return (
        fmean(psnr_rgb(sr, pair.hr) for sr, pair in found),
        fmean(value for value in niqe if value is not None),
    )


def check_budget(generator: Generator) -> None:
    """Raises ValueError for another generator than the task has."""
    found = generator.architecture
    fits = isinstance(generator, SRResNet) and generator.scale == SCALE
    if not fits or {name: getattr(found, name) for name in BUDGET} != BUDGET:
        raise ValueError(f"the generator is {found}; the task has {BUDGET} at x{SCALE}")


def summary(results: Sequence[Result]) -> dict[str, float | bool]:
    """Means over seeds, and if they reach the target."""
    names = ("psnr_rgb", "niqe", "teraflop", "cpu_seconds")
    means = {name: round(fmean(asdict(one)[name] for one in results), 4) for name in names}
    return {**means, "reached": reached(means["psnr_rgb"], means["niqe"])}


def reached(psnr: float, niqe: float) -> bool:
    return psnr >= LEAST_PSNR_RGB and niqe <= MOST_NIQE
