"""The time of `fastsr eval` as a multiple of its models' own inference, and where the rest of it goes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from rich.console import Console

from bench.timing import Seconds, timed
from fastsr.config.settings import TrainConfig
from fastsr.data.bicubic import upscale
from fastsr.data.photos import VAL, sample_photos
from fastsr.evaluation.evaluate import evaluate_models, open_sets
from fastsr.evaluation.pairs import Pair, load
from fastsr.evaluation.protocol import Protocol
from fastsr.evaluation.psnr_ssim import compared, psnr, psnr_rgb, ssim
from fastsr.evaluation.request import Request
from fastsr.evaluation.score_cache import bicubic_key
from fastsr.models import SRResNet
from fastsr.models.inference import super_resolve
from fastsr.models.model_file import load_generator, save_generator

LARGEST_RATIO = 1.3
METRICS = ("psnr", "psnr_rgb", "ssim")


@pytest.fixture
def test_set(pytestconfig: pytest.Config, tmp_path: Path) -> Path:
    """The folder that --test-set names, else one of the sample photos."""
    if given := pytestconfig.getoption("--test-set"):
        return Path(given).absolute()
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in sample_photos(VAL):
        (folder / photo.name).symlink_to(photo)
    return folder


@pytest.mark.timeout(3600)
def test_evaluation_against_inference(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    recipe: TrainConfig,
    device: torch.device,
    is_paper: bool,
    test_set: Path,
    tmp_path: Path,
) -> None:
    """Two models, PSNR, PSNR on RGB and SSIM; bicubic is not known from an earlier call. One round.

    On one thread of a CPU the processor's own time decides, which other processes hardly change.
    """
    request = Request(
        models=two_models(recipe, tmp_path),
        sets=(str(test_set),),
        data_root=tmp_path,
        out=tmp_path / "evaluation",
        metrics=METRICS,
        cache=tmp_path / "cache",
    )
    protocol = Protocol(scale=recipe.model.scale, metrics=METRICS)
    (images,) = open_sets(request, protocol.scale)
    pairs = [load(files, protocol) for files in images.images]
    generators = [load_generator(file, device) for file in request.models]

    def inference() -> None:
        for pair in pairs:
            for generator in generators:
                super_resolve(generator, pair.lr)

    parts = {
        "reading": lambda: [load(files, protocol) for files in images.images],
        "bicubic": lambda: [upscale(pair.lr, protocol.scale) for pair in pairs],
        "digests": lambda: [bicubic_key(pair, protocol.scale, "replicate") for pair in pairs],
        "metrics of one method": lambda: [measure(pair, protocol.scale) for pair in pairs],
    }
    models: list[Seconds] = []
    whole: list[Seconds] = []
    super_resolve(generators[0], pairs[0].lr)
    benchmark.pedantic(
        timed(lambda: evaluate_models(request, device, Console(quiet=True)), whole),
        setup=timed(inference, models),
        rounds=1,
    )
    ratio, cpu_ratio = whole[0].wall / models[0].wall, whole[0].cpu / models[0].cpu
    report(
        {
            "ratio": round(ratio, 3),
            "ratio_of_cpu_seconds": round(cpu_ratio, 3),
            "images": len(pairs),
            "set": images.name,
            "seconds": rounded({"evaluation": whole[0], "models": models[0]} | timings(parts)),
        }
    )
    if is_paper:
        is_own_time = device.type == "cpu" and torch.get_num_threads() == 1
        assert (cpu_ratio if is_own_time else ratio) <= LARGEST_RATIO


def two_models(recipe: TrainConfig, folder: Path) -> tuple[Path, Path]:
    """Files of two untrained generators."""
    files = folder / "a.safetensors", folder / "b.safetensors"
    for file in files:
        model = recipe.model
        save_generator(SRResNet(model.scale, model.blocks, model.filters, model.skip), file)
    return files


def measure(pair: Pair, scale: int) -> None:
    """Every metric, of the original against itself a row further down."""
    sr = pair.hr.roll(1, 0)
    lumas = compared(sr, pair.hr, scale, pair.grey)
    psnr_rgb(sr, pair.hr)
    psnr(*lumas)
    ssim(*lumas)


def timings(parts: Mapping[str, Callable[[], Any]]) -> dict[str, Seconds]:
    seconds: list[Seconds] = []
    for part in parts.values():
        timed(part, seconds)()
    return dict(zip(parts, seconds, strict=True))


def rounded(seconds: dict[str, Seconds]) -> dict[str, dict[str, float]]:
    return {
        name: {"wall": round(one.wall, 3), "cpu": round(one.cpu, 3)}
        for name, one in seconds.items()
    }
