"""Models against each other on test sets: every metric of every image, under a protocol that is written down."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from fastsr.bicubic import Border, upscale
from fastsr.config import TrainConfig, variants
from fastsr.environment import environment
from fastsr.errors import UserError
from fastsr.evaluate import Pair, load_pair, super_resolve
from fastsr.models import SRResNet
from fastsr.perceptual import PROTOCOLS, Perceptual
from fastsr.precision import Precision
from fastsr.quality import psnr_rgb, psnr_y, ssim_y
from fastsr.testsets import ImageFiles, ImageSet
from fastsr.toml import from_toml
from fastsr.weights import find_generators, load_generator

FORMAT = 1
BICUBIC = "bicubic"
PROTOCOL = {
    "psnr": "PSNR (dB) on BT.601 studio-range luma of 8-bit images (grey originals: on grey), {scale} pixels cut from "
    "each side",
    "psnr_rgb": "PSNR (dB) on RGB of whole 8-bit images, nothing cut",
    "ssim": "SSIM on the same luma and crop, Gaussian window 11x11",
    **PROTOCOLS,
}


@dataclass(frozen=True)
class Model:
    """One generator that is scored, and where it comes from."""

    generator: SRResNet
    file: Path
    weights: str
    """ema, raw, or file: a file's own."""
    variant: str | None = None
    """Independent, ML or ML*, where a run tells."""

    def facts(self) -> dict[str, Any]:
        known = {} if self.variant is None else {"variant": self.variant}
        return {"file": str(self.file), "weights": self.weights, **known}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How is measured. Two evaluations with equal protocols may be put side by side."""

    scale: int
    metrics: tuple[str, ...]
    lr: str = BICUBIC
    """bicubic: made here, or given: read from the test set."""
    border: Border = "replicate"
    precision: str = "fp32"

    def facts(self) -> dict[str, str]:
        low = "as given with the test sets" if self.lr == "given" else f"MATLAB's bicubic, border {self.border}"
        texts = {name: PROTOCOL[name].format(scale=self.scale) for name in self.metrics}
        return {**texts, "low_resolution": low, "precision": self.precision}


@dataclass
class Scoreboard:
    """What was measured, by set, image and model."""

    protocol: Protocol
    models: dict[str, dict[str, Any]]
    missing: dict[str, str]
    """Metrics that were wanted and could not be measured, and why."""
    step: int | None = None
    """Training step of the models, where they share a run."""
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    """Rows with set, image, model and a value or None for each metric."""
    pictures: list[dict[str, Any]] = field(default_factory=list)

    def means(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """Mean of each metric over images, by set and model; None where an image has no value."""
        return {
            name: {
                model: {metric: self.mean(name, model, metric) for metric in self.protocol.metrics}
                for model in self.models
            }
            for name in self.sets
        }

    def mean(self, set_name: str, model: str, metric: str) -> float | None:
        values = [row[metric] for row in self.images if row["set"] == set_name and row["model"] == model]
        return None if None in values else mean(values)

    def facts(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "scale": self.protocol.scale,
            "step": self.step,
            "protocol": self.protocol.facts(),
            "environment": environment(),
            "models": self.models,
            "metrics": list(self.protocol.metrics),
            "missing": self.missing,
            "sets": self.sets,
            "means": self.means(),
            "images": self.images,
            "pictures": self.pictures,
        }


def open_models(paths: tuple[Path, ...], weights: Iterable[str], device: torch.device) -> dict[str, Model]:
    """All generators meant by `paths`, by names for people.

    Args:
        weights: of runs and checkpoints: ema, raw, or both.
    Raises:
        UserError: a model cannot be used, or scales differ.
    """
    if not paths:
        raise UserError("no model is given; name a run, a checkpoint, or a generator's .safetensors file")
    models: dict[str, Model] = {}
    for path, shown in zip(paths, short_names(paths), strict=True):
        prefix = f"{shown} " if len(paths) > 1 and path.is_dir() else ""
        for kind in ("file",) if path.is_file() else weights:
            files = find_generators(path, "raw" if kind == "raw" else "ema")
            for (name, file), variant in zip(files.items(), variants_of(path, len(files)), strict=True):
                title = (shown if path.is_file() else prefix + name) + (" raw" if kind == "raw" else "")
                models[title] = Model(load_generator(file, device), file, kind, variant)
    scales = {name: model.generator.scale for name, model in models.items()}
    if len(set(scales.values())) > 1:
        listed = ", ".join(f"{name} x{scale}" for name, scale in scales.items())
        raise UserError(f"the models have different scales ({listed}); evaluate one scale at a time")
    return models


def variants_of(path: Path, count: int) -> list[str | None]:
    """What the peers of a run or of its checkpoint are called; None where that is not known."""
    run = next((folder for folder in (path, path.parent.parent) if (folder / "config.toml").is_file()), None)
    if run is None:
        return [None] * count
    names = variants(from_toml(run / "config.toml", TrainConfig()).cohort)
    return [*names] if len(names) == count else [None] * count


def short_names(paths: tuple[Path, ...]) -> list[str]:
    """The last part of each path, or all of it where two would be alike."""
    names = [(path.stem if path.is_file() else path.name) or str(path) for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def step_of(models: dict[str, Model]) -> int | None:
    """The training step that the models' checkpoint is named by, where they share one."""
    folders = {model.file.parent.name for model in models.values()}
    name = folders.pop() if len(folders) == 1 else ""
    return int(name.removeprefix("step-")) if name.removeprefix("step-").isdigit() else None


def load(files: ImageFiles, protocol: Protocol) -> Pair:
    """Raises UserError with the reason, without the path."""
    return load_pair(files.hr, protocol.scale, protocol.border, files.lr if protocol.lr == "given" else None)


def check_images(sets: Iterable[ImageSet], protocol: Protocol) -> dict[str, list[str]]:
    """Reads every image of every set before any is scored. Returns notes on each set, such as that images are cropped.

    Raises UserError listing all images that cannot be used.
    """
    bad: list[str] = []
    notes: dict[str, list[str]] = {}
    for images in sets:
        cropped = 0
        for files in images.images:
            try:
                cropped += load(files, protocol).cropped
            except UserError as error:
                bad.append(f"{files.hr}: {error}")
        text = f"{cropped} of {len(images.images)} images are cropped to a multiple of {protocol.scale} pixels"
        notes[images.name] = [text] if cropped else []
    if bad:
        raise UserError(f"{len(bad)} test images cannot be used; mend or remove them:\n  " + "\n  ".join(bad))
    return notes


class Examiner:
    """Scores models on images, one image at a time.

    Args:
        perceptual: measures those metrics of the protocol that are not measured here.
        precision: what generators run in.
    """

    def __init__(
        self, models: dict[str, Model], protocol: Protocol, perceptual: Perceptual, precision: Precision
    ) -> None:
        self.protocol, self.perceptual = protocol, perceptual
        self.methods: dict[str, Callable[[Tensor], Tensor]] = {
            BICUBIC: lambda lr: upscale(lr, protocol.scale, protocol.border)
        }
        for name, model in models.items():
            self.methods[name] = lambda lr, g=model.generator: super_resolve(g, lr, precision)

    def examine(
        self, files: ImageFiles, perceptual: bool = True
    ) -> tuple[dict[str, Tensor], dict[str, dict[str, float | None]]]:
        """What each method makes of an image, uint8 `[height, width, 3]`, with `HR` behind, and its scores.

        Args:
            perceptual: measure perceptual metrics too; else they are None.
        """
        pair = load(files, self.protocol)
        images = {name: method(pair.lr) for name, method in self.methods.items()}
        scores = {name: self.measure(image, pair, perceptual) for name, image in images.items()}
        return {**images, "HR": pair.hr}, scores

    def measure(self, sr: Tensor, pair: Pair, perceptual: bool) -> dict[str, float | None]:
        scale = self.protocol.scale
        own = {
            "psnr": psnr_y(sr, pair.hr, scale, pair.grey),
            "psnr_rgb": psnr_rgb(sr, pair.hr),
            "ssim": ssim_y(sr, pair.hr, scale, pair.grey),
        }
        values = {name: value if math.isfinite(value) else None for name, value in own.items()}
        if perceptual:
            values |= self.perceptual.measure(sr, pair.hr, pair.grey)
        return {name: values.get(name) for name in self.protocol.metrics}
