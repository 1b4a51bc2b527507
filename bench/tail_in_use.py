"""The 9x9 tail as one convolution and by rows, in what users do with it: a step of training, `fastsr upscale` and
`fastsr eval`, files read and written, by the paper's network at x4: `python -m bench.tail_in_use [--record]`.

`bench.tail` measures the tail alone.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console

from bench.rows import append_row, circumstances
from bench.setups import make_sampler, paper_recipe, sample_store
from bench.tail import compare
from bench.upscale import enlarge
from fastsr.cohort.cohort import Cohort
from fastsr.cohort.content import content_loss
from fastsr.cohort.ring import MetricsRing
from fastsr.cohort.step import Step
from fastsr.config.settings import TrainConfig
from fastsr.data.photos import VAL, sample_photos
from fastsr.evaluation.evaluate import evaluate_models
from fastsr.evaluation.request import Request
from fastsr.inference.upscaler import load
from fastsr.models import SRResNet
from fastsr.models.model_file import save_generator
from fastsr.models.tail import Tail, train_by_rows
from fastsr.system.device import choose_device, set_up
from fastsr.system.precision import Precision, choose_precision

Ways = dict[str, Callable[[], None]]
WAYS = {"convolution": False, "rows": True}
ROUNDS = 4
HIGH, WIDE = 680, 1024
"""Pixels of the enlarged image."""


def training(config: TrainConfig, device: torch.device, precision: Precision) -> Ways:
    """A step of all peers, its patches drawn."""
    cohort = Cohort(config, content_loss(config.loss), device, precision)
    sampler = make_sampler(config, sample_store(device))
    step = Step(cohort, sampler, MetricsRing(1, config.cohort.peers, device))

    def by(rows: bool) -> Callable[[], None]:
        def call() -> None:
            for peer in cohort.peers:
                train_by_rows(peer.generator, rows)
            step()

        return call

    return {name: by(rows) for name, rows in WAYS.items()}


def evaluated(action: Callable[[], None]) -> Ways:
    """An action with networks in evaluation mode, on a CPU."""

    def by(rows: bool) -> Callable[[], None]:
        def call() -> None:
            usual, Tail.evaluated_by_rows = Tail.evaluated_by_rows, rows
            try:
                action()
            finally:
                Tail.evaluated_by_rows = usual

        return call

    return {name: by(rows) for name, rows in WAYS.items()}


def upscaling(model: Path, photos: Path, amp: bool) -> Ways:
    """One file, from PNG to PNG."""
    upscaler, out = load(model, device="cpu", amp=amp), photos.parent / "enlarged"
    return evaluated(lambda: enlarge(upscaler, photos, out))


def evaluation(model: Path, sets: Path, device: torch.device) -> Ways:
    """PSNR and SSIM of one image; bicubic's are known from the first call."""
    request = Request(
        models=(model,),
        sets=("originals",),
        data_root=sets,
        out=sets.parent / "evaluation",
        metrics=("psnr", "ssim"),
        cache=sets.parent / "cache",
        overwrite=True,
        pictures=0,
    )

    def action() -> None:
        evaluate_models(request, device, Console(quiet=True))

    return evaluated(action)


def write_inputs(config: TrainConfig, folder: Path) -> tuple[Path, Path, Path]:
    """An untrained generator, a folder with a small photo, and one with a set of its original."""
    model, photos, sets = folder / "g.safetensors", folder / "photos", folder / "sets"
    of = config.model
    save_generator(SRResNet(of.scale, of.blocks, of.filters, of.skip), model)
    photo = Image.open(sample_photos(VAL)[0]).convert("RGB").resize((WIDE, HIGH))
    for place, size in (
        (photos, (WIDE // of.scale, HIGH // of.scale)),
        (sets / "originals", photo.size),
    ):
        place.mkdir(parents=True)
        photo.resize(size).save(place / "photo.png")
    return model, photos, sets


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="append rows to bench/results")
    record = parser.parse_args(arguments).record
    config, device, about = paper_recipe(), choose_device("cpu"), circumstances()
    set_up(device)
    with tempfile.TemporaryDirectory() as folder:
        model, photos, sets = write_inputs(config, Path(folder))
        for amp in (False, True):
            precision = choose_precision(amp, device)
            dtype = str(precision.dtype or torch.float32).removeprefix("torch.")
            cases: dict[str, Callable[[], Ways]] = {
                "upscale, 680x1024": lambda amp=amp: upscaling(model, photos, amp),
                "training step": lambda precision=precision: training(config, device, precision),
            }
            if not amp:  # on a CPU eval is fp32, whatever is asked for
                cases["eval, 680x1024"] = lambda: evaluation(model, sets, device)
            for case, ways in cases.items():
                row = {"case": case, "dtype": dtype, **compare(ways(), ROUNDS)}
                print(row, flush=True)
                if record:
                    append_row("tail_in_use", row, about)


if __name__ == "__main__":
    main()
