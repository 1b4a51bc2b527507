"""The models to score, opened and checked."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from fastsr.checkpoints import run_of
from fastsr.config.check import check
from fastsr.config.mixing import variants
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.errors import UserError
from fastsr.models import Generator
from fastsr.models.model_file import load_generator
from fastsr.models.weights import find_generators


@dataclass(frozen=True)
class Model:
    """One generator that is scored, and where it comes from."""

    generator: Generator
    file: Path
    weights: str
    """ema, raw, or file: a file's own."""
    variant: str | None = None
    """Independent, ML or ML*, where a run tells."""


def open_models(
    paths: tuple[Path, ...], weights: Iterable[str], device: torch.device
) -> dict[str, Model]:
    """All generators meant by `paths`, by names for people.

    Args:
        weights: of runs and checkpoints: ema, raw, or both.
    Raises:
        UserError: a model cannot be used, or scales differ.
    """
    if not paths:
        raise UserError(
            "no model is given; name a run, a checkpoint, or a generator's .safetensors file"
        )
    models: dict[str, Model] = {}
    for path, shown in zip(paths, short_names(paths), strict=True):
        prefix = f"{shown} " if len(paths) > 1 and path.is_dir() else ""
        for kind in ("file",) if path.is_file() else weights:
            files = find_generators(path, "raw" if kind == "raw" else "ema")
            for (name, file), variant in zip(
                files.items(), variants_of(path, len(files)), strict=True
            ):
                title = (shown if path.is_file() else prefix + name) + (
                    " raw" if kind == "raw" else ""
                )
                models[title] = Model(load_generator(file, device), file, kind, variant)
    check_alike(models)
    return models


def check_alike(models: dict[str, Model]) -> None:
    """Raises UserError where models are not of one scale, or not for images of the same channels."""
    scales = {name: model.generator.scale for name, model in models.items()}
    if len(set(scales.values())) > 1:
        listed = ", ".join(f"{name} x{scale}" for name, scale in scales.items())
        raise UserError(
            f"the models have different scales ({listed}); evaluate one scale at a time"
        )
    channels = {name: model.generator.channels for name, model in models.items()}
    if len(set(channels.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in channels.items())
        raise UserError(
            f"the models are for images of different channels ({listed}); evaluate one kind at a time"
        )


def variants_of(path: Path, count: int) -> list[str | None]:
    """Variants of the peers of a run or of its checkpoint, Independent, ML or ML*; None where that is not known."""
    config = config_of(path)
    names = variants(config.cohort) if config else ()
    return [*names] if len(names) == count else [None] * count


def trained_bits(paths: tuple[Path, ...]) -> Literal[8, 16]:
    """16 if any of these runs, or runs of checkpoints, was trained on 16-bit samples."""
    configs = [config_of(path) for path in paths]
    return 16 if any(config and config.images.bits == 16 for config in configs) else 8


def config_of(path: Path) -> TrainConfig | None:
    """The settings of a run, or of the run of a checkpoint; None for other files. Raises UserError."""
    run = run_of(path)
    if run is None:
        return None
    file = run / "config.toml"
    try:
        return check(from_toml(file, TrainConfig()))
    except UserError as error:
        reason = str(error).removeprefix("--config ").removeprefix(f"{file}")
        raise UserError(f"{file}: {reason.strip(': ')}; restore the file") from None


def short_names(paths: tuple[Path, ...]) -> list[str]:
    """The last part of each path, or all of it where two would be alike."""
    names = [(path.stem if path.is_file() else path.name) or str(path) for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def step_of(models: dict[str, Model]) -> int | None:
    """The training step that the models' checkpoint is named by, where they share one."""
    folders = {model.file.parent.name for model in models.values()}
    name = folders.pop() if len(folders) == 1 else ""
    return int(name.removeprefix("step-")) if name.removeprefix("step-").isdigit() else None
