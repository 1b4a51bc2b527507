"""The generators that enlarge: of one peer, of the best, or of all together."""

from copy import deepcopy
from pathlib import Path
from typing import Literal

import torch

from fastsr.checkpoints import run_of
from fastsr.config.mixing import start_indices
from fastsr.config.settings import TrainConfig
from fastsr.config.toml import from_toml
from fastsr.errors import UserError
from fastsr.models import Generator
from fastsr.models.model_file import load_generator
from fastsr.models.weights import find_generator, find_generators

Peers = int | Literal["best", "average", "ensemble"]


def generator_files(model: Path, peer: Peers) -> tuple[Path, ...]:
    """Files of the generators that are meant by a file, or by a run or checkpoint and its peers.

    Raises UserError where there are none.
    """
    if peer == "average" or peer == "ensemble":
        return tuple(find_generators(model).values())
    return (find_generator(model, peer),)


def open_generators(files: tuple[Path, ...], peer: Peers, device: torch.device) -> tuple[Generator, ...]:  # fmt: skip
    """The generators in these files; their average, as one, where that is asked for.

    Raises UserError where a file cannot be used, or they do not go together.
    """
    generators = tuple(load_generator(file, device) for file in files)
    first = generators[0]
    for file, other in zip(files, generators, strict=True):
        if other.scale != first.scale:
            raise UserError(f"{file} enlarges x{other.scale}, and {files[0]} x{first.scale}")
        if other.channels != first.channels:
            raise UserError(
                f"{file} is for {other.channels} channels, and {files[0]} for {first.channels}"
            )
    return (average(generators, files),) if peer == "average" else generators


def began_alike(model: Path) -> bool:
    """False where the settings of a run, or of that of a checkpoint, say that its peers had other initial weights."""
    run = run_of(model)
    if run is None:
        return True
    cohort = from_toml(run / "config.toml", TrainConfig()).cohort
    return len(set(start_indices(cohort))) == 1


def average(generators: tuple[Generator, ...], files: tuple[Path, ...]) -> Generator:
    """The generator with the mean of all weights and statistics. It is worth something where all began alike.

    Raises UserError where the networks differ.
    """
    mean = deepcopy(generators[0])
    states = [one.state_dict() for one in generators]
    shapes = [{name: value.shape for name, value in state.items()} for state in states]
    for file, shape in zip(files, shapes, strict=True):
        if shape != shapes[0]:
            raise UserError(
                f"--peer average cannot be used: {file} is another network than {files[0]}; use --peer ensemble"
            )
    with torch.no_grad():
        for name, value in mean.state_dict().items():
            if value.is_floating_point():
                value.copy_(torch.stack([state[name] for state in states]).mean(0))
    return mean
