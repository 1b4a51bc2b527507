"""Enlarging: megapixels a second against a plain loop and spandrel, memory under a cap, and what tiles change."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytest_benchmark.fixture import BenchmarkFixture

from bench.timing import Seconds, alternate, median_cpu, median_wall, summary
from bench.upscale import enlarge, megapixels, plain, plain_loop
from fastsr.config.settings import TrainConfig
from fastsr.data.photos import TRAIN, sample_photos
from fastsr.inference.upscaler import load
from fastsr.models import Compact, RRDBNet, SRResNet
from fastsr.models.model_file import load_generator, save_generator

CAPS = {(3840, 2160): 2.0, (1280, 720): 1.0}
"""GB, everything included, for one image of that size."""


@pytest.fixture
def photos(tmp_path: Path, is_paper: bool) -> Path:
    """The sample photos at a quarter of their size, half of them turned; without --paper small parts of four."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for k, path in enumerate(sample_photos(TRAIN)[: 6 if is_paper else 4]):
        image = Image.open(path).convert("RGB")
        image = image.resize((image.width // 4, image.height // 4))
        image = image if is_paper else image.crop((0, 0, 80, 60))
        (image.transpose(Image.Transpose.ROTATE_90) if k % 2 else image).save(folder / f"{k}.png")
    return folder


@pytest.fixture
def generator_file(recipe: TrainConfig, tmp_path: Path) -> Path:
    model = recipe.model
    save_generator(SRResNet(model.scale, model.blocks, model.filters), tmp_path / "g.safetensors")
    return tmp_path / "g.safetensors"


def speeds(ours: list[Seconds], other: list[Seconds], size: float, name: str) -> dict[str, Any]:
    """Output megapixels a second of both, and how many times as many ours are."""
    return {
        "ratio": round(median_wall(other) / median_wall(ours), 3),
        "ratio_of_cpu_seconds": round(median_cpu(other) / median_cpu(ours), 3),
        "megapixels_per_second": round(size / median_wall(ours), 3),
        f"megapixels_per_second_of_{name}": round(size / median_wall(other), 3),
        "megapixels_per_cpu_second": round(size / median_cpu(ours), 3),
        "seconds": {"fastsr": summary(ours), name: summary(other)},
    }


@pytest.mark.timeout(3600)
def test_against_a_plain_loop(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    photos: Path,
    generator_file: Path,
    device: torch.device,
    tmp_path: Path,
) -> None:
    files = sorted(photos.iterdir())
    upscaler, other = load(generator_file), plain(load_generator(generator_file, device))
    ours, theirs = alternate(
        benchmark,
        lambda: enlarge(upscaler, photos, tmp_path / "ours"),
        lambda: plain_loop(other, files, tmp_path / "theirs"),
    )
    report(speeds(ours, theirs, megapixels(files, upscaler.scale), "plain_loop"))


@pytest.mark.timeout(3600)
def test_against_spandrel(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    photos: Path,
    is_paper: bool,
    device: torch.device,
    tmp_path: Path,
) -> None:
    """The same RRDB weights, in its own names; all 23 blocks with --paper."""
    spandrel = pytest.importorskip("spandrel", reason="spandrel comes with the extra `export`")
    file = tmp_path / "rrdb.safetensors"
    save_generator(RRDBNet(4, blocks=23 if is_paper else 1, filters=64 if is_paper else 16), file)
    loaded = spandrel.ModelLoader(device=device).load_from_file(file).eval()
    files = sorted(photos.iterdir())[:2]
    only = tmp_path / "two"
    only.mkdir()
    for one in files:
        (only / one.name).symlink_to(one)
    upscaler = load(file)
    ours, theirs = alternate(
        benchmark,
        lambda: enlarge(upscaler, only, tmp_path / "ours"),
        lambda: plain_loop(loaded.model, files, tmp_path / "theirs"),
    )
    report(speeds(ours, theirs, megapixels(files, 4), "spandrel"))


def test_memory_of_a_large_image(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    is_paper: bool,
    tmp_path: Path,
) -> None:
    """4K at x4 with --paper, else a smaller one at x2. The cap is asserted: it is what `--memory` promises."""
    scale, (width, height) = (4, (3840, 2160)) if is_paper else (2, (1280, 720))
    cap = CAPS[width, height]
    save_generator(Compact(scale, blocks=2, filters=16), tmp_path / "g.safetensors")
    noise = np.random.default_rng(0).integers(0, 256, (270, 480, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((width, height)).save(tmp_path / "large.png")
    words = [str(tmp_path / name) for name in ("g.safetensors", "large.png", "out")]
    command = [sys.executable, "-m", "bench.upscale", *words, str(cap)]
    said: list[str] = []
    benchmark.pedantic(lambda: said.append(subprocess.check_output(command, text=True)), rounds=1)
    measured = json.loads(said[0])
    report({"name": "upscale_memory", "scale": scale, "cap_gb": cap, **measured})
    large = Image.open(tmp_path / f"out/large-x{scale}.png")
    assert large.size == (width * scale, height * scale)
    assert measured["peak"] <= cap * 1e9


def test_tiles_against_the_whole_image(
    benchmark: BenchmarkFixture,
    report: Callable[[dict[str, Any]], None],
    photos: Path,
    generator_file: Path,
) -> None:
    """The largest difference in levels of 8 bits, and the share of samples that differ at all."""
    upscaler = load(generator_file)
    photo = np.asarray(Image.open(photos / "0.png"))
    whole = upscaler(photo).astype(int)
    radius = upscaler.generators[0].receptive_radius
    upscaler.tile = 2 * (radius + 8) + 32
    tiled = benchmark.pedantic(lambda: upscaler(photo), rounds=1).astype(int)
    report(
        {
            "name": "upscale_tiles",
            "receptive_radius": radius,
            "tile": upscaler.tile,
            "image": list(photo.shape[:2]),
            "largest_difference": int(np.abs(tiled - whole).max()),
            "share_that_differs": float((tiled != whole).mean()),
        }
    )
    assert np.abs(tiled - whole).max() <= 1
