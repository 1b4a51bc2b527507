"""PSNR and SSIM of generators beside bicubic, on whole images."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table
from rich.text import Text
from torch import Tensor

from fastsr.bicubic import Border, downscale, upscale
from fastsr.errors import UserError
from fastsr.images import find_images, is_grey, read_rgb8
from fastsr.models import SRResNet
from fastsr.quality import SSIM_WINDOW, psnr_y, ssim_y
from fastsr.weights import find_generators, load_generator

PROTOCOL = (
    "PSNR (dB) and SSIM on BT.601 luma of 8-bit images (grey originals: on grey), {scale} pixels cut from each side; "
    "low resolution by MATLAB's bicubic, border {border}"
)


@dataclass(frozen=True)
class Pair:
    """One test image, uint8 `[height, width, 3]` in both resolutions."""

    name: str
    lr: Tensor
    hr: Tensor
    grey: bool = False
    """Whether the file stores grey samples."""


@dataclass(frozen=True)
class Score:
    psnr: float
    """dB."""
    ssim: float


def load_pairs(sources: tuple[Path, ...], scale: int, border: Border = "replicate") -> Iterator[Pair]:
    """Test images, cropped to multiples of the scale, with their bicubic low resolution.

    Raises UserError listing all files that cannot be used; nothing is skipped.
    """
    bad: list[str] = []
    for path in find_images(sources):
        try:
            yield load_pair(path, scale, border)
        except UserError as error:
            bad.append(f"{path}: {error}")
    if bad:
        raise UserError(f"{len(bad)} test images cannot be used; mend or remove them:\n  " + "\n  ".join(bad))


def load_pair(path: Path, scale: int, border: Border) -> Pair:
    """One test image. Raises UserError with the reason, without the path."""
    hr = torch.from_numpy(read_rgb8(path))
    height, width = (side // scale * scale for side in hr.shape[:2])
    if min(height, width) < 2 * scale + SSIM_WINDOW:
        raise UserError(f"is {hr.shape[1]}x{hr.shape[0]}, too small to compare at x{scale}")
    hr = hr[:height, :width].contiguous()
    return Pair(path.name, downscale(hr, scale, border), hr, is_grey(path))


@torch.no_grad()
def super_resolve(generator: SRResNet, lr_hwC: Tensor) -> Tensor:
    """uint8 `[h, w, 3]` to uint8 `[scale*h, scale*w, 3]`, rounded; runs where the generator is, returns to the CPU."""
    device = next(generator.parameters()).device
    x = lr_hwC.to(device).permute(2, 0, 1)[None].float() / 255
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False
    ):  # every image has another size: searching would not pay
        sr = generator(x.contiguous(memory_format=torch.channels_last))[0]
    return (sr * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu()


def score(sr: Tensor, pair: Pair, scale: int) -> Score:
    return Score(psnr_y(sr, pair.hr, scale, pair.grey), ssim_y(sr, pair.hr, scale, pair.grey))


def evaluate(
    generators: Mapping[str, SRResNet], pairs: Iterator[Pair] | list[Pair], scale: int, border: Border = "replicate"
) -> dict[str, Score]:
    """Mean scores over images of each generator, and of `bicubic` before them."""
    methods: dict[str, Callable[[Tensor], Tensor]] = {"bicubic": lambda lr: upscale(lr, scale, border)}
    for name, generator in generators.items():
        methods[name] = lambda lr, g=generator: super_resolve(g, lr)
    scores = [{name: score(method(pair.lr), pair, scale) for name, method in methods.items()} for pair in pairs]
    return {name: mean_score([row[name] for row in scores]) for name in methods}


def mean_score(scores: list[Score]) -> Score:
    return Score(sum(s.psnr for s in scores) / len(scores), sum(s.ssim for s in scores) / len(scores))


def score_table(results: Mapping[str, Mapping[str, Score]], title: str, caption: str) -> Table:
    """Rows are methods, columns test sets; each cell PSNR and SSIM."""
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    table.add_column("")
    for name in results:
        table.add_column(Text(name), justify="right")
    methods = list(next(iter(results.values())))
    for method in methods:
        cells = [f"{results[name][method].psnr:.2f} / {results[name][method].ssim:.4f}" for name in results]
        table.add_row(Text(method), *cells)
    return table


def short_names(paths: tuple[Path, ...]) -> list[str]:
    """The last part of each path, or all of it where two would be alike."""
    names = [path.name or str(path) for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def evaluate_models(models: tuple[Path, ...], sets: tuple[Path, ...], border: Border, device: torch.device) -> Table:
    """One table for all generators meant by `models` on all folders in `sets`.

    Raises UserError where models differ in scale, or a model or an image cannot be used.
    """
    if not models:
        raise UserError("no model is given; name a run, a checkpoint, or a generator's .safetensors file")
    if not sets:
        raise UserError("--data names no folder; give at least one")
    generators: dict[str, SRResNet] = {}
    for model, shown in zip(models, short_names(models), strict=True):
        for name, file in find_generators(model).items():
            generators[f"{shown} {name}" if len(models) > 1 else name] = load_generator(file, device)
    scales = {generator.scale for generator in generators.values()}
    if len(scales) > 1:
        raise UserError(f"the models have scales {sorted(scales)}; evaluate one scale at a time")
    (scale,) = scales
    results = {
        name: evaluate(generators, load_pairs((path,), scale, border), scale, border)
        for path, name in zip(sets, short_names(sets), strict=True)
    }
    return score_table(results, f"x{scale}: PSNR (dB) / SSIM", PROTOCOL.format(scale=scale, border=border))
