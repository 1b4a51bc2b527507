"""Compares the quality of training in fp32, bf16 and fp16: `python -m bench.compare_precisions`.

Weights and patches are the same: three quarters of the steps are pre-training, one quarter is adversarial. Prints and
records the PSNR of the averaged generators along the way. A second fp32 run, in contiguous layout, differs only in the
order of its sums: it shows how far rounding alone moves a training run.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

import torch
from rich.console import Console
from rich.table import Table

from bench.rows import append_row, circumstances
from bench.setups import paper_recipe
from fastsr.cohort.capture import capture
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import content_loss
from fastsr.cohort.ema import EmaStatistics
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import PretrainStep, Step, make_stages
from fastsr.config.settings import LossConfig, ModelConfig, TrainConfig
from fastsr.data.images import find_images, read_rgb8
from fastsr.data.photos import TRAIN, VAL, sample_photos
from fastsr.data.pixels import PixelStore, place
from fastsr.data.sampler import PatchSampler
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load_pairs
from fastsr.evaluation.validate import evaluate
from fastsr.system.device import choose_device, set_up
from fastsr.system.precision import Precision

OTHER_ROUNDING = "fp32, other rounding"
PRECISIONS = {
    "fp32": Precision(),
    OTHER_ROUNDING: Precision(),
    "bf16": Precision(dtype=torch.bfloat16),
    "fp16": Precision(dtype=torch.float16, scaled=True),
}
LARGEST_LOSS_DB = 0.05
POINTS = 4


@dataclass(frozen=True)
class Curve:
    """PSNR (dB, mean over peers and images) by step, and the duration of training."""

    psnr: dict[int, float]
    seconds: float


def train(
    config: TrainConfig,
    precision: Precision,
    images: list[Path],
    pairs: list[Pair],
    device: torch.device,
) -> Curve:
    """Trains from the same weights on the same patches, and evaluates `POINTS` times in each stage."""
    store = place(PixelStore.from_images([read_rgb8(path) for path in images]), device)
    cohort = Cohort(config, content_loss(config.loss), device, precision)
    ring = MetricsRing(50, len(cohort.peers), device)
    psnr: dict[int, float] = {}
    sampler = PatchSampler.from_config(store, config)
    ema_statistics = EmaStatistics(cohort, sampler)
    began = time.perf_counter()
    for stage in make_stages(cohort, sampler, ring):
        steps = stage.end - stage.begin
        with launched(stage.body, device) as step:
            for done in range(1, steps + 1):
                step()
                if done % max(1, steps // POINTS) == 0:
                    ema_statistics.measure(int(cohort.schedule.step_count))
                    psnr[int(cohort.schedule.step_count)] = psnr_of(cohort, pairs, config)
    return Curve(psnr, time.perf_counter() - began)


@contextmanager
def launched(body: Step | PretrainStep, device: torch.device) -> Iterator[Callable[[], None]]:
    """The step as it is trained: captured on a GPU, eager elsewhere."""
    if device.type != "cuda":
        yield body
        return
    with closing(capture(body, body.state())) as replay:
        yield replay


def psnr_of(cohort: Cohort, pairs: list[Pair], config: TrainConfig) -> float:
    """PSNR of the averaged generators, mean over peers and images."""
    generators = {f"peer {k}": peer.ema for k, peer in enumerate(cohort.peers)}
    scores = evaluate(generators, pairs, config.model.scale, config.images.border)
    return mean(scores[name].psnr for name in generators)


def recipe(steps: int, small: bool) -> TrainConfig:
    """The paper's networks, or small ones on smaller patches, with a learning rate that settles in so few steps."""
    base = paper_recipe()
    if small:
        base = replace(
            base,
            recipe="small-64",
            images=replace(base.images, batch=8, patch=64),
            model=ModelConfig(blocks=4, filters=32, discriminator_filters=16),
        )
    pretrain = max(1, steps * 3 // 4)
    optim = replace(
        base.optim, pretrain_steps=pretrain, steps=max(1, steps - pretrain), lr=1e-3,
        lr_milestones=(steps // 2, steps * 5 // 8), lr_gamma=0.3,
    )  # fmt: skip
    return replace(base, loss=LossConfig(content="pixel"), optim=optim)


def table(curves: dict[str, Curve]) -> Table:
    """PSNR by step, a column for each precision."""
    table = Table(title="PSNR in dB of the averaged generators")
    table.add_column("step", justify="right")
    for name in curves:
        table.add_column(name, justify="right")
    for step in next(iter(curves.values())).psnr:
        table.add_row(str(step), *(f"{curve.psnr[step]:.3f}" for curve in curves.values()))
    table.add_row("seconds", *(f"{curve.seconds:.0f}" for curve in curves.values()))
    return table


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument(
        "--data", type=Path, nargs="+", help="folders of training images; default: sample photos"
    )
    parser.add_argument(
        "--val", type=Path, nargs="+", help="folders of test images; default: sample photos"
    )
    parser.add_argument("--small", action="store_true", help="a small recipe, for CPUs")
    parser.add_argument(
        "--only",
        choices=PRECISIONS,
        nargs="+",
        help="default: all, but fp16 on a CPU, which is slow",
    )
    parser.add_argument("--record", action="store_true", help="append the result to bench/results")
    options = parser.parse_args(arguments)
    device = choose_device("auto")
    set_up(device)
    config = recipe(options.steps, options.small)
    try:
        pairs = list(
            load_pairs(options.val or sample_photos(VAL), config.model.scale, config.images.border)
        )
        images = find_images(options.data or sample_photos(TRAIN))
    except UserError as error:
        parser.error(str(error))
    about, curves = circumstances(), {}
    chosen = options.only or [
        name for name, p in PRECISIONS.items() if device.type != "cpu" or not p.scaled
    ]
    for name in dict.fromkeys(("fp32", *chosen)):
        precision = PRECISIONS[name]
        layout = replace(config.machine, channels_last=name != OTHER_ROUNDING)
        curves[name] = train(replace(config, machine=layout), precision, images, pairs, device)
        values = {
            "recipe": config.recipe,
            "precision": name,
            "steps": config.total_steps,
            "psnr": curves[name].psnr,
        }
        if options.record:
            append_row("precision", {**values, "seconds": round(curves[name].seconds, 1)}, about)
    Console(width=100).print(table(curves))
    # The adversarial stage is chaotic: rounding alone moves it. Precisions are judged by what precedes it.
    end = config.optim.pretrain_steps
    return int(
        any(
            curve.psnr[end] < curves["fp32"].psnr[end] - LARGEST_LOSS_DB
            for curve in curves.values()
        )
    )


if __name__ == "__main__":
    sys.exit(main())
