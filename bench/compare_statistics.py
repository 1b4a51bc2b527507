"""Compares BN statistics of averaged generators: `python -m bench.compare_statistics CHECKPOINT... --sets FOLDER...`.

A checkpoint's averaged weights are scored with their own statistics, as saved, and with those of the raw generator,
which is scored, too. Prints and records PSNR-RGB, the distance of peers that began differently, the size of the details
(root mean square of what is added to bicubic, in 8-bit levels), and NIQE where it is wanted.

"damped" is the image by own statistics with its details made as small as copied ones are: what copying would do to PSNR
if it did nothing but damp.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from bench.rows import append_row, circumstances
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.data.bicubic import upscale
from fastsr.errors import UserError
from fastsr.evaluation.pairs import Pair, load_pairs
from fastsr.evaluation.perceptual import Perceptual
from fastsr.evaluation.psnr_ssim import psnr_rgb
from fastsr.models.base import Generator
from fastsr.models.inference import super_resolve
from fastsr.models.model_file import load_generator
from fastsr.models.weights import find_generators

CPU = torch.device("cpu")
KINDS = ("own", "copied", "raw", "damped")


@dataclass(frozen=True)
class Scores:
    """One generator on one test set, means over images, by kind of statistics."""

    psnr_rgb: dict[str, float]
    details: dict[str, float]
    niqe: dict[str, float]


def generators(checkpoint: Path) -> Iterator[dict[str, Generator]]:
    """Of each peer, its generators by kind of statistics; of peers that are equal, as in pre-training, the first."""
    raw_files, seen = find_generators(checkpoint, "raw"), list[Generator]()
    for name, file in find_generators(checkpoint).items():
        own, copied, raw = map(load_generator, (file, file, raw_files[name]))
        if not any(are_equal(own, other) for other in seen):
            seen.append(own)
            statistics = {n: v for n, v in raw.state_dict().items() if "running_" in n}
            copied.load_state_dict(statistics, strict=False)
            yield {"own": own, "copied": copied, "raw": raw}


def are_equal(a: Generator, b: Generator) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def images(peer: dict[str, Generator], pair: Pair) -> dict[str, Tensor]:
    """uint8 `[H, W, 3]` by kind, and bicubic."""
    found = {kind: super_resolve(generator, pair.lr) for kind, generator in peer.items()}
    bicubic = upscale(pair.lr, peer["own"].scale)
    damping = details(found["copied"], bicubic) / details(found["own"], bicubic)
    damped = bicubic + (found["own"].double() - bicubic) * damping
    return found | {"bicubic": bicubic, "damped": damped.round().clamp(0, 255).to(torch.uint8)}


def details(image: Tensor, bicubic: Tensor) -> float:
    """Root mean square of what an image has and bicubic has not, in 8-bit levels."""
    return float((image.double() - bicubic.double()).square().mean().sqrt())


def scores(peer: dict[str, Generator], pairs: Sequence[Pair], niqe: Perceptual | None) -> Scores:
    found = [(images(peer, pair), pair) for pair in pairs]
    perceptual = ("own", "copied") if niqe else ()
    return Scores(
        {kind: fmean(psnr_rgb(i[kind], pair.hr) for i, pair in found) for kind in KINDS},
        {kind: fmean(details(i[kind], i["bicubic"]) for i, _ in found) for kind in KINDS[:3]},
        {kind: fmean(niqe_of(niqe, i[kind], pair) for i, pair in found) for kind in perceptual},
    )


def niqe_of(niqe: Perceptual | None, image: Tensor, pair: Pair) -> float:
    value = niqe.measure(image, pair.hr, pair.grey)["niqe"] if niqe else None
    assert value is not None, f"{pair.name} is too small for NIQE"
    return value


def summary(peers: Sequence[Scores]) -> dict[str, Any]:
    """Means over peers, and the mean distance in PSNR-RGB of any two of them."""
    return {
        "psnr_rgb": means([one.psnr_rgb for one in peers]),
        "gain_db": [round(one.psnr_rgb["own"] - one.psnr_rgb["copied"], 3) for one in peers],
        "distance_db": {
            kind: round(fmean(abs(a - b) for a, b in combinations(values, 2)), 3)
            for kind in KINDS[:3]
            if len(values := [one.psnr_rgb[kind] for one in peers]) > 1
        },
        "details": means([one.details for one in peers]),
        "niqe": means([one.niqe for one in peers]),
    }


def means(values: Sequence[dict[str, float]]) -> dict[str, float]:
    return {kind: round(fmean(one[kind] for one in values), 3) for kind in values[0]}


def about_run(checkpoint: Path) -> dict[str, Any]:
    """Of a checkpoint's run: its place in training, and its skip."""
    run = checkpoint.parent.parent
    config, step = from_toml(run / "config.toml", TrainConfig()), int(checkpoint.name.split("-")[1])
    stage = "pretraining" if step <= config.optim.pretrain_steps else "training"
    settings = {"scale": config.model.scale, "skip": config.model.skip, "seed": config.machine.seed}
    return {"run": run.name, "step": step, "stage": stage, **settings}


def measured(checkpoint: Path, folders: Sequence[Path], weights: Path | None) -> Iterator[Any]:
    """A row for each test set; with NIQE where the folder of its weights is given."""
    peers, about = list(generators(checkpoint)), about_run(checkpoint)
    niqe = Perceptual(["niqe"], about["scale"], CPU, weights) if weights else None
    for folder in folders:
        pairs = list(load_pairs((folder,), about["scale"]))
        found = summary([scores(peer, pairs, niqe) for peer in peers])
        yield {**about, "peers": len(peers), "test_set": folder.name, **found}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", help="folders step-*, in their runs")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, help="folders of originals")
    parser.add_argument("--niqe", type=Path, help="folder with niqe_modelparameters.mat")
    parser.add_argument("--record", action="store_true", help="append rows to bench/results")
    options = parser.parse_args(arguments)
    about, console = circumstances(), Console(width=200)
    try:
        for checkpoint in options.checkpoints:
            for row in measured(checkpoint, options.sets, options.niqe):
                console.print(row, highlight=False)
                if options.record:
                    append_row("statistics", row, about)
    except UserError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
