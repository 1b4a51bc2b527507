"""Ranks that train together must mean the same: settings, images, versions and kind of device are compared."""

import json
import tomllib
from pathlib import Path
from typing import Any

import torch

from fastsr.config.settings import TrainConfig
from fastsr.config.toml import to_toml
from fastsr.distributed.together import Member
from fastsr.distributed.world import World
from fastsr.errors import UserError
from fastsr.system.environment import package_version

PLACES = {
    ("images", "data"), ("images", "lr_data"), ("images", "val"), ("images", "val_lr_data"), ("images", "cache"),
    ("loss", "vgg"),
}  # fmt: skip
"""Settings that may differ between machines: where files are. Pixels of training images, and of given low resolutions,
are compared by their checksum."""


def statement(config: TrainConfig, device: torch.device, checkpoint: Path | None) -> dict[str, str]:
    """The values that must be the same on all ranks before anything is made, by the words for them."""
    sections = tomllib.loads(to_toml(config))
    settings = {
        f"--{name.replace('_', '-')}": json.dumps(value)
        for section, group in sections.items()
        if isinstance(group, dict)
        for name, value in group.items()
        if (section, name) not in PLACES
    }
    return {
        "fastsr": str(package_version("fastsr")),
        "torch": torch.__version__,
        "the kind of device": device.type,
        "the recipe": config.recipe,
        "the latest checkpoint": checkpoint.name if checkpoint else "none",
        **settings,
    }


def agree(world: World, mine: dict[str, str]) -> None:
    """Raises UserError on all ranks, naming the first difference and the first rank that has it."""
    first, *others = world.gather(mine)

    def compare() -> None:
        for member, other in zip(world.members[1:], others, strict=True):
            for name in first | other:
                if first.get(name) != other.get(name):
                    raise UserError(difference(name, first, other, member))

    world.together(compare)


def difference(name: str, first: dict[str, Any], other: dict[str, Any], member: Member) -> str:
    return (
        f"{name} is {other.get(name, 'unset')} on {member} and {first.get(name, 'unset')} on rank 0; "
        "make them equal, then start again"
    )
