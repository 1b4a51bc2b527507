"""Checks of blind degradations: each error names the setting, its value and the remedy."""

from dataclasses import fields

from fastsr.config.degrade import GIVEN, PRESETS, DegradeConfig
from fastsr.config.mixing import require
from fastsr.errors import UserError

LEAST_SIDE = 4
"""Pixels that a patch may be shrunk to."""


def check_degrade(config: DegradeConfig, patch: int, scale: int) -> None:
    """Raises UserError naming the first setting that cannot be used, its value and the remedy."""
    if config.is_bicubic:
        return
    if config.degrade not in (*PRESETS, GIVEN):
        raise UserError(
            f"--degrade {config.degrade} is not known; use {', '.join(PRESETS)}, or a .yml file"
        )
    for name in (field.name for field in fields(config)):
        value = getattr(config, name)
        if name.removesuffix("2").endswith("_prob"):
            check_probability(name, value)
        elif isinstance(value, tuple):
            check_range(name, value)
    least = max(patch + config.context_at(scale), 0)
    require(config.context >= 0, "context", config.context, "use 0 or more")
    require(config.blur_taps[0] % 2 == 1, "blur_taps", config.blur_taps, "use odd sides")
    require(config.blur_taps[1] % 2 == 1, "blur_taps", config.blur_taps, "use odd sides")
    require(
        config.blur_taps[1] <= least,
        "blur_taps",
        config.blur_taps,
        f"a blur wider than the {least} pixels of a patch and its context; use at most {least - 1 + least % 2}",
    )
    smallest = int(min(least * config.resize_range[0], least // scale * config.resize_range2[0]))
    require(
        smallest >= LEAST_SIDE,
        "patch",
        patch,
        f"resizing by the least factor leaves {smallest} pixels; use a larger patch or context, or less shrinking",
    )


def check_probability(name: str, value: float | tuple[float, ...]) -> None:
    """A probability, or weights of alternatives: as many as there are."""
    if not isinstance(value, tuple):
        require(0 <= value <= 1, name, value, "use 0 to 1")
        return
    count = 6 if name.startswith("kernel") else 3
    sound = len(value) == count and all(0 <= x < float("inf") for x in value) and sum(value) > 0
    require(sound, name, value, f"use {count} weights of 0 or more, not all 0")


LIMITS = {
    "blur_taps": (1, 51),
    "blur_sigma": (0.01, 50),
    "betag_range": (0.1, 20),
    "betap_range": (0.1, 20),
    "resize_range": (0.01, 4),
    "noise_range": (0, 255),
    "poisson_scale_range": (0, 50),
    "jpeg_range": (1, 100),
}
"""Least and greatest numbers of each range."""


def check_range(name: str, value: tuple[float, ...]) -> None:
    """Two numbers in order, within their limits; factors and exponents lie around 1."""
    low, high = LIMITS[name.removesuffix("2")]
    require(
        len(value) == 2 and value[0] <= value[1], name, value, "give the least, then the greatest"
    )
    require(low <= value[0] and value[1] <= high, name, value, f"use numbers from {low} to {high}")
    if name.startswith(("resize", "beta")):
        require(value[0] <= 1 <= value[1], name, value, "use one up to 1, and one from 1 on")
