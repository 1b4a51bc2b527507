"""`fastsr doctor`: what this machine can do, whether images are fit for training, what a run would need."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastsr.config.check import check
from fastsr.config.peers import networks_in_words, samples_in_words
from fastsr.config.settings import TrainConfig
from fastsr.console import counted
from fastsr.data.alignment import pair_problems
from fastsr.data.formats import ARRAY, RGB8, PixelFormat, format_of, read_pixels
from fastsr.data.images import find_images, open_image
from fastsr.data.pack import examine_pack
from fastsr.errors import UserError
from fastsr.files import default_cache
from fastsr.models.vgg import REMEDIES, cached_weights
from fastsr.prediction.duration import duration, seconds_per_step
from fastsr.prediction.memory import BESIDE_TENSORS, out_of_memory_advice, predict_memory
from fastsr.prediction.size import check_size
from fastsr.proof.known import Proofs
from fastsr.proof.tuning import is_tuned, known_way
from fastsr.system.backend import check_triton, kernels
from fastsr.system.compiler import check_compiler
from fastsr.system.device import choose_device
from fastsr.system.environment import package_version, processor_name
from fastsr.system.memory import available_memory, gigabytes, memory_of
from fastsr.system.precision import choose_precision
from fastsr.training.sources import low_image_paths


def examine(config: TrainConfig, console: Console) -> bool:
    """Prints three reports. Takes the options of `train`. Returns whether the images can be trained on.

    Raises UserError for settings that cannot be used, and for files and folders that do not exist.
    """
    check(config)
    device = choose_device(config.machine.device)
    check_size(config, device)
    if config.loss.vgg and not config.loss.vgg.is_file():
        raise UserError(f"--vgg {config.loss.vgg} does not exist; {REMEDIES}")
    form = format_of(config)
    paths = find_images(config.images.data, suffixes=form.suffixes)
    console.print(report("this machine", machine_facts(config, device)))
    images = Examined()
    if paths:
        images = examine_images(paths, config.drawn_side, form)
        pack = ("pack", examine_pack(paths, config.images.cache, form))
        facts = chain(image_facts(images, config.images.skip_bad, form), [pack])
        console.print(report("images", facts))
    unfit: list[str] = []
    if low_paths := low_image_paths(config):
        unfit = pair_problems(paths, low_paths, config.model.scale, form)
        console.print(report("pairs", pair_facts(unfit, len(paths))))
    console.print(report("this run", run_facts(config, device)))
    return not unfit and (not images.bad or (config.images.skip_bad and bool(images.sides)))


def pair_facts(problems: list[str], count: int) -> Iterator[tuple[str, str]]:
    """Given low resolutions: those that do not belong to their image, all of them."""
    yield "given pairs", f"{count:,} images in --data"
    if problems:
        yield "unfit", f"{len(problems):,} (mend or remove them)\n" + "\n".join(problems)


def report(title: str, facts: Iterator[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in facts:
        table.add_row(name, Text(fact))
    return table


def machine_facts(config: TrainConfig, device: torch.device) -> Iterator[tuple[str, str]]:
    """Versions and hardware, of GPUs only where there are some."""
    yield "fastsr", f"{package_version('fastsr')}, torch {torch.__version__}"
    yield "processor", f"{processor_name()}, {counted(os.cpu_count() or 1, 'core')}"
    yield "memory", f"{gigabytes(available_memory())} free"
    for k in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(k)
        name = torch.cuda.get_device_name(k)
        yield f"GPU {k}", f"{name}, {gigabytes(free)} of {gigabytes(total)} free"
    if device.type == "cuda":
        yield "trains on", f"GPU {device.index}; --device cpu: the processor"
        yield "kernels", f"{kernels(device)} (--no-fused: torch)"
        yield "triton", package_version("triton") or "not installed; --compile needs it (Linux)"
        shown = Proofs.on(device, config.images.cache).passed()
        yield "proved here", "; ".join(shown) or "nothing yet: fastsr doctor --prove"
    else:
        gpu = "" if torch.cuda.is_available() else "; torch finds no GPU"
        yield "trains on", f"the processor, with {counted(torch.get_num_threads(), 'thread')}{gpu}"
    yield "mixed precision", choose_precision(True, device).note
    yield "--compile", compiler(device)
    vgg = config.loss.vgg or cached_weights()
    yield "VGG19 weights", str(vgg) if vgg.is_file() else f"not at {vgg}; fetched when first needed"
    measured = "pyiqa is installed" if find_spec("pyiqa") else "need: pip install 'fastsr[eval]'"
    yield "PI, NIQE, LPIPS", f"{measured} (non-commercial licence)"
    cache = config.images.cache or default_cache()
    yield "packs", f"{cache}, {gigabytes(free_disk(cache))} free"


def compiler(device: torch.device) -> str:
    """A sentence on the compiler that --compile needs, which is tried: Triton for a GPU, one of C++ for the CPU."""
    if device.type == "cuda" and kernels(device) != "triton":
        return "not tried: it takes Triton, which is not in use here"
    try:
        if device.type == "cuda":
            check_triton(device)
            return "can be used: Triton builds kernels here"
        return f"can be used: {check_compiler()}"
    except UserError as error:
        return f"cannot be used: {str(error).removeprefix('--compile cannot be used: ')}"


def free_disk(path: Path) -> int:
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


@dataclass
class Examined:
    """Images as they were found: those that can be decoded by format and size, and those that cannot be used."""

    formats: Counter[str] = field(default_factory=Counter[str])
    sides: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Width and height of those that can be used."""
    bad: list[str] = field(default_factory=list[str])
    """Path and reason of those that training would refuse."""


def examine_images(paths: list[Path], patch: int, form: PixelFormat = RGB8) -> Examined:
    """Decodes every image once."""
    images = Examined()
    for path in paths:
        try:
            height, width, _ = read_pixels(path, form).shape
            images.formats[format_in_words(path)] += 1
        except UserError as error:
            images.bad.append(f"{path}: {error}")
            continue
        if min(height, width) < patch:
            images.bad.append(f"{path}: is {width}x{height}, smaller than --patch {patch}")
        else:
            images.sides.append((width, height))
    return images


def format_in_words(path: Path) -> str:
    """`PNG RGB`, as Pillow calls it, or `npy`."""
    if path.suffix.lower() == ARRAY:
        return ARRAY.removeprefix(".")
    with open_image(path, stacks=True) as image:
        return f"{image.format} {image.mode}"


def image_facts(
    images: Examined, skip_bad: bool, form: PixelFormat = RGB8
) -> Iterator[tuple[str, str]]:
    sides = images.sides
    pixels = sum(width * height for width, height in sides)
    yield "usable", f"{len(sides):,} of {len(sides) + len(images.bad):,}"
    if images.formats:
        formats = images.formats.most_common()
        yield "formats", ", ".join(f"{count:,} {name}" for name, count in formats)
    if sides:
        (w, h), (width, height) = min(sides, key=min), max(sides, key=max)
        span = f"from {w}x{h} to {width}x{height}" if len(set(sides)) > 1 else f"all {w}x{h}"
        yield "sizes", f"{span}, {pixels / 1e6:,.1f} million pixels in all"
        yield "packed", f"{gigabytes(form.pixel_bytes * pixels)}, {form}"
    if images.bad:
        remedy = "left out by --skip-bad" if skip_bad else "mend them, or train with --skip-bad"
        yield "unusable", f"{len(images.bad):,} ({remedy})\n" + "\n".join(images.bad)


def run_facts(config: TrainConfig, device: torch.device) -> Iterator[tuple[str, str]]:
    """Settings, and the memory and time that they need."""
    model, images, cohort = config.model, config.images, config.cohort
    networks = networks_in_words(config)
    yield (
        "recipe",
        f"{config.recipe}: x{model.scale}, {counted(cohort.peers, 'peer')} ({cohort.variant}), "
        f"{networks}, {samples_in_words(config)}batch {images.batch} of {images.patch}x{images.patch}, "
        f"{counted(config.total_steps, 'step')}",
    )
    on_gpu = device.type == "cuda"
    prediction = predict_memory(config, choose_precision(config.machine.amp, device), on_gpu)
    yield "weights, Adam", gigabytes(prediction.resident)
    yield "peak of a step", f"{gigabytes(prediction.peak)} of tensors, weights included"
    if is_tuned(config, device):
        way = known_way(config, device, choose_precision(config.machine.amp, device))
        yield "fastest here", str(way or "not known yet; found when training starts")
    if on_gpu:
        yield (
            "on top of it",
            "CUDA (about 0.5 GB), scratch of convolutions, packed images if they fit",
        )
    room = memory_of(device)
    fits = prediction.peak + BESIDE_TENSORS * on_gpu < room
    verdict = "fits" if fits else out_of_memory_advice(config, device, room)
    yield "verdict", f"{verdict} ({gigabytes(room)} free)"
    seconds = seconds_per_step(config, prediction, device)
    yield (
        "time of a step",
        f"about {step_time(seconds)}, within a factor of two"
        + ("" if on_gpu else "; small networks take longer"),
    )
    yield (
        "time of the run",
        f"about {duration(seconds * config.total_steps)} for {counted(config.total_steps, 'step')}",
    )


def step_time(seconds: float) -> str:
    """Two or three digits: 40 ms, 7.4 s, 12 s, 3 min."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
