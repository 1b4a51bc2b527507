"""`fastsr doctor`: what this machine can do, whether images are fit for training, what a run would need."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastsr.config.check import check
from fastsr.config.settings import TrainConfig
from fastsr.data.images import find_images, read_rgb8
from fastsr.errors import UserError
from fastsr.files import default_cache
from fastsr.models.vgg import cached_weights
from fastsr.prediction.memory import BESIDE_TENSORS, GIB, out_of_memory_advice, predict_memory
from fastsr.prediction.size import check_size
from fastsr.system.backend import kernels
from fastsr.system.compiler import check_compiler
from fastsr.system.device import choose_device
from fastsr.system.environment import package_version, processor_name
from fastsr.system.memory import available_memory
from fastsr.system.precision import choose_precision


def examine(config: TrainConfig, console: Console) -> None:
    """Prints three reports. Takes the options of `train`. Raises UserError for settings that cannot be used."""
    check(config)
    device = choose_device(config.machine.device)
    check_size(config, device)
    console.print(report("this machine", machine_facts(config, device)))
    if config.images.data:
        console.print(report("images", image_facts(config)))
    console.print(report("this run", run_facts(config, device)))


def report(title: str, facts: Iterator[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(name, Text(fact))
    return table


def machine_facts(config: TrainConfig, device: torch.device) -> Iterator[tuple[str, str]]:
    yield "fastsr", f"{package_version('fastsr')}, torch {torch.__version__}"
    yield "processor", f"{processor_name()}, {os.cpu_count()} cores"
    yield "memory", f"{available_memory() / GIB:.1f} GB free"
    if not torch.cuda.is_available():
        yield "GPU", "none that torch can use"
    for k in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(k)
        yield (
            f"GPU {k}",
            f"{torch.cuda.get_device_name(k)}, {free / GIB:.1f} of {total / GIB:.1f} GB free",
        )
    yield "mixed precision", choose_precision(True, device).note
    yield (
        "kernels",
        f"{kernels(device)} (--no-fused: torch)" if device.type == "cuda" else kernels(device),
    )
    yield (
        "triton",
        package_version("triton") or "not installed; --compile on a GPU needs it (Linux)",
    )
    yield "compiler", compiler()
    vgg = config.loss.vgg or cached_weights()
    yield "VGG19 weights", str(vgg) if vgg.is_file() else f"not at {vgg}; fetched when first needed"
    yield (
        "PI, NIQE, LPIPS",
        "pyiqa is installed"
        if find_spec("pyiqa")
        else "need: pip install 'fastsr[eval]' (non-commercial licence)",
    )
    cache = config.images.cache or default_cache()
    yield "packs", f"{cache}, {free_disk(cache) / GIB:.1f} GB free"


def compiler() -> str:
    try:
        return check_compiler()
    except UserError as error:
        return str(error)


def free_disk(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def image_facts(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """Decodes every image once, and names those that training would refuse."""
    formats: Counter[str] = Counter()
    sides: list[tuple[int, int]] = []
    bad: list[str] = []
    paths = find_images(config.images.data)
    for path in paths:
        try:
            height, width, _ = read_rgb8(path).shape
            with Image.open(path) as image:
                formats[f"{image.format} {image.mode}"] += 1
            sides.append((width, height))
            if min(height, width) < config.images.patch:
                bad.append(
                    f"{path}: is {width}x{height}, smaller than --patch {config.images.patch}"
                )
        except UserError as error:
            bad.append(f"{path}: {error}")
    yield "count", f"{len(paths)} images, {sum(w * h for w, h in sides) / 1e6:,.1f} million pixels"
    yield "formats", ", ".join(f"{count} {name}" for name, count in formats.most_common()) or "none"
    if sides:
        small, large = min(sides, key=min), max(sides, key=max)
        yield "sizes", f"from {small[0]}x{small[1]} to {large[0]}x{large[1]}"
        yield "packed", f"{sum(3 * w * h for w, h in sides) / GIB:.2f} GB"
    yield (
        "unusable",
        "none"
        if not bad
        else f"{len(bad)} (mend them, or train with --skip-bad)\n" + "\n".join(bad),
    )


def run_facts(config: TrainConfig, device: torch.device) -> Iterator[tuple[str, str]]:
    model, images, cohort = config.model, config.images, config.cohort
    networks = (
        f"{cohort.peers} peers ({cohort.variant}), {model.blocks} blocks of {model.filters} filters"
    )
    patches = f"batch {images.batch} of {images.patch}x{images.patch}"
    yield (
        "recipe",
        f"{config.recipe}: x{model.scale}, {networks}, {patches}, {config.total_steps:,} steps",
    )
    prediction = predict_memory(
        config, choose_precision(config.machine.amp, device), on_gpu=device.type == "cuda"
    )
    yield "weights, Adam", f"{prediction.resident / GIB:.2f} GB"
    yield "peak of a step", f"{prediction.peak / GIB:.2f} GB of tensors, weights included"
    yield (
        "on top of it",
        "CUDA itself (about 0.5 GB), scratch space of convolutions, packed images where they fit",
    )
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        fits = prediction.peak + BESIDE_TENSORS < free
        yield (
            "verdict",
            f"{'fits' if fits else out_of_memory_advice(config, device, free)} ({free / GIB:.1f} GB free)",
        )
