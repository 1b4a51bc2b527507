"""Degradations of whole images that stay what they are: those of validation and of evaluations. Without torch."""

import hashlib
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from fastsr.config.check_degrade import check_degrade
from fastsr.config.degrade import GIVEN, DegradeConfig
from fastsr.config.presets import preset
from fastsr.config.settings import SCALES, TrainConfig
from fastsr.config.toml import from_toml
from fastsr.errors import UserError

BICUBIC = "bicubic"
LARGE = 2**15
"""Pixels of a side, as of no patch: what a patch is too small for may be done to an image."""


@dataclass(frozen=True)
class FixedDegradation:
    """Degradations that are drawn once for each image, from its pixels and a seed: equal in every run and set."""

    config: DegradeConfig
    seed: int = 0
    """0 to 2^63 - 1. No training draws from the same numbers, whatever its seed."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--degrade-seed {self.seed} cannot be used; use 0 or more, below 2^63")

    @property
    def checksum(self) -> str:
        """Tells these ranges and probabilities from others, whatever their name; no whole image has a context."""
        numbers = astuple(replace(self.config, degrade="", context=0))
        return hashlib.sha256(repr(numbers).encode()).hexdigest()[:8]

    @property
    def label(self) -> str:
        """A few words: the preset, whether its numbers were changed, and the seed."""
        name = self.config.degrade
        plain = replace(preset(name), context=self.config.context)
        changed = f" with numbers {self.checksum}" if name == GIVEN or plain != self.config else ""
        return f"{'an options file' if name == GIVEN else name}{changed}, seed {self.seed}"

    @property
    def rule(self) -> str:
        """The rule in words, for a protocol."""
        sharpened = ", of the sharpened original" if self.config.usm else ""
        return (
            f"degraded by {self.label}{sharpened}, drawn once for each image from its pixels and the seed "
            f"(numbers {self.checksum}); scores are against the original as it is"
        )


def fixed_degradation(name: str, seed: int) -> FixedDegradation | None:
    """Degradations by the name of a preset, an options file or a run's config.toml; None for bicubic.

    Raises UserError for a name or file that cannot be used.
    """
    is_toml = Path(name).suffix == ".toml"
    config = from_toml(Path(name), TrainConfig()).degrade if is_toml else preset(name)
    if config.is_bicubic:
        if is_toml:
            raise UserError(f"--degrade {name} degrades nothing; leave it out, which is bicubic")
        return None
    check_degrade(config, LARGE, max(SCALES))
    return FixedDegradation(config, seed)


def validation_degradation(config: TrainConfig) -> FixedDegradation | None:
    """The degradations of validation images; None where their low resolution is bicubic or given."""
    images, degrade = config.images, config.degrade
    if images.val_lr_data or images.val_degrade == BICUBIC or degrade.is_bicubic:
        return None
    return FixedDegradation(degrade, images.val_degrade_seed)


def validation_label(config: TrainConfig) -> str:
    """The low resolution of validation images in a few words, by which scores are told apart."""
    if config.images.val_lr_data:
        return "given"
    fixed = validation_degradation(config)
    return fixed.label if fixed else BICUBIC
